//! Grids of images as PNG.

use std::path::Path;

use image::RgbImage;

use crate::error::Result;
use crate::run::figures;

/// Pixels between images.
const GAP: usize = 2;
/// Images in a row.
pub(super) const COLUMNS: usize = 8;
/// Smallest side of an image on the picture: small ones are drawn larger, in whole multiples.
const SIDE: usize = 64;
/// The same of an image in a figure.
const CELL: usize = 128;

/// Images of `size` × `size`, flat [n, size, size, 3] in [−1, 1], in rows of eight.
pub(super) fn grid(images: &[f32], size: usize) -> RgbImage {
    table(images, size, COLUMNS.min(images.len() / (size * size * 3)))
}

/// The same in rows of `columns`.
pub(super) fn table(images: &[f32], size: usize, columns: usize) -> RgbImage {
    let (bytes, zoom) = (size * size * 3, (SIDE / size).max(1));
    let (count, cell) = (images.len() / bytes, size * zoom + GAP);
    let mut picture = RgbImage::from_pixel(
        (columns * cell + GAP) as u32,
        (count.div_ceil(columns) * cell + GAP) as u32,
        image::Rgb([255; 3]),
    );
    for (i, image) in images.chunks_exact(bytes).enumerate() {
        let [left, top] = [GAP + i % columns * cell, GAP + i / columns * cell].map(|v| v as i64);
        image::imageops::replace(&mut picture, &magnified(image, size, zoom), left, top);
    }
    picture
}

/// Each image [size, size, 3] by itself, large enough for a figure of many.
pub(super) fn cells(images: &[f32], size: usize) -> Vec<RgbImage> {
    let zoom = ((CELL + size / 2) / size).max(1);
    images.chunks_exact(size * size * 3).map(|image| magnified(image, size, zoom)).collect()
}

/// `image` [size, size, 3] in [−1, 1] with `zoom` × `zoom` pixels for each of its own.
fn magnified(image: &[f32], size: usize, zoom: usize) -> RgbImage {
    let side = (size * zoom) as u32;
    RgbImage::from_fn(side, side, |x, y| {
        let pixel = (y as usize / zoom * size + x as usize / zoom) * 3;
        image::Rgb([0, 1, 2].map(|c| ((image[pixel + c].clamp(-1.0, 1.0) + 1.0) * 127.5).round() as u8))
    })
}

/// The first `most` originals, each row above the row of their reconstructions.
pub(super) fn pairs(originals: &[f32], reconstructions: &[f32], size: usize, most: usize) -> RgbImage {
    let bytes = size * size * 3;
    let count = most.min(originals.len() / bytes);
    let columns = COLUMNS.min(count);
    let row = |images: &[f32]| {
        // White where a row has no more images: pairs must not get out of step.
        let mut row = images.to_vec();
        row.resize(columns * bytes, 1.0);
        row
    };
    let rows = |images: &[f32]| images[..count * bytes].chunks(columns * bytes).map(row).collect::<Vec<_>>();
    let both = rows(originals).into_iter().zip(rows(reconstructions)).flat_map(|(above, below)| [above, below]);
    table(&both.flatten().collect::<Vec<_>>(), size, columns)
}

/// Writes a PNG of a training, whole or not at all.
pub(super) fn save(picture: &RgbImage, file: &Path) -> Result<()> {
    figures::save_of_run(file, picture)
}
