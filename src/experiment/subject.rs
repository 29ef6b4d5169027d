//! What the codes of a run represent: how samples and fillings are shown and summarised.

pub(crate) mod points;

use image::RgbImage;
use serde_json::{Map, Value, json};

use super::asked::PictureFlags;
use super::drawn::Drawn;
use super::mask::Mask;
use super::pictures;
use super::pictures::{Size, numbers};
use super::stages::context::CHUNK;
use super::usage::Usage;
use crate::models::sampler::Sampler;
use crate::number::counted;
use crate::report::figures::{self, Letter, Line, visible};

/// Maximum number of texts printed.
const SAID: usize = 8;

/// Default steps of fillings and chains, and default passes over each level.
pub(crate) const STEPS: usize = 100;
pub(crate) const RESAMPLE: usize = 5;

/// What codes represent.
pub(crate) trait Subject {
    /// What commands do unless the user says otherwise.
    fn defaults(&self) -> Defaults {
        Defaults {
            count: 32,
            fillings: 6,
            sampler: Sampler::Dpmpp2m,
            steps: Some(20),
            fill_steps: Some(STEPS),
            resample: RESAMPLE,
            chunk: CHUNK,
        }
    }

    /// Whether its pictures are made of pixels, so that they can be magnified and saved separately.
    fn has_pixels(&self) -> bool {
        false
    }

    /// A picture of the first `shown` samples.
    fn sheet(&self, drawn: &Drawn, shown: usize, look: &PictureFlags) -> RgbImage;

    /// A picture of fillings.
    fn fillings(&self, filled: &Filled, look: &PictureFlags) -> RgbImage;

    /// Summary of samples: lines to print, and numbers for `summary.json`.
    fn found(&self, drawn: &Drawn) -> Found;

    /// Summary of fillings.
    fn found_of_fillings(&self, filled: &Filled) -> Found {
        filled.found()
    }

    /// The characters that codes stand for, if they are a text's.
    fn symbols(&self) -> Option<&[char]> {
        None
    }

    /// The vectors [k, d] that user-given codes refer to, if these are not the model's own.
    fn anchors(&self) -> Option<Vec<f32>> {
        None
    }
}

/// What commands do unless the user says otherwise.
pub(crate) struct Defaults {
    /// Number of samples.
    pub count: usize,
    /// Number of fillings per original.
    pub fillings: usize,
    /// The sampler.
    pub sampler: Sampler,
    /// Sampling steps; `None`: all T.
    pub steps: Option<usize>,
    /// Steps of fillings; `None`: all T.
    pub fill_steps: Option<usize>,
    /// Passes over each level in filling.
    pub resample: usize,
    /// Samples per batch.
    pub chunk: usize,
}

/// Fillings and their originals.
pub(crate) struct Filled<'a> {
    /// The file of each original, or the given codes.
    pub files: &'a [String],
    /// The name of each original that is shown.
    pub names: &'a [String],
    /// The hole.
    pub mask: &'a Mask,
    /// The originals' codes, [m, h, w].
    pub codes: &'a [u32],
    /// The originals as images, [m, height, width, 3].
    pub pictures: &'a [f32],
    /// The fillings; those of one original are adjacent.
    pub drawn: &'a Drawn,
    /// Fillings per original.
    pub count: usize,
    /// Fillings shown per original.
    pub shown: usize,
}

impl Filled<'_> {
    /// The positions that are known in all originals, with the codes of the first.
    pub fn known(&self) -> Vec<(usize, u32)> {
        let cells = self.mask.hole.iter().zip(self.codes).enumerate();
        cells
            .filter(|(_, (hole, _))| !**hole)
            .map(|(at, (_, &code))| (at, code))
            .collect()
    }

    fn found(&self) -> Found {
        let cells = self.mask.hole.len();
        let holes = self.mask.hole.iter().filter(|&&hole| hole).count();
        let originals = self.codes.len() / cells;
        let each = if originals == 1 {
            String::new()
        } else {
            format!(" for each of {}", counted(originals, "original"))
        };
        let numbers = [
            ("known", json!(self.files)),
            ("count", json!(self.count)),
            ("hole_cells", json!(holes)),
        ];
        Found {
            lines: vec![format!(
                "{} of {holes} of {cells} cells{each}",
                counted(self.count, "filling")
            )],
            numbers: numbers
                .into_iter()
                .map(|(name, value)| (name.to_string(), value))
                .collect(),
        }
    }
}

/// Summary of samples.
#[derive(Default)]
pub(crate) struct Found {
    /// Lines to print.
    pub lines: Vec<String>,
    /// For `summary.json`.
    pub numbers: Map<String, Value>,
}

impl Found {
    fn extend(&mut self, more: Found) {
        self.lines.extend(more.lines);
        self.numbers.extend(more.numbers);
    }
}

/// Summary of code usage: codes in use and perplexity.
fn usage(codes: &[u32], k: usize) -> Found {
    let usage = Usage::of(codes, k);
    let numbers = [
        ("codes_used", json!(usage.used)),
        ("perplexity", json!(usage.perplexity)),
    ];
    Found {
        lines: vec![format!(
            "{} codes in use, perplexity {:.1}",
            usage.used, usage.perplexity
        )],
        numbers: numbers
            .into_iter()
            .map(|(name, value)| (name.to_string(), value))
            .collect(),
    }
}

/// Images, or grids and sequences of codes shown as colours.
pub(crate) struct Coloured {
    /// Height and width of a picture.
    pub size: Size,
    /// Number of codes, K.
    pub codes: usize,
}

impl Subject for Coloured {
    fn has_pixels(&self) -> bool {
        true
    }

    fn sheet(&self, drawn: &Drawn, shown: usize, look: &PictureFlags) -> RgbImage {
        let images = &drawn.images[..shown * numbers(self.size)];
        let columns = pictures::columns(shown, self.size);
        pictures::sheet(images, self.size, columns, look.zoom(self.size))
    }

    fn fillings(&self, filled: &Filled, look: &PictureFlags) -> RgbImage {
        let image = numbers(self.size);
        let mut all = Vec::new();
        let rows = filled
            .pictures
            .chunks_exact(image)
            .zip(filled.drawn.images.chunks_exact(filled.count * image));
        for (original, fillings) in rows.take(filled.names.len()) {
            all.extend_from_slice(original);
            all.extend(filled.mask.painted(original, self.size));
            all.extend_from_slice(&fillings[..filled.shown * image]);
        }
        let zoom = look.zoom(self.size);
        if self.size[0] == 1 {
            return pictures::sheet(&all, self.size, 1, zoom);
        }
        let cells = pictures::each(&all, self.size, zoom);
        pictures::fillings(filled.names, &cells, filled.shown)
    }

    fn found(&self, drawn: &Drawn) -> Found {
        usage(&drawn.codes, self.codes)
    }
}

/// Texts.
pub(crate) struct Text {
    /// The character of each code.
    pub symbols: Vec<char>,
    /// Characters of a sample.
    pub length: usize,
}

impl Text {
    fn letter(&self, code: u32) -> char {
        let known = self.symbols.get(code as usize);
        known.copied().unwrap_or(char::REPLACEMENT_CHARACTER)
    }

    fn line(&self, name: String, codes: &[u32], letter: impl Fn(usize, char) -> Letter) -> Line {
        let letters = codes
            .iter()
            .enumerate()
            .map(|(at, &code)| letter(at, self.letter(code)));
        Line {
            name,
            letters: letters.collect(),
        }
    }

    /// The texts of `codes` [n, length]: lines with the first ones, and all for `summary.json`.
    fn texts(&self, codes: &[u32]) -> Found {
        let text = |sample: &[u32]| sample.iter().map(|&code| self.letter(code)).collect();
        let texts: Vec<String> = codes.chunks_exact(self.length).map(text).collect();
        let line = |text: &String| {
            let line: String = text.chars().map(visible).collect();
            format!("  {line}")
        };
        Found {
            lines: texts.iter().take(SAID).map(line).collect(),
            numbers: Map::from_iter([("texts".to_string(), json!(texts))]),
        }
    }
}

impl Subject for Text {
    fn symbols(&self) -> Option<&[char]> {
        Some(&self.symbols)
    }

    fn sheet(&self, drawn: &Drawn, shown: usize, _look: &PictureFlags) -> RgbImage {
        let samples = drawn.codes.chunks_exact(self.length).take(shown);
        let line = |sample| self.line(String::new(), sample, |_, c| Letter::Plain(c));
        figures::letters(&samples.map(line).collect::<Vec<_>>())
    }

    fn fillings(&self, filled: &Filled, _look: &PictureFlags) -> RgbImage {
        let hole = &filled.mask.hole;
        let originals = filled.codes.chunks_exact(self.length);
        let fillings = filled.drawn.codes.chunks_exact(filled.count * self.length);
        let mut lines = Vec::new();
        for ((name, original), fillings) in filled.names.iter().zip(originals).zip(fillings) {
            let name = pictures::shortened(name);
            lines.push(self.line(name, original, |_, c| Letter::Plain(c)));
            lines.push(self.line("known".into(), original, |at, c| {
                if hole[at] {
                    Letter::Hidden
                } else {
                    Letter::Plain(c)
                }
            }));
            for (i, filling) in fillings
                .chunks_exact(self.length)
                .take(filled.shown)
                .enumerate()
            {
                let name = if i == 0 { "filled" } else { "" };
                lines.push(self.line(name.into(), filling, |at, c| {
                    if hole[at] {
                        Letter::Marked(c)
                    } else {
                        Letter::Plain(c)
                    }
                }));
            }
        }
        figures::letters(&lines)
    }

    fn found(&self, drawn: &Drawn) -> Found {
        let mut found = usage(&drawn.codes, self.symbols.len());
        found.extend(self.texts(&drawn.codes));
        found
    }

    fn found_of_fillings(&self, filled: &Filled) -> Found {
        let mut found = filled.found();
        found.extend(self.texts(&filled.drawn.codes));
        found
    }
}
