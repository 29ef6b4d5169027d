//! Grids of images as PNG.

use std::path::Path;

use image::RgbImage;

use super::asked::PictureFlags;
use crate::error::{Error, Result};
use crate::report::figures::{self, Block, Row, gallery};

/// Gap between images, in pixels.
const GAP: usize = 2;
/// Images per row.
pub(crate) const COLUMNS: usize = 8;
/// Side in pixels up to which training pictures magnify small images, by whole factors.
const SIDE: usize = 64;
/// Approximate side of an image in figures and in the pictures of commands.
const CELL: usize = 128;
/// Width of a strip in pixels, and the smallest size at which its image pixels are drawn.
const STRIP: usize = 768;
const THIN: usize = 6;
/// Maximum number of pixels in a picture that a command draws.
const PIXELS: usize = 1 << 26;
/// Fillings per row.
const FILLINGS: usize = 8;
/// Maximum number of characters of a row's name.
const LETTERS: usize = 24;

/// Height and width of images.
pub(crate) type Size = [usize; 2];

/// Number of values of an image.
pub(crate) fn numbers([height, width]: Size) -> usize {
    height * width * 3
}

/// Magnification that brings the longer side of an image to about `side` pixels. A strip, an image
/// with one row, gets more width.
fn zoom_to([height, width]: Size, side: usize) -> usize {
    if height == 1 {
        return (STRIP / width).clamp(THIN, side.max(THIN));
    }
    let longer = height.max(width);
    ((side + longer / 2) / longer).max(1)
}

/// Images of `size`, flat [n, height, width, 3] in [−1, 1], in rows of eight.
pub(crate) fn grid(images: &[f32], size: Size) -> RgbImage {
    let columns = columns(COLUMNS.min(images.len() / numbers(size)), size);
    sheet(images, size, columns, rough_zoom(size))
}

/// Magnification of images in the pictures of a training.
fn rough_zoom(size: Size) -> usize {
    if size[0] == 1 {
        return zoom_to(size, SIDE);
    }
    (SIDE / size[0].max(size[1])).max(1)
}

/// The same in rows of `columns`, each image pixel drawn as `zoom` × `zoom` pixels.
pub(crate) fn sheet(images: &[f32], size: Size, columns: usize, zoom: usize) -> RgbImage {
    let count = images.len() / numbers(size);
    let [high, wide] = size.map(|side| side * zoom + GAP);
    let mut picture = RgbImage::from_pixel(
        (columns * wide + GAP) as u32,
        (count.div_ceil(columns) * high + GAP) as u32,
        image::Rgb([255; 3]),
    );
    for (i, image) in images.chunks_exact(numbers(size)).enumerate() {
        let left = GAP + i % columns * wide;
        let top = GAP + i / columns * high;
        let image = magnified(image, size, zoom);
        image::imageops::replace(&mut picture, &image, left as i64, top as i64);
    }
    picture
}

/// Each image [height, width, 3] as its own picture, magnified for a figure of many.
pub(crate) fn cells(images: &[f32], size: Size) -> Vec<RgbImage> {
    each(images, size, zoom_to(size, CELL))
}

/// Each image as its own picture, each image pixel drawn as `zoom` × `zoom` pixels.
pub(crate) fn each(images: &[f32], size: Size, zoom: usize) -> Vec<RgbImage> {
    images
        .chunks_exact(numbers(size))
        .map(|image| magnified(image, size, zoom))
        .collect()
}

/// Columns of a sheet of `count` images: up to 8, 16 for more than 64 images, 1 for strips.
pub(crate) fn columns(count: usize, size: Size) -> usize {
    if size[0] == 1 {
        1
    } else if count > COLUMNS * COLUMNS {
        2 * COLUMNS
    } else {
        COLUMNS.min(count.max(1))
    }
}

impl PictureFlags {
    /// Magnification of images in pictures that commands draw.
    pub(crate) fn zoom(&self, size: Size) -> usize {
        self.scale.unwrap_or(zoom_to(size, CELL))
    }

    /// How many of `count` groups of `images` images each fit on a picture.
    ///
    /// # Errors
    /// [`Error::Usage`] if --scale leaves room for none.
    pub(crate) fn fits(&self, size: Size, images: usize, count: usize) -> Result<usize> {
        let zoom = self.zoom(size);
        let [high, wide] = size.map(|side| side.saturating_mul(zoom).saturating_add(GAP));
        let most = PIXELS / high.saturating_mul(wide).saturating_mul(images.max(1));
        match (most, self.scale) {
            (0, Some(scale)) => Err(Error::Usage(format!(
                "--scale {scale}: a picture of {images} images of {wide} x {high} pixels would have over {} million; use less",
                PIXELS >> 20
            ))),
            _ => Ok(count.min(most.max(1))),
        }
    }
}

/// A page of rows of images under column heads: (columns, name).
pub(crate) struct Page {
    pub heads: Vec<(usize, String)>,
    pub rows: Vec<Row>,
}

impl Page {
    /// Draws the page, its rows split into blocks side by side so that it is about square.
    pub fn draw(self) -> RgbImage {
        let columns = self
            .heads
            .iter()
            .map(|(columns, _)| columns)
            .sum::<usize>()
            .max(1);
        let blocks = (self.rows.len() as f64 / columns as f64)
            .sqrt()
            .round()
            .max(1.0) as usize;
        let rows = self.rows.len().div_ceil(blocks).max(1);
        let block = |rows: &[Row]| Block {
            heads: self.heads.clone(),
            rows: rows.to_vec(),
            ..Block::default()
        };
        gallery(&self.rows.chunks(rows).map(block).collect::<Vec<_>>(), true)
    }
}

/// Figure of inpainting: for each name the original, its known part, and its `count` fillings,
/// eight per row. `cells` holds these images one after another.
pub(crate) fn fillings(names: &[String], cells: &[RgbImage], count: usize) -> RgbImage {
    let width = count.min(FILLINGS);
    let mut rows = Vec::new();
    for (name, cells) in names.iter().zip(cells.chunks_exact(2 + count)) {
        let blank = RgbImage::from_pixel(cells[0].width(), cells[0].height(), image::Rgb([255; 3]));
        for (i, fillings) in cells[2..].chunks(FILLINGS).enumerate() {
            let left = if i == 0 {
                cells[..2].to_vec()
            } else {
                vec![blank.clone(); 2]
            };
            let name = if i == 0 {
                shortened(name)
            } else {
                String::new()
            };
            rows.push(Row {
                name,
                cells: [&left, fillings].concat(),
                apart: false,
            });
        }
    }
    let heads = [
        (1, "picture"),
        (1, "known"),
        (width, if count == 1 { "filled" } else { "fillings" }),
    ];
    Page {
        heads: heads
            .map(|(columns, name)| (columns, name.to_string()))
            .into(),
        rows,
    }
    .draw()
}

/// `name`, truncated to fit left of a picture.
pub(crate) fn shortened(name: &str) -> String {
    if name.chars().count() > LETTERS {
        name.chars().take(LETTERS - 1).chain(['…']).collect()
    } else {
        name.into()
    }
}

/// Draws each pixel of `image` [height, width, 3] in [−1, 1] as `zoom` × `zoom` pixels.
fn magnified(image: &[f32], [height, width]: Size, zoom: usize) -> RgbImage {
    let [high, wide] = [height, width].map(|side| (side * zoom) as u32);
    RgbImage::from_fn(wide, high, |x, y| {
        let pixel = (y as usize / zoom * width + x as usize / zoom) * 3;
        image::Rgb(
            [0, 1, 2].map(|c| ((image[pixel + c].clamp(-1.0, 1.0) + 1.0) * 127.5).round() as u8),
        )
    })
}

/// Sheet of the first `most` originals, each row above the row of their reconstructions.
pub(crate) fn pairs(
    originals: &[f32],
    reconstructions: &[f32],
    size: Size,
    most: usize,
) -> RgbImage {
    let columns = COLUMNS.min(most.min(originals.len() / numbers(size)));
    sheet_of_pairs(
        [originals, reconstructions],
        size,
        most,
        columns,
        rough_zoom(size),
    )
}

/// The same in rows of `columns`, each image pixel drawn as `zoom` × `zoom` pixels.
pub(crate) fn sheet_of_pairs(
    [originals, reconstructions]: [&[f32]; 2],
    size: Size,
    most: usize,
    columns: usize,
    zoom: usize,
) -> RgbImage {
    let bytes = numbers(size);
    let count = most.min(originals.len() / bytes);
    let row = |images: &[f32]| {
        // Pad an incomplete row with white, so that pairs stay aligned.
        let mut row = images.to_vec();
        row.resize(columns * bytes, 1.0);
        row
    };
    let rows = |images: &[f32]| {
        images[..count * bytes]
            .chunks(columns * bytes)
            .map(row)
            .collect::<Vec<_>>()
    };
    let both = rows(originals)
        .into_iter()
        .zip(rows(reconstructions))
        .flat_map(|(above, below)| [above, below]);
    sheet(&both.flatten().collect::<Vec<_>>(), size, columns, zoom)
}

/// Atomically writes a PNG of a training.
pub(crate) fn save(picture: &RgbImage, file: &Path) -> Result<()> {
    figures::save_of_run(file, picture)
}
