//! The hole to inpaint: cells of the latent grid.

mod file;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::pictures::Size;
use crate::data::Fit;
use crate::error::{Error, Result};

/// Values of `--mask`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MaskShape {
    /// `centre:N`: N × N cells in the middle.
    Centre(usize),
    /// `topleft:N`: N × N cells in the corner.
    TopLeft(usize),
    /// `left`: the left half.
    Left,
    /// `right`: the right half.
    Right,
    /// An image of any size, white or opaque in the hole.
    File(PathBuf),
}

impl MaskShape {
    /// The image file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            MaskShape::File(file) => Some(file),
            _ => None,
        }
    }
}

impl fmt::Display for MaskShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MaskShape::Centre(n) => write!(f, "centre:{n}"),
            MaskShape::TopLeft(n) => write!(f, "topleft:{n}"),
            MaskShape::Left => f.write_str("left"),
            MaskShape::Right => f.write_str("right"),
            MaskShape::File(file) => write!(f, "{}", file.display()),
        }
    }
}

impl FromStr for MaskShape {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<MaskShape, String> {
        let wrong =
            || format!("`{text}` is not centre:N, topleft:N, left, right or a picture file");
        match text.split_once(':') {
            Some(("centre" | "center", n)) => n.parse().map(MaskShape::Centre).map_err(|_| wrong()),
            Some(("topleft", n)) => n.parse().map(MaskShape::TopLeft).map_err(|_| wrong()),
            _ if text == "left" => Ok(MaskShape::Left),
            _ if text == "right" => Ok(MaskShape::Right),
            _ if text.contains(['.', '/', '\\']) => Ok(MaskShape::File(text.into())),
            _ => Err(wrong()),
        }
    }
}

/// The hole.
pub(crate) struct Mask {
    /// Rows and columns of cells.
    pub grid: [usize; 2],
    /// [h, w].
    pub hole: Vec<bool>,
}

impl Mask {
    /// The cells of `shape` on a latent grid; an image file is made square as `fit` says.
    ///
    /// # Errors
    /// [`Error::Usage`] if the hole is empty or covers everything; [`Error::Data`] for the file.
    pub fn new(shape: &MaskShape, grid: [usize; 2], fit: Fit) -> Result<Mask> {
        let [h, w] = grid;
        // A sequence has one row, which is always inside.
        let square = |n: usize, corner: &dyn Fn(usize) -> usize| {
            let inside = |v: usize, side: usize| {
                side == 1 || (corner(side)..corner(side).saturating_add(n)).contains(&v)
            };
            (0..h * w)
                .map(|at| inside(at / w, h) && inside(at % w, w))
                .collect::<Vec<_>>()
        };
        let hole = match shape {
            MaskShape::Centre(n) => square(*n, &|side| side.saturating_sub(*n) / 2),
            MaskShape::TopLeft(n) => square(*n, &|_| 0),
            MaskShape::Left => (0..h * w).map(|at| at % w < w / 2).collect(),
            MaskShape::Right => (0..h * w).map(|at| at % w >= w.div_ceil(2)).collect(),
            MaskShape::File(file) => file::cells(file, grid, fit)?,
        };
        if hole.iter().all(|&h| h == hole[0]) {
            let what = if hole[0] {
                "the hole covers everything; sample instead"
            } else {
                "there is no hole"
            };
            return Err(Error::Usage(format!(
                "--mask on a grid of {h} x {w} codes: {what}"
            )));
        }
        Ok(Mask { grid, hole })
    }

    /// 1 where known, [h, w].
    pub fn known(&self) -> Vec<f32> {
        self.hole
            .iter()
            .map(|&hole| f32::from(u8::from(!hole)))
            .collect()
    }

    /// Whether each pixel of an image lies in the hole, [height, width].
    pub fn pixels(&self, [height, width]: Size) -> Vec<bool> {
        let [h, w] = self.grid;
        let cell = |at: usize| at / width / (height / h) * w + at % width / (width / w);
        (0..height * width).map(|at| self.hole[cell(at)]).collect()
    }

    /// `image` [height, width, 3] with the hole painted grey.
    pub fn painted(&self, image: &[f32], size: Size) -> Vec<f32> {
        let hole = self.pixels(size);
        image
            .iter()
            .enumerate()
            .map(|(i, &v)| if hole[i / 3] { 0.0 } else { v })
            .collect()
    }

    /// `image` [height, width, 3] with the hole filled from its rim inwards, each pixel with the
    /// mean of its known or filled neighbours. The latents of the known part then do not depend on
    /// the hole's content.
    pub fn filled(&self, image: &[f32], size: Size) -> Vec<f32> {
        let mut image = image.to_vec();
        let mut hole = self.pixels(size);
        while hole.contains(&true) {
            let mut rim = Vec::new();
            for at in (0..hole.len()).filter(|&at| hole[at]) {
                let near: Vec<usize> = neighbours(at, size).filter(|&p| !hole[p]).collect();
                let mean = |c: usize| {
                    near.iter().map(|p| image[3 * p + c]).sum::<f32>() / near.len() as f32
                };
                if !near.is_empty() {
                    rim.push((at, [mean(0), mean(1), mean(2)]));
                }
            }
            for (at, colour) in rim {
                image[3 * at..3 * at + 3].copy_from_slice(&colour);
                hole[at] = false;
            }
        }
        image
    }
}

/// The up to eight neighbours of a pixel.
fn neighbours(at: usize, [height, width]: Size) -> impl Iterator<Item = usize> {
    let row = at / width;
    let column = at % width;
    let around = |v: usize, side: usize| v.saturating_sub(1)..(v + 2).min(side);
    around(row, height)
        .flat_map(move |y| around(column, width).map(move |x| y * width + x))
        .filter(move |&p| p != at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(shape: &str, grid: usize) -> String {
        let mask = Mask::new(&shape.parse().expect(shape), [grid; 2], Fit::Crop).expect(shape);
        mask.hole
            .iter()
            .map(|&hole| if hole { '#' } else { '.' })
            .collect()
    }

    #[test]
    fn shapes_are_where_their_names_say() {
        assert_eq!(cells("centre:2", 4), ".....##..##.....");
        assert_eq!(cells("topleft:1", 3), "#........");
        assert_eq!(cells("left", 3), "#..#..#..");
        assert_eq!(cells("right", 3), "..#..#..#");
        for wrong in ["", "centre", "centre:x", "below", "left:2"] {
            assert!(
                wrong
                    .parse::<MaskShape>()
                    .is_err_and(|e| e.contains("centre:N")),
                "{wrong}"
            );
        }
        for file in ["hole.jpg", "hole.PNG", "masks/hole", "C:\\hole.webp"] {
            assert_eq!(file.parse(), Ok(MaskShape::File(file.into())));
        }
        for (shape, word) in [
            ("centre:0", "no hole"),
            ("centre:4", "everything"),
            ("topleft:9", "everything"),
        ] {
            let error = Mask::new(&shape.parse().expect(shape), [4, 4], Fit::Crop)
                .err()
                .expect(shape);
            assert!(
                error.exit_code() == 2 && error.to_string().contains(word),
                "{shape}: {error}"
            );
        }
    }

    #[test]
    fn a_hole_is_filled_from_its_rim_and_nothing_else_changes() {
        let mask = Mask::new(&MaskShape::Centre(2), [4, 4], Fit::Crop).expect("a hole");
        let image: Vec<f32> = (0..16 * 16 * 3)
            .map(|i| if i / 3 % 16 < 8 { -0.5 } else { 0.75 })
            .collect();
        let secret: Vec<f32> = image
            .iter()
            .zip(mask.painted(&vec![1.0; image.len()], [16, 16]))
            .map(|(a, b)| a * b)
            .collect();
        let filled = mask.filled(&image, [16, 16]);
        assert_eq!(
            filled,
            mask.filled(&secret, [16, 16]),
            "the hole's own pixels play no role"
        );
        let hole = mask.pixels([16, 16]);
        assert!((0..image.len()).all(|i| hole[i / 3] || filled[i] == image[i]));
        // The left rim is dark, the right one bright.
        assert_eq!(
            (filled[(8 * 16 + 4) * 3], filled[(8 * 16 + 11) * 3]),
            (-0.5, 0.75)
        );
    }
}
