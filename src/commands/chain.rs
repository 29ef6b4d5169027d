//! `dbvq-wgpu chain`: decoded z_t on the way from noise to an image; the paper's figures 6 and 7.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use image::RgbImage;
use serde_json::{Map, Value, json};

use super::sample::{SamplerName, only_ancestral, scale_of};
use super::{DeviceFlags, count_of};
use crate::error::{Error, Result};
use crate::experiment::asked::PictureFlags;
use crate::experiment::chain::{SHOWN, Start, Walk, first_level, walk};
use crate::experiment::dataset::keep_out_of_images;
use crate::experiment::inpaint::MaskedImages;
use crate::experiment::known;
use crate::experiment::mask::{Mask, MaskShape};
use crate::experiment::output::{Output, nchw};
use crate::experiment::pictures::{self, Page, Size, numbers};
use crate::experiment::subject::{RESAMPLE, STEPS};
use crate::experiment::trained::{Prior, Trained};
use crate::models::diffusion::Diffusion;
use crate::number::counted;
use crate::report::figures::Row;
use crate::report::product::{Folder, Form};
use crate::report::samples_file::Values;

/// Output files.
const FILES: [(&str, Form); 4] = [
    ("chain.safetensors", Form::Tensors),
    ("chain.png", Form::Picture),
    ("chain-animated.png", Form::Picture),
    ("summary.json", Form::Json),
];
#[derive(Args, Debug)]
pub(super) struct ChainFlags {
    /// A run directory of a diffusion prior.
    run: PathBuf,
    /// The level t of the first image shown; 500 by default, T/2 if that is less.
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    from_step: Option<usize>,
    /// Images: with --mask, what surrounds the hole; without --mask, the chains start from their
    /// noised latents.
    #[arg(long, value_name = "IMAGE", num_args = 1..)]
    known: Vec<PathBuf>,
    /// The hole, as in `inpaint`.
    #[arg(long, value_name = "SHAPE")]
    mask: Option<MaskShape>,
    /// Steps from T to 0; 100 by default.
    #[arg(long, allow_negative_numbers = true)]
    sampling_steps: Option<usize>,
    /// Chains take ancestral steps only; this hidden flag gives a better error than clap's
    /// suggestion.
    #[arg(long, value_enum, hide = true)]
    sampler: Option<SamplerName>,
    /// Enlarge each pixel to N × N; by default images become about 128 pixels wide.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    scale: Option<usize>,
    /// Number of chains, without --known; 4 by default.
    #[arg(long, conflicts_with = "known", allow_negative_numbers = true)]
    count: Option<usize>,
    /// Seed of the noise.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    seed: u64,
    /// Directory for chain.png, chain-animated.png, chain.safetensors, summary.json.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    device: DeviceFlags,
}

impl ChainFlags {
    pub(super) fn run(self) -> Result<()> {
        only_ancestral("chain", self.sampler)?;
        let count = count_of(self.count)?.unwrap_or(4);
        let look = PictureFlags {
            scale: scale_of(self.scale)?,
            separate: false,
        };
        if self.mask.is_some() && self.known.is_empty() {
            return Err(Error::Usage(
                "--mask cuts a hole in an image; name the image with --known".into(),
            ));
        }
        keep_out_of_images(&self.out, &self.run)?;
        let mask = self.mask.as_ref().and_then(MaskShape::file);
        let inputs = self.known.iter().map(PathBuf::as_path).chain(mask);
        let _folder = Folder::open(&self.out, &FILES, inputs)?;
        let trained = Trained::load_grid(&self.run, &self.device.clone().into())?;
        let Prior::Diffusion(model) = &trained.prior else {
            return Err(trained.unfit("chains need a diffusion prior; name a run that has one"));
        };
        let (steps, from) = self.levels(model)?;
        let begin = Instant::now();
        let start = self.start(&trained, count)?;
        let size = trained.config.picture();
        let shown = look.fits(size, SHOWN, start.count(&trained))?;
        let how = Walk {
            steps,
            resample: RESAMPLE,
            from,
            seed: self.seed,
        };
        let (levels, frames) = walk(&trained, model, &start, &how)?;
        let seconds = begin.elapsed().as_secs_f64();
        let chains = Chains {
            levels: &levels,
            frames: &frames,
            size,
        };
        let mut output = Output::new(&self.out, &trained, self.facts(steps, from));
        chains.write(&mut output, shown, look.zoom(size))?;
        say!(
            "{}, {}, at t = {levels:?}",
            counted(chains.count(), "chain"),
            self.kind()
        );
        output.finish(
            &trained,
            seconds,
            Map::from_iter([("levels".to_string(), json!(levels))]),
        )
    }

    /// What the chains start from, in a word.
    fn kind(&self) -> &'static str {
        match (&self.mask, self.known.is_empty()) {
            (Some(_), _) => "conditional",
            (None, true) => "unconditional",
            (None, false) => "from data",
        }
    }

    /// Metadata for the output files.
    fn facts(&self, steps: usize, from: usize) -> Vec<(&'static str, Value)> {
        let mut facts = vec![
            ("seed", json!(self.seed)),
            ("sampler", json!("ancestral")),
            ("steps", json!(steps)),
            ("from_step", json!(from)),
            ("chain", json!(self.kind())),
        ];
        let mask = self.mask.as_ref();
        facts.extend(mask.map(|shape| ("mask", json!(shape.to_string()))));
        facts
    }

    /// Number of steps, and the level of the first image shown.
    fn levels(&self, model: &Diffusion) -> Result<(usize, usize)> {
        let all = model.bridge.steps();
        let from = self.from_step.unwrap_or(first_level(all));
        if !(1..=all).contains(&from) {
            return Err(Error::Usage(format!(
                "--from-step {from}: the run's levels are 1 to {all}"
            )));
        }
        let steps = self.sampling_steps.unwrap_or(STEPS.min(all));
        model
            .bridge
            .timesteps(steps)
            .map_err(|e| Error::Usage(format!("--sampling-steps: {e}")))?;
        Ok((steps, from))
    }

    /// Where the chains begin.
    fn start(&self, trained: &Trained, count: usize) -> Result<Start> {
        let config = &trained.config;
        if let Some(shape) = &self.mask {
            return Ok(Start::MaskedImages(MaskedImages::new(
                trained,
                &self.known,
                Mask::new(shape, config.grid(), known::fit(config))?,
            )?));
        }
        if self.known.is_empty() {
            return Ok(Start::Noise(count));
        }
        Ok(Start::Pictures(known::examples(&self.known, trained)?))
    }
}

/// Chains to write.
struct Chains<'a> {
    /// The levels that are shown.
    levels: &'a [usize],
    /// The images at each level, [n, height, width, 3].
    frames: &'a [Vec<f32>],
    /// Of an image.
    size: Size,
}

impl Chains<'_> {
    /// Number of chains.
    fn count(&self) -> usize {
        self.frames[0].len() / numbers(self.size)
    }

    /// Writes pictures of the first `shown` chains, and all as tensors.
    fn write(&self, output: &mut Output, shown: usize, zoom: usize) -> Result<()> {
        output.picture("chain.png", &self.page(shown, zoom))?;
        if shown < self.count() {
            note!("chain.png shows the first {shown}; chain.safetensors has all");
        }
        let columns = pictures::columns(shown, self.size);
        let seen = shown * numbers(self.size);
        let still = |frame: &Vec<f32>| pictures::sheet(&frame[..seen], self.size, columns, zoom);
        let stills: Vec<RgbImage> = self.frames.iter().map(still).collect();
        output.animation("chain-animated.png", &stills)?;
        let levels: Vec<u32> = self.levels.iter().map(|&t| t as u32).collect();
        let frames = self.frames.iter().flat_map(|frame| nchw(frame, self.size));
        let images: Vec<f32> = frames.map(|v| v.clamp(-1.0, 1.0)).collect();
        let [height, width] = self.size;
        let shape = vec![levels.len(), self.count(), 3, height, width];
        let tensors = [
            ("levels", vec![levels.len()], Values::U32(&levels)),
            ("images", shape, Values::F32(&images)),
        ];
        output.tensors("chain.safetensors", &tensors)
    }

    /// A row for each of the first `shown` chains, a column for each level.
    fn page(&self, shown: usize, zoom: usize) -> RgbImage {
        let image = numbers(self.size);
        let row = |row: usize| {
            let images = self
                .frames
                .iter()
                .map(|frame| &frame[row * image..][..image]);
            let cells = images.flat_map(|image| pictures::each(image, self.size, zoom));
            Row {
                cells: cells.collect(),
                ..Row::default()
            }
        };
        let heads = self.levels.iter().map(|t| (1, format!("t = {t}")));
        let page = Page {
            heads: heads.collect(),
            rows: (0..shown).map(row).collect(),
        };
        page.draw()
    }
}
