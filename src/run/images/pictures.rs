//! Grids of images as PNG.

use std::path::Path;

use image::RgbImage;

use crate::error::{Error, Result};
use crate::run::run_dir;

/// Pixels between images.
const GAP: usize = 2;
/// Images in a row.
pub(super) const COLUMNS: usize = 8;
/// Smallest side of an image on the picture: small ones are drawn larger, in whole multiples.
const SIDE: usize = 64;

/// Images of `size` × `size`, flat [n, size, size, 3] in [−1, 1], in rows of eight.
pub(super) fn grid(images: &[f32], size: usize) -> RgbImage {
    let (bytes, zoom) = (size * size * 3, (SIDE / size).max(1));
    let count = images.len() / bytes;
    let (columns, cell) = (COLUMNS.min(count), size * zoom + GAP);
    let mut picture = RgbImage::from_pixel(
        (columns * cell + GAP) as u32,
        (count.div_ceil(columns) * cell + GAP) as u32,
        image::Rgb([255; 3]),
    );
    for (i, image) in images.chunks_exact(bytes).enumerate() {
        let (left, top) = (GAP + i % columns * cell, GAP + i / columns * cell);
        for at in 0..size * zoom * size * zoom {
            let (y, x) = (at / (size * zoom), at % (size * zoom));
            let pixel = (y / zoom * size + x / zoom) * 3;
            let value = |c: usize| ((image[pixel + c].clamp(-1.0, 1.0) + 1.0) * 127.5).round() as u8;
            picture.put_pixel((left + x) as u32, (top + y) as u32, image::Rgb([value(0), value(1), value(2)]));
        }
    }
    picture
}

/// The first `most` originals, each row above the row of their reconstructions.
pub(super) fn pairs(originals: &[f32], reconstructions: &[f32], size: usize, most: usize) -> RgbImage {
    let row = COLUMNS * size * size * 3;
    let rows = originals.chunks(row).zip(reconstructions.chunks(row)).take(most / COLUMNS);
    // Only whole rows: a picture of pairs must not get out of step.
    let whole = rows.filter(|(a, _)| a.len() == row).flat_map(|(a, b)| [a, b]).flatten().copied().collect::<Vec<_>>();
    if whole.is_empty() {
        return grid(&[originals, reconstructions].concat(), size);
    }
    grid(&whole, size)
}

/// Writes a PNG, whole or not at all.
pub(super) fn save(picture: &RgbImage, file: &Path) -> Result<()> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let encoded = picture.write_to(&mut bytes, image::ImageFormat::Png);
    encoded.map_err(|e| Error::io(file)(std::io::Error::other(e)))?;
    run_dir::write(file, bytes.get_ref())
}
