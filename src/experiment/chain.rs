//! Chains: what the decoder makes of z_t on the way from noise to a picture; the paper's
//! figures 6 and 7.

use super::asked::ImageFlags;
use super::inpaint::MaskedImages;
use super::trained::Trained;
use crate::error::Result;
use crate::models::diffusion::Diffusion;
use crate::models::sampler::{Known, Process, Sampler};
use crate::report::progress::Progress;
use crate::report::samples_file::check_finite;
use crate::tensor::{Shape, Tensor};

/// Pictures of a chain.
pub(crate) const SHOWN: usize = 9;
/// The level where the pictures begin; noisier ones show nothing.
const FROM: usize = 500;

/// The level where the pictures of a chain through `steps` levels begin, unless the user says
/// otherwise.
pub(crate) fn first_level(steps: usize) -> usize {
    FROM.min(steps.div_ceil(2))
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
    pub fn count(&self, trained: &Trained) -> usize {
        match self {
            Start::Noise(count) => *count,
            Start::Pictures(images) => images.len() / trained.example(),
            Start::MaskedImages(holed) => holed.count(),
        }
    }
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
