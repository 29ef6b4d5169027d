//! Texts drawn with one character per cell.

use image::RgbImage;

use super::plot::{Canvas, Ink, Type, text_width};

/// Width and height of a cell.
const CELL: [f32; 2] = [9.0, 20.0];
const MARGIN: f32 = 12.0;
const NAME: f32 = 12.0;
/// Background of highlighted characters.
const MARK: Ink = Ink::hex(0xFFE08A);
/// Background of unknown characters.
const HOLE: Ink = Ink::hex(0xDDDDDD);

/// How a character is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letter {
    /// Without a background.
    Plain(char),
    /// On a coloured background.
    Marked(char),
    /// An empty grey cell.
    Hidden,
}

/// A line of text with its label.
#[derive(Clone, Debug)]
pub struct Line {
    /// Label to the left.
    pub name: String,
    /// The characters, from left to right.
    pub letters: Vec<Letter>,
}

/// The character that a cell shows: symbols for line ends, tabs and control characters.
pub fn visible(letter: char) -> char {
    match letter {
        '\n' => '¶',
        '\t' => '»',
        c if c.is_control() => '·',
        c => c,
    }
}

/// Draws the lines below one another.
pub fn letters(lines: &[Line]) -> RgbImage {
    let style = Type {
        size: NAME,
        ink: Ink::GREY,
        align: 1.0,
        ..Type::default()
    };
    let names = lines
        .iter()
        .map(|line| text_width(&line.name, style))
        .fold(0.0, f32::max);
    let left = MARGIN + names + if names > 0.0 { 8.0 } else { 0.0 };
    let longest = lines
        .iter()
        .map(|line| line.letters.len())
        .max()
        .unwrap_or(0);
    let width = left + longest as f32 * CELL[0] + MARGIN;
    let height = 2.0 * MARGIN + lines.len() as f32 * CELL[1];
    let mut canvas = Canvas::new(width as u32, height as u32);
    for (i, line) in lines.iter().enumerate() {
        let top = MARGIN + i as f32 * CELL[1];
        let middle = top + CELL[1] / 2.0;
        canvas.text([left - 8.0, middle], &line.name, style);
        for (j, letter) in line.letters.iter().enumerate() {
            let corner = [left + j as f32 * CELL[0], top + 1.0];
            let ground = match letter {
                Letter::Plain(_) => None,
                Letter::Marked(_) => Some(MARK),
                Letter::Hidden => Some(HOLE),
            };
            if let Some(ink) = ground {
                canvas.bar(corner, [CELL[0] + 0.5, CELL[1] - 2.0], ink);
            }
            if let Letter::Plain(c) | Letter::Marked(c) = *letter {
                let sign = visible(c) != c;
                let style = Type {
                    size: 13.0,
                    ink: if sign { Ink::GREY } else { Ink::BLACK },
                    ..Type::default()
                };
                let at = [corner[0] + CELL[0] / 2.0, middle];
                canvas.text(at, &visible(c).to_string(), style);
            }
        }
    }
    canvas.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_letter_has_its_ground() {
        let page = letters(&[Line {
            name: String::new(),
            letters: vec![Letter::Plain(' '), Letter::Marked(' '), Letter::Hidden],
        }]);
        let at = |cell: f32| {
            let x = 2.0 * (MARGIN + (cell + 0.5) * CELL[0]);
            page.get_pixel(x as u32, (2.0 * (MARGIN + 5.0)) as u32).0
        };
        assert_eq!(at(0.0), [255; 3]);
        assert_eq!(at(1.0), [0xFF, 0xE0, 0x8A]);
        assert_eq!(at(2.0), [0xDD; 3]);
    }
}
