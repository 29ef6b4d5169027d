//! Mask files: images from drawing programs, label maps and cameras.
//!
//! If opacity varies, opaque pixels are the hole, else those bright in any channel; the threshold
//! is half. In an image with just two values, the larger is the hole, however small both are.

use std::ops::Range;
use std::path::Path;

use image::{DynamicImage, ImageBuffer, ImageDecoder, ImageReader, Rgba};

use crate::data::{self, Fit};
use crate::error::{Error, Result};

/// Threshold from which a pixel counts as bright or opaque: 128 of 255.
const HALF: u32 = 1 << 15;
/// Ratio of 16-bit to 8-bit values.
const EIGHT: u32 = 257;

/// The property that marks the hole.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Opacity,
    Brightness,
}

impl By {
    fn name(self) -> &'static str {
        if self == By::Opacity {
            "opaque"
        } else {
            "bright"
        }
    }
}

/// The values of a mask: all of it, or its middle square.
struct Values {
    height: usize,
    width: usize,
    by: By,
    /// [height, width], up to 3 · 65535.
    values: Vec<u32>,
    /// Smallest value of a pixel in the hole.
    threshold: u32,
}

/// The hole's cells of `grid` [h, w], those with a hole pixel in the image `file`. It is squashed
/// or cropped to its middle square as the run's images are.
///
/// # Errors
/// [`Error::Data`] for a file that cannot be read, [`Error::Usage`] if the hole is empty or covers
/// everything.
pub(super) fn cells(file: &Path, grid: [usize; 2], fit: Fit) -> Result<Vec<bool>> {
    // Refuses damaged, truncated or gigantic files.
    let damage = |what: String| Error::Data(format!("--mask {}: {what}", file.display()));
    let shown = data::picture(file, None).map_err(damage)?;
    let picture = decode(file).map_err(|e| damage(e.to_string()))?;
    let wrong = |what: String| Error::Usage(format!("--mask {}: {what}", file.display()));
    let mask = values(&picture, fit).map_err(|what| wrong(what.into()))?;
    let hole = mask.on_grid(grid);
    if hole.iter().all(|&h| h == hole[0]) {
        return Err(wrong(mask.refusal(hole[0], grid)));
    }
    let square = if shown.width() == shown.height() || fit == Fit::Squash {
        ""
    } else {
        ", in its middle square"
    };
    let count = hole.iter().filter(|&&h| h).count();
    let by = mask.rule();
    let [h, w] = grid;
    note!(
        "{}: {count} of {h} x {w} cells are in the hole{square}, by {by}",
        file.display()
    );
    Ok(hole)
}

fn decode(file: &Path) -> image::ImageResult<DynamicImage> {
    let mut decoder = ImageReader::open(file)?
        .with_guessed_format()?
        .into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// The mask values of `picture`, or of its middle square; or why it defines no hole.
fn values(picture: &DynamicImage, fit: Fit) -> std::result::Result<Values, &'static str> {
    let deep = picture.to_rgba16();
    let square: ImageBuffer<Rgba<u16>, Vec<u16>> = if fit == Fit::Squash {
        deep
    } else {
        let side = deep.width().min(deep.height());
        let [left, top] = [deep.width(), deep.height()].map(|length| (length - side) / 2);
        image::imageops::crop_imm(&deep, left, top, side, side).to_image()
    };
    let [height, width] = [square.height(), square.width()].map(|length| length as usize);
    let alpha: Vec<u32> = square.pixels().map(|p| u32::from(p.0[3])).collect();
    let of = |by: By, values: Vec<u32>, threshold: u32| Values {
        height,
        width,
        by,
        values,
        threshold,
    };
    if alpha.iter().any(|&a| a != alpha[0]) {
        let threshold = two(&alpha).map_or(HALF, |[_, larger]| larger);
        return Ok(of(By::Opacity, alpha, threshold));
    }
    let colours: Vec<[u16; 3]> = square
        .pixels()
        .map(|&Rgba([r, g, b, _])| [r, g, b])
        .collect();
    let sum = |colour: &[u16; 3]| colour.iter().map(|&v| u32::from(v)).sum::<u32>();
    let most = |colour: &[u16; 3]| colour.iter().map(|&v| u32::from(v)).max().unwrap_or(0);
    match two(&colours).map(|both| both.map(|colour| sum(&colour))) {
        Some([a, b]) if a == b => {
            Err("its two colours are equally bright; paint the hole white and the rest black")
        }
        Some([a, b]) => Ok(of(
            By::Brightness,
            colours.iter().map(sum).collect(),
            a.max(b),
        )),
        None => Ok(of(By::Brightness, colours.iter().map(most).collect(), HALF)),
    }
}

/// The pixels of a side of `length` that belong to each of its `grid` cells: those with their
/// centre in the cell, or, with fewer pixels than cells, the one containing the cell's centre.
fn spans(length: usize, grid: usize) -> Vec<Range<usize>> {
    let within = |at: usize, of: usize, count: usize| (2 * at + 1) * count / (2 * of);
    let span = |cell: usize| {
        if length < grid {
            let pixel = within(cell, grid, length);
            return pixel..pixel + 1;
        }
        let first = (0..length)
            .position(|at| within(at, length, grid) == cell)
            .unwrap_or(0);
        let count = (first..length)
            .take_while(|&at| within(at, length, grid) == cell)
            .count();
        first..first + count
    };
    (0..grid).map(span).collect()
}

/// The two values in `all`, if there are exactly two.
fn two<T: Copy + Ord>(all: &[T]) -> Option<[T; 2]> {
    let least = *all.iter().min()?;
    let most = *all.iter().max()?;
    (least < most && all.iter().all(|&v| v == least || v == most)).then_some([least, most])
}

impl Values {
    /// Whether each cell has a hole pixel; with fewer pixels than cells, whether its one pixel is
    /// in the hole.
    fn on_grid(&self, [h, w]: [usize; 2]) -> Vec<bool> {
        let rows = spans(self.height, h);
        let columns = spans(self.width, w);
        let hole =
            |row: usize, column: usize| self.values[row * self.width + column] >= self.threshold;
        let cell = |at: usize| {
            let rows = rows[at / w].clone();
            let columns = columns[at % w].clone();
            rows.into_iter()
                .any(|row| columns.clone().any(|column| hole(row, column)))
        };
        (0..h * w).map(cell).collect()
    }

    /// Human-readable rule for hole pixels.
    fn rule(&self) -> String {
        let (noun, more) = if self.by == By::Opacity {
            ("opacity", "more opaque")
        } else {
            ("brightness", "brighter")
        };
        match self.threshold {
            HALF => format!("{noun} 128 of 255 or more"),
            _ => format!("the {more} of its two values"),
        }
    }

    /// Error text if the hole is empty, or covers `everything`.
    fn refusal(&self, everything: bool, [h, w]: [usize; 2]) -> String {
        let (by, opposite) = if self.by == By::Opacity {
            ("opaque", "transparent")
        } else {
            ("white", "black")
        };
        if everything {
            let rule = self.rule();
            return format!(
                "the hole covers everything: each of the {h} x {w} cells has a pixel of {rule}; keep what is known {opposite}, \
                 or sample instead"
            );
        }
        let most = self.values.iter().max().map_or(0, |v| v / EIGHT);
        let name = self.by.name();
        format!(
            "there is no hole: no pixel is {name} (128 of 255 or more; the most is {most}); paint the hole {by} and leave the rest \
             {opposite}"
        )
    }
}

#[cfg(test)]
mod tests {
    use image::{GrayAlphaImage, GrayImage, Luma, LumaA, Rgb, RgbImage, RgbaImage};

    use super::*;

    /// The middle 16 × 16 of 32 × 32.
    fn inside(x: u32, y: u32) -> bool {
        (8..24).contains(&x) && (8..24).contains(&y)
    }

    fn grey(hole: u8, rest: u8) -> GrayImage {
        GrayImage::from_fn(32, 32, |x, y| {
            Luma([if inside(x, y) { hole } else { rest }])
        })
    }

    fn rgb(hole: [u8; 3], rest: [u8; 3]) -> RgbImage {
        RgbImage::from_fn(32, 32, |x, y| Rgb(if inside(x, y) { hole } else { rest }))
    }

    fn rgba(hole: [u8; 4], rest: [u8; 4]) -> RgbaImage {
        RgbaImage::from_fn(32, 32, |x, y| Rgba(if inside(x, y) { hole } else { rest }))
    }

    /// The hole's cells in `picture`, saved as `name`.
    fn read(name: &str, picture: impl Into<DynamicImage>, grid: usize) -> Result<String> {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let file = folder.path().join(name);
        picture.into().save(&file).expect("a temporary file");
        Ok(cells(&file, [grid; 2], Fit::Crop)?
            .into_iter()
            .map(|hole| if hole { '#' } else { '.' })
            .collect())
    }

    const MIDDLE: &str = ".....##..##.....";

    #[test]
    fn masks_of_all_drawing_programs_say_the_same() {
        let deep = |hole: u16, rest: u16| {
            ImageBuffer::<Luma<u16>, _>::from_fn(32, 32, |x, y| {
                Luma([if inside(x, y) { hole } else { rest }])
            })
        };
        let masks: Vec<(&str, DynamicImage)> = vec![
            ("white.png", grey(255, 0).into()),
            ("white.webp", rgb([255; 3], [0; 3]).into()),
            ("white.jpg", grey(255, 0).into()),
            ("red.png", rgb([255, 0, 0], [0; 3]).into()),
            ("green.png", rgb([0, 255, 0], [0; 3]).into()),
            ("blue.png", rgb([0, 0, 255], [0; 3]).into()),
            ("blue.jpg", rgb([0, 0, 255], [0; 3]).into()),
            ("white on blue.png", rgb([255; 3], [0, 0, 255]).into()),
            ("labels.png", grey(1, 0).into()),
            ("two greys.png", grey(90, 40).into()),
            ("two bright greys.png", grey(255, 200).into()),
            ("deep labels.png", deep(1, 0).into()),
            ("deep.png", deep(40_000, 0).into()),
            (
                "white brush on transparent.png",
                rgba([255; 4], [255, 255, 255, 0]).into(),
            ),
            (
                "black brush on transparent.png",
                rgba([0, 0, 0, 255], [0; 4]).into(),
            ),
            (
                "faint brush on transparent.png",
                rgba([255, 255, 255, 60], [0; 4]).into(),
            ),
            ("opaque.png", rgba([255; 4], [0, 0, 0, 255]).into()),
            ("brush.webp", rgba([255; 4], [0; 4]).into()),
            (
                "grey with opacity.png",
                GrayAlphaImage::from_fn(32, 32, |x, y| {
                    LumaA([0, if inside(x, y) { 255 } else { 0 }])
                })
                .into(),
            ),
        ];
        for (name, picture) in masks {
            assert_eq!(
                read(name, picture, 4).unwrap_or_else(|e| panic!("{name}: {e}")),
                MIDDLE,
                "{name}"
            );
        }
    }

    #[test]
    fn a_mask_is_squashed_where_images_are() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let file = folder.path().join("mask.png");
        // The left half of an image twice as wide as high.
        GrayImage::from_fn(64, 32, |x, _| Luma([if x < 32 { 255 } else { 0 }]))
            .save(&file)
            .expect("a picture");
        for (fit, hole) in [
            (Fit::Squash, "##..##..##..##.."),
            (Fit::Crop, "##..##..##..##.."),
        ] {
            let found: String = cells(&file, [4, 4], fit)
                .expect("a mask")
                .iter()
                .map(|&h| if h { '#' } else { '.' })
                .collect();
            assert_eq!(found, hole, "{fit:?}");
        }
        // Its left quarter is one column when squashed, and outside the middle square.
        GrayImage::from_fn(64, 32, |x, _| Luma([if x < 16 { 255 } else { 0 }]))
            .save(&file)
            .expect("a picture");
        let squashed = cells(&file, [4, 4], Fit::Squash).expect("a mask");
        assert_eq!(squashed.iter().filter(|&&hole| hole).count(), 4);
        assert!(
            cells(&file, [4, 4], Fit::Crop)
                .expect_err("nothing")
                .to_string()
                .contains("there is no hole")
        );
    }

    #[test]
    fn a_palette_and_single_bits_are_colours_too() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let file = folder.path().join("mask.png");
        let bits = |at: u32| u8::from(inside(at % 32, at / 32));
        let packed: Vec<u8> = (0..128)
            .map(|byte| (0..8).fold(0, |all, bit| all << 1 | bits(8 * byte + bit)))
            .collect();
        for palette in [None, Some(vec![0, 0, 0, 128, 0, 0])] {
            let mut encoder = png::Encoder::new(
                std::fs::File::create(&file).expect("a temporary file"),
                32,
                32,
            );
            encoder.set_depth(png::BitDepth::One);
            encoder.set_color(if palette.is_some() {
                png::ColorType::Indexed
            } else {
                png::ColorType::Grayscale
            });
            palette
                .into_iter()
                .for_each(|colours: Vec<u8>| encoder.set_palette(colours));
            encoder
                .write_header()
                .and_then(|mut w| w.write_image_data(&packed))
                .expect("a picture");
            let hole: String = cells(&file, [4, 4], Fit::Crop)
                .expect("a mask")
                .iter()
                .map(|&h| if h { '#' } else { '.' })
                .collect();
            assert_eq!(hole, MIDDLE);
        }
    }

    #[test]
    fn a_mask_of_any_size_is_laid_on_the_grid() {
        let scaled = |side: u32| {
            let of = |at: u32| (2 * at + 1) * 16 / side;
            GrayImage::from_fn(side, side, |x, y| {
                Luma([if inside(of(x), of(y)) { 255 } else { 0 }])
            })
        };
        for side in [4, 8, 32, 33, 100, 101, 1001] {
            assert_eq!(
                read("mask.png", scaled(side), 4).expect("a mask"),
                MIDDLE,
                "{side}"
            );
        }
        // Fewer pixels than cells.
        let corner = GrayImage::from_fn(2, 2, |x, y| Luma([if x + y == 0 { 255 } else { 0 }]));
        assert_eq!(
            read("mask.png", corner, 4).expect("a mask"),
            "##..##.........."
        );
        // A wide mask is cropped to its middle square, as images are.
        let wide = GrayImage::from_fn(96, 32, |x, y| {
            Luma([if (32..64).contains(&x) && inside(x - 32, y) {
                255
            } else {
                0
            }])
        });
        assert_eq!(read("mask.png", wide, 4).expect("a mask"), MIDDLE);
        // A single pixel makes its cell a hole.
        let pixel = GrayImage::from_fn(64, 64, |x, y| {
            Luma([if (x, y) == (63, 0) { 255 } else { 0 }])
        });
        assert_eq!(
            read("mask.png", pixel, 4).expect("a mask"),
            "...#............"
        );
    }

    #[test]
    fn what_says_nothing_is_refused_with_the_threshold() {
        let labels = GrayImage::from_fn(32, 32, |x, y| {
            Luma([if inside(x, y) { 1 + (x % 2) as u8 } else { 0 }])
        });
        let bright = GrayImage::from_fn(32, 32, |x, y| {
            Luma([if inside(x, y) {
                255
            } else {
                150 + (x % 9) as u8
            }])
        });
        let faint = RgbaImage::from_fn(32, 32, |x, _| Rgba([255, 255, 255, x as u8]));
        for (name, picture, words) in [
            (
                "black.png",
                DynamicImage::from(GrayImage::new(8, 8)),
                "no pixel is bright (128 of 255 or more; the most is 0)",
            ),
            ("labels.png", labels.into(), "the most is 2"),
            (
                "faint.png",
                faint.into(),
                "no pixel is opaque (128 of 255 or more; the most is 31)",
            ),
            (
                "white.png",
                GrayImage::from_pixel(8, 8, Luma([255])).into(),
                "the hole covers everything",
            ),
            (
                "bright.png",
                bright.into(),
                "the hole covers everything: each of the 4 x 4 cells has a pixel of brightness 128",
            ),
            (
                "even.png",
                rgb([255, 0, 0], [0, 255, 0]).into(),
                "equally bright",
            ),
        ] {
            let error = read(name, picture, 4).expect_err(name);
            assert!(
                error.exit_code() == 2 && error.to_string().contains(words),
                "{name}: {error}"
            );
        }
        let folder = tempfile::tempdir().expect("a temporary directory");
        let file = folder.path().join("mask.png");
        std::fs::write(&file, b"GIMP").expect("a temporary file");
        assert_eq!(
            cells(&file, [4, 4], Fit::Crop)
                .expect_err("no picture")
                .exit_code(),
            8
        );
    }
}
