//! The paper's figures of image runs, in its layout: samples, chains, conditional samples,
//! reconstructions.

use std::path::Path;

use image::RgbImage;

use crate::config::GridConfig;
use crate::data::{Fit, ImageSet};
use crate::error::Result;
use crate::experiment::chain;
use crate::experiment::chain::{Start, Walk};
use crate::experiment::dataset::{Pictures, ReadingFlags};
use crate::experiment::device::Device;
use crate::experiment::drawing::Drawing;
use crate::experiment::filling::Filling;
use crate::experiment::inpaint;
use crate::experiment::inpaint::MaskedImages;
use crate::experiment::mask::{Mask, MaskShape};
use crate::experiment::reconstruct::reconstructed;
use crate::experiment::subject::{RESAMPLE, STEPS};
use crate::experiment::trained::{Prior, Trained};
use crate::experiment::{pictures, sample};
use crate::report::figures::{Block, Row, gallery};

/// Number of columns of samples.
const COLUMNS: usize = 8;
/// Number of images in figures 8 and 9; chains have one row more.
const PICTURES: usize = 3;
/// Maximum number of classes in figure 19.
const CLASSES: usize = 10;
/// Names of the priors.
const DIFFUSION: &str = "Diffusion prior";
const AS_IN_PAPER: &str = "As in the paper";
const PIXELCNN: &str = "PixelCNN prior";

/// Amount of work for the figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Effort {
    /// Samples of each prior.
    pub samples: usize,
    /// Fillings of a hole.
    pub fillings: usize,
    /// Steps of conditional sampling and of chains.
    pub steps: usize,
    /// Passes over each level.
    pub resample: usize,
}

impl Effort {
    /// Fillings, steps and passes are the defaults of the commands.
    pub const FULL: Effort = Effort {
        samples: 64,
        fillings: 6,
        steps: STEPS,
        resample: RESAMPLE,
    };
    /// For machines without a GPU.
    pub const SMALL: Effort = Effort {
        samples: 32,
        fillings: 4,
        steps: 50,
        resample: 2,
    };
}

/// The runs and images that the figures are drawn from.
pub(crate) struct Paper {
    prior: Trained,
    paper_prior: Trained,
    pixelcnn: Trained,
    joint: Trained,
    held_out: ImageSet,
    effort: Effort,
    seed: u64,
}

impl Paper {
    /// Loads the runs `prior`, `prior-paper`, `pixelcnn` and `joint` in `runs` and reads the images
    /// in `data`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::error::Error::Checkpoint) for the runs,
    /// [`Error::Data`](crate::error::Error::Data) for the images.
    pub fn open(
        runs: &Path,
        (data, reading): (&Path, &ReadingFlags),
        config: &GridConfig,
        effort: Effort,
        device: &Device,
    ) -> Result<Paper> {
        let load = |run: &str| Trained::load(&runs.join(run), device);
        let prior = load("prior")?;
        let paper_prior = load("prior-paper")?;
        let pixelcnn = load("pixelcnn")?;
        let joint = load("joint")?;
        let held_out = Pictures::read(data, config, reading)?.held_out;
        let levels = config.bridge.steps;
        let effort = Effort {
            steps: effort.steps.min(levels),
            ..effort
        };
        Ok(Paper {
            prior,
            paper_prior,
            pixelcnn,
            joint,
            held_out,
            effort,
            seed: config.seed,
        })
    }

    fn size(&self) -> [usize; 2] {
        self.prior.config.picture()
    }

    /// Converts images to cells of a figure.
    fn cells(&self, images: &[f32]) -> Vec<RgbImage> {
        pictures::cells(images, self.size())
    }

    /// Number of held-out images.
    pub fn held_out(&self) -> usize {
        self.held_out.len()
    }

    fn samples_of(&self, trained: &Trained, count: usize) -> Result<Vec<RgbImage>> {
        let drawing = Drawing {
            count: Some(count),
            seed: self.seed,
            ..Drawing::default()
        };
        Ok(self.cells(&sample::draw(trained, &drawing)?.0.images))
    }

    /// Figure 5: samples of the diffusion priors above the PixelCNN's. Then further samples: figure
    /// 14, with the PixelCNN's on the left and those of diffusion on the right (figure 16 of the
    /// paper has only the latter; here it shows the PixelCNN's too). Last, not in the paper,
    /// samples of the model trained end to end.
    pub fn samples(&self) -> Result<[RgbImage; 3]> {
        let count = self.effort.samples;
        let ours = self.samples_of(&self.prior, 2 * count)?;
        let paper = self.samples_of(&self.paper_prior, 2 * count)?;
        let theirs = self.samples_of(&self.pixelcnn, 2 * count)?;
        let joint = self.samples_of(&self.joint, count)?;
        let block = |title: &str, cells: &[RgbImage]| Block::grid(title, cells, COLUMNS);
        Ok([
            gallery(
                &[
                    block("(a) Diffusion prior", &ours[..count]),
                    block("(b) Diffusion prior, as in the paper", &paper[..count]),
                    block("(c) PixelCNN prior", &theirs[..count]),
                ],
                false,
            ),
            gallery(
                &[
                    block(PIXELCNN, &theirs[count..]),
                    block(DIFFUSION, &ours[count..]),
                    block(AS_IN_PAPER, &paper[count..]),
                ],
                true,
            ),
            gallery(&[block("Trained end to end", &joint)], false),
        ])
    }

    /// Figures 13 and 15: originals above their reconstructions by the VQ-VAE.
    pub fn reconstructions(&self) -> Result<RgbImage> {
        let count = self.held_out.len().min(2 * COLUMNS);
        let originals = self
            .held_out
            .floats(&(0..count as u32).collect::<Vec<_>>())?;
        let (_, images) = reconstructed(&self.prior, &originals)?;
        let [originals, images] = [&originals, &images].map(|images| self.cells(images));
        let mut rows = Vec::new();
        for (above, below) in originals.chunks(COLUMNS).zip(images.chunks(COLUMNS)) {
            rows.push(Row {
                name: "original".into(),
                cells: above.to_vec(),
                apart: !rows.is_empty(),
            });
            rows.push(Row {
                name: "VQ-VAE".into(),
                cells: below.to_vec(),
                apart: false,
            });
        }
        Ok(gallery(
            &[Block {
                rows,
                ..Block::default()
            }],
            false,
        ))
    }

    fn mask(&self, shape: &MaskShape) -> Result<Mask> {
        Mask::new(shape, self.prior.config.grid(), Fit::Crop)
    }

    /// `count` fillings of the hole `shape` in `originals` by the prior of `trained`.
    fn filled(
        &self,
        trained: &Trained,
        originals: &[f32],
        shape: &MaskShape,
        count: usize,
    ) -> Result<Vec<RgbImage>> {
        let holed = MaskedImages::of(trained, originals.to_vec(), self.mask(shape)?)?;
        let (steps, resample) = match &trained.prior {
            Prior::PixelCnn(_) => (None, None),
            // A network that is conditioned on what is known needs neither.
            Prior::Diffusion(model) if model.is_told() => (None, None),
            _ => (Some(self.effort.steps), Some(self.effort.resample)),
        };
        let filling = Filling {
            resample,
            steps,
            seed: self.seed,
            ..Filling::default()
        };
        Ok(self.cells(&inpaint::fill(trained, &filling, &holed, count)?.0.images))
    }

    /// Reconstructions of `originals` by the VQ-VAE, whole and with the hole `shape` painted over.
    fn whole_and_masked(&self, originals: &[f32], shape: &MaskShape) -> Result<[Vec<RgbImage>; 2]> {
        let mask = self.mask(shape)?;
        let (_, whole) = reconstructed(&self.prior, originals)?;
        let painted = whole
            .chunks_exact(self.prior.image())
            .flat_map(|image| mask.painted(image, self.size()));
        Ok([self.cells(&whole), self.cells(&painted.collect::<Vec<_>>())])
    }

    /// Figures 8 and 9: for each of three images a row per prior, with the known part on the left,
    /// the VQ-VAE's reconstruction on the right, and independent fillings between them.
    pub fn conditional(&self, shape: &MaskShape) -> Result<RgbImage> {
        let count = PICTURES.min(self.held_out.len());
        let fillings = self.effort.fillings;
        let originals = self
            .held_out
            .floats(&(0..count as u32).collect::<Vec<_>>())?;
        let [whole, masked] = self.whole_and_masked(&originals, shape)?;
        let ours = self.filled(&self.prior, &originals, shape, fillings)?;
        let paper = self.filled(&self.paper_prior, &originals, shape, fillings)?;
        let theirs = self.filled(&self.pixelcnn, &originals, shape, fillings)?;
        let mut rows = Vec::new();
        for i in 0..count {
            for (name, of) in [
                (DIFFUSION, &ours),
                (AS_IN_PAPER, &paper),
                (PIXELCNN, &theirs),
            ] {
                let mut cells = vec![masked[i].clone()];
                cells.extend_from_slice(&of[i * fillings..][..fillings]);
                cells.push(whole[i].clone());
                rows.push(Row {
                    name: name.into(),
                    cells,
                    apart: name == DIFFUSION && i > 0,
                });
            }
        }
        let heads = vec![
            (1, "known".into()),
            (fillings, "independent samples".into()),
            (1, "VQ-VAE".into()),
        ];
        Ok(gallery(
            &[Block {
                heads,
                rows,
                ..Block::default()
            }],
            false,
        ))
    }

    /// Figure 17: the right half sampled given the left half.
    pub fn halves(&self) -> Result<RgbImage> {
        let count = COLUMNS.min(self.held_out.len());
        let shape = MaskShape::Right;
        let originals = self
            .held_out
            .floats(&(0..count as u32).collect::<Vec<_>>())?;
        let [whole, masked] = self.whole_and_masked(&originals, &shape)?;
        let ours = self.filled(&self.prior, &originals, &shape, 1)?;
        let paper = self.filled(&self.paper_prior, &originals, &shape, 1)?;
        let theirs = self.filled(&self.pixelcnn, &originals, &shape, 2)?;
        let [first, second] = [0, 1].map(|i| theirs.iter().skip(i).step_by(2).cloned().collect());
        let names = [
            "VQ-VAE",
            "known",
            DIFFUSION,
            AS_IN_PAPER,
            "PixelCNN prior, 1",
            "PixelCNN prior, 2",
        ];
        let rows = names
            .into_iter()
            .zip([whole, masked, ours, paper, first, second]);
        let rows = rows
            .map(|(name, cells)| Row {
                name: name.into(),
                cells,
                apart: false,
            })
            .collect();
        Ok(gallery(
            &[Block {
                rows,
                ..Block::default()
            }],
            false,
        ))
    }

    /// Figure 19: a row per class, the right half sampled given the left half; the paper shows only
    /// the PixelCNN's.
    pub fn classes(&self) -> Result<RgbImage> {
        let shape = MaskShape::Right;
        let set = &self.held_out;
        let of_class =
            |class: usize| (0..set.len()).filter(move |&i| set.labels[i] as usize == class);
        let most = set.counts().into_iter().max().unwrap_or(0);
        let each = self.effort.fillings.div_ceil(2).min(most);
        let shown: Vec<(usize, Vec<u32>)> = (0..set.classes.len())
            .map(|class| {
                (
                    class,
                    of_class(class)
                        .take(each)
                        .map(|i| i as u32)
                        .collect::<Vec<u32>>(),
                )
            })
            .filter(|(_, pictures)| pictures.len() == each)
            .take(CLASSES)
            .collect();
        let all: Vec<u32> = shown
            .iter()
            .flat_map(|(_, pictures)| pictures)
            .copied()
            .collect();
        let originals = set.floats(&all)?;
        let [_, masked] = self.whole_and_masked(&originals, &shape)?;
        let ours = self.filled(&self.prior, &originals, &shape, 1)?;
        let paper = self.filled(&self.paper_prior, &originals, &shape, 1)?;
        let theirs = self.filled(&self.pixelcnn, &originals, &shape, 1)?;
        let groups = [self.cells(&originals), masked, theirs, ours, paper];
        let row = |(i, (class, _)): (usize, &(usize, Vec<u32>))| Row {
            name: set.classes[*class].clone(),
            cells: groups
                .iter()
                .flat_map(|cells| &cells[i * each..][..each])
                .cloned()
                .collect(),
            apart: false,
        };
        let heads = ["original", "known", PIXELCNN, DIFFUSION, AS_IN_PAPER]
            .map(|name| (each, name.to_string()))
            .into();
        let rows = shown.iter().enumerate().map(row).collect();
        Ok(gallery(
            &[Block {
                heads,
                rows,
                ..Block::default()
            }],
            false,
        ))
    }

    /// Figures 6, 7 and 18: decoded z_t as t decreases, conditioned on the image outside the hole
    /// `shape`, or unconditional.
    pub fn chains(&self, shape: Option<&MaskShape>) -> Result<RgbImage> {
        let Prior::Diffusion(model) = &self.prior.prior else {
            return Err(self.prior.unfit("chains are of a diffusion prior"));
        };
        let count = (PICTURES + 1).min(self.held_out.len());
        let start = match shape {
            None => Start::Noise(count),
            Some(shape) => {
                let originals = self
                    .held_out
                    .floats(&(0..count as u32).collect::<Vec<_>>())?;
                Start::MaskedImages(MaskedImages::of(&self.prior, originals, self.mask(shape)?)?)
            }
        };
        let steps = self.effort.steps;
        let resample = self.effort.resample;
        let walk = Walk {
            steps,
            resample,
            from: chain::first_level(model.bridge.steps()),
            seed: self.seed,
        };
        let (levels, frames) = chain::walk(&self.prior, model, &start, &walk)?;
        let mut columns = vec![];
        let mut heads = vec![];
        if let (Some(shape), Start::MaskedImages(holed)) = (shape, &start) {
            columns.push(self.whole_and_masked(&holed.originals, shape)?[1].clone());
            heads.push((1, "known".to_string()));
        }
        columns.extend(frames.iter().map(|frame| self.cells(frame)));
        heads.extend(levels.iter().map(|t| (1, format!("t = {t}"))));
        let row = |i: usize| Row {
            cells: columns.iter().map(|c| c[i].clone()).collect(),
            ..Row::default()
        };
        Ok(gallery(
            &[Block {
                heads,
                rows: (0..count).map(row).collect(),
                ..Block::default()
            }],
            false,
        ))
    }
}
