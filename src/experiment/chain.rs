//! `dbvq-wgpu chain`: what the decoder makes of z_t on the way from noise to a picture; the paper's
//! figures 6 and 7.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Map, json};

use super::asked::{ImageFlags, PictureFlags};
use super::dataset::keep_out_of_images;
use super::inpaint::MaskedImages;
use super::known;
use super::mask::{Mask, MaskShape};
use super::output::Output;
use super::pictures;
use super::pictures::Page;
use super::subject::{RESAMPLE, STEPS};
use super::trained::{Prior, Trained};
use crate::error::{Error, Result};
use crate::experiment::device::Device;
use crate::models::diffusion::Diffusion;
use crate::models::sampler::{Known, Process, Sampler};
use crate::number::counted;
use crate::report::figures::Row;
use crate::report::product::{Folder, Form};
use crate::report::progress::Progress;
use crate::report::samples_file::{Values, check_finite};
use crate::tensor::{Shape, Tensor};

/// What is written.
const FILES: [(&str, Form); 4] = [
    ("chain.safetensors", Form::Tensors),
    ("chain.png", Form::Picture),
    ("chain-animated.png", Form::Picture),
    ("summary.json", Form::Json),
];
/// Pictures of a chain.
const SHOWN: usize = 9;
/// The level where the pictures begin; noisier ones show nothing.
const FROM: usize = 500;

/// The level where the pictures of a chain through `steps` levels begin, unless the user says
/// otherwise.
pub(crate) fn first_level(steps: usize) -> usize {
    FROM.min(steps.div_ceil(2))
}

/// Arguments of `chain`.
#[derive(Clone, Debug)]
pub struct ChainArgs {
    /// A run directory of a diffusion prior.
    pub run: PathBuf,
    /// The level where the pictures begin; `None`: 500, or half of T if that is less.
    pub from_step: Option<usize>,
    /// Pictures to start from, or with a mask to be conditioned on.
    pub known: Vec<PathBuf>,
    /// What of them is sampled.
    pub mask: Option<MaskShape>,
    /// Steps from T to 0; `None`: 100.
    pub steps: Option<usize>,
    /// Chains, without pictures to start from.
    pub count: usize,
    /// Seed of the noise.
    pub seed: u64,
    /// How the pictures are drawn.
    pub pictures: PictureFlags,
    /// Where the files go.
    pub out: PathBuf,
    /// The adapter.
    pub device: Device,
}

/// Draws the chains.
///
/// # Errors
/// [`Error::Checkpoint`] if the run has none that fits, [`Error::Usage`] for flags that do not fit
/// the run, [`Error::Data`] for the pictures, and [`Error::Io`] for the files.
pub fn run(args: &ChainArgs) -> Result<()> {
    if args.mask.is_some() && args.known.is_empty() {
        return Err(Error::Usage(
            "--mask cuts a hole into a picture; name it with --known".into(),
        ));
    }
    keep_out_of_images(&args.out, &args.run)?;
    let mask = if let Some(MaskShape::File(file)) = &args.mask {
        Some(file.as_path())
    } else {
        None
    };
    let _folder = Folder::open(
        &args.out,
        &FILES,
        args.known.iter().map(PathBuf::as_path).chain(mask),
    )?;
    let trained = Trained::load_grid(&args.run, &args.device)?;
    let Prior::Diffusion(model) = &trained.prior else {
        return Err(trained.unfit("chains are of a diffusion prior; name a run of it"));
    };
    let (steps, from) = levels_of(model, args)?;
    let begin = Instant::now();
    let start = start(&trained, args)?;
    let size = trained.config.picture();
    let shown = args.pictures.fits(size, SHOWN, start.count(&trained))?;
    let (levels, frames) = walk(
        &trained,
        model,
        &start,
        &Walk {
            steps,
            resample: RESAMPLE,
            from,
            seed: args.seed,
        },
    )?;
    let seconds = begin.elapsed().as_secs_f64();
    let facts = [
        ("seed", json!(args.seed)),
        ("sampler", json!("ancestral")),
        ("steps", json!(steps)),
    ];
    let kind = match (&args.mask, args.known.is_empty()) {
        (Some(_), _) => "conditional",
        (None, true) => "unconditional",
        (None, false) => "from data",
    };
    let facts = facts
        .into_iter()
        .chain([("from_step", json!(from)), ("chain", json!(kind))]);
    let facts = facts.chain(
        args.mask
            .as_ref()
            .map(|shape| ("mask", json!(shape.to_string()))),
    );
    let mut output = Output::new(&args.out, &trained, facts.collect());
    let image = trained.image();
    let zoom = args.pictures.zoom(size);
    let rows = frames[0].len() / image;
    let row = |row: usize| {
        let cells = frames
            .iter()
            .flat_map(|frame| pictures::each(&frame[row * image..][..image], size, zoom));
        Row {
            cells: cells.collect(),
            ..Row::default()
        }
    };
    let heads = levels.iter().map(|t| (1, format!("t = {t}"))).collect();
    output.picture(
        "chain.png",
        &Page {
            heads,
            rows: (0..shown).map(row).collect(),
        }
        .draw(),
    )?;
    if shown < rows {
        note!("chain.png shows the first {shown}; chain.safetensors has all");
    }
    let columns = pictures::columns(shown, size);
    let still = |frame: &Vec<f32>| pictures::sheet(&frame[..shown * image], size, columns, zoom);
    output.animation(
        "chain-animated.png",
        &frames.iter().map(still).collect::<Vec<_>>(),
    )?;
    let shown: Vec<u32> = levels.iter().map(|&t| t as u32).collect();
    let all: Vec<f32> = frames
        .iter()
        .flat_map(|frame| crate::experiment::output::nchw(frame, size))
        .map(|v| v.clamp(-1.0, 1.0))
        .collect();
    let tensors = [
        ("levels", vec![levels.len()], Values::U32(&shown)),
        (
            "images",
            vec![levels.len(), rows, 3, size[0], size[1]],
            Values::F32(&all),
        ),
    ];
    output.tensors("chain.safetensors", &tensors)?;
    say!("{}, {kind}, at t = {levels:?}", counted(rows, "chain"));
    output.finish(
        &trained,
        seconds,
        Map::from_iter([("levels".to_string(), json!(levels))]),
    )
}

/// Steps of the walk, and the level where the pictures begin.
fn levels_of(model: &Diffusion, args: &ChainArgs) -> Result<(usize, usize)> {
    let all = model.bridge.steps();
    let from = args.from_step.unwrap_or(first_level(all));
    if !(1..=all).contains(&from) {
        return Err(Error::Usage(format!(
            "--from-step {from}: the run's levels are 1 to {all}"
        )));
    }
    let steps = args.steps.unwrap_or(STEPS.min(all));
    model
        .bridge
        .timesteps(steps)
        .map_err(|e| Error::Usage(format!("--sampling-steps: {e}")))?;
    Ok((steps, from))
}

/// Where chains begin.
pub(crate) enum Start {
    /// From noise, so many.
    Noise(usize),
    /// From the noised latents of examples, as their data set has them.
    Pictures(Vec<f32>),
    /// From noise beside the known part of pictures.
    MaskedImages(MaskedImages),
}

impl Start {
    /// Chains.
    fn count(&self, trained: &Trained) -> usize {
        match self {
            Start::Noise(count) => *count,
            Start::Pictures(images) => images.len() / trained.example(),
            Start::MaskedImages(holed) => holed.count(),
        }
    }
}

/// What `args` say of it.
fn start(trained: &Trained, args: &ChainArgs) -> Result<Start> {
    let config = &trained.config;
    if let Some(shape) = &args.mask {
        return Ok(Start::MaskedImages(MaskedImages::new(
            trained,
            &args.known,
            Mask::new(shape, config.grid(), known::fit(config))?,
        )?));
    }
    if args.known.is_empty() {
        return Ok(Start::Noise(args.count));
    }
    Ok(Start::Pictures(known::examples(&args.known, trained)?))
}

/// How chains go on.
pub(crate) struct Walk {
    /// Steps from T to 0.
    pub steps: usize,
    /// Passes over each level beside a known part.
    pub resample: usize,
    /// The level where the pictures begin.
    pub from: usize,
    /// Of the noise.
    pub seed: u64,
}

/// The levels shown, and what the decoder makes of the nearest codes there: [n, size, size, 3]
/// each.
///
/// # Errors
/// [`Error::Usage`] for steps that do not fit, [`Error::Diverged`] if latents or images are not
/// finite.
pub(crate) fn walk(
    trained: &Trained,
    model: &Diffusion,
    start: &Start,
    &Walk {
        steps,
        resample,
        from,
        seed,
    }: &Walk,
) -> Result<(Vec<usize>, Vec<Vec<f32>>)> {
    let ask = trained.ask(&ImageFlags::default());
    let eps = |z: &Tensor, t: usize| model.asked(z, t, &ask);
    let process = trained.process(model, &eps);
    let levels = with_level(&process, steps, from)?;
    let last: Vec<usize> = levels.iter().copied().filter(|&t| t <= from).collect();
    let most = SHOWN.min(last.len());
    let shown: Vec<usize> = (0..most)
        .map(|i| last[i * (last.len() - 1) / (most - 1)])
        .collect();
    let mut progress = Progress::new("chain", 0, levels.len() as u64);
    let mut done = 0;
    let mut frames = Vec::new();
    let frame = |z: &Tensor| {
        let latents = model.restore(z);
        check_finite("latents of the chains", &latents.to_vec())?;
        trained.decode(&trained.first.quantise(&latents))
    };
    let mut seen = |t: usize, z: &Tensor| {
        done += 1;
        progress.at(done, || format!("t = {t}"));
        if shown.contains(&t) {
            frames.push(frame(z));
        }
    };
    let [h, w] = trained.config.grid();
    let standardised = |latents: &[f32]| trained.start(model, &trained.latents(latents));
    match start {
        Start::MaskedImages(holed) => {
            let z0 = standardised(&holed.latents);
            let known = Known {
                z0: &z0,
                mask: &holed.known(trained),
                resample,
            };
            process.inpaint(&known, &levels, seed, &mut seen);
        }
        Start::Noise(count) => {
            let z = process.initial(Shape::from([*count, h, w, trained.config.dim()]), seed);
            process.denoise(&z, &levels, Sampler::Ancestral, seed, &mut seen);
        }
        Start::Pictures(images) => {
            let z = process.noised(&standardised(&trained.encode(images)?), from, seed);
            process.denoise(&z, &last, Sampler::Ancestral, seed, &mut seen);
        }
    }
    progress.finish();
    Ok((shown, frames.into_iter().collect::<Result<_>>()?))
}

/// The levels of `steps` steps, and `from` among them.
fn with_level(process: &Process, steps: usize, from: usize) -> Result<Vec<usize>> {
    let mut levels = process.levels(steps)?;
    if !levels.contains(&from) {
        levels.push(from);
        levels.sort_unstable_by(|a, b| b.cmp(a));
    }
    Ok(levels)
}
