//! Chains: decoded z_t on the way from noise to an image; figures 6 and 7 of the paper.

use super::asked::ImageFlags;
use super::inpaint::MaskedImages;
use super::trained::Trained;
use crate::error::Result;
use crate::models::diffusion::Diffusion;
use crate::models::sampler::{Known, Process, Sampler};
use crate::report::progress::Progress;
use crate::report::samples_file::check_finite;
use crate::tensor::{Shape, Tensor};

/// Images shown per chain.
pub(crate) const SHOWN: usize = 9;
/// The first level shown; noisier ones decode to nothing recognisable.
const FROM: usize = 500;

/// The default first level shown of a chain with `steps` levels.
pub(crate) fn first_level(steps: usize) -> usize {
    FROM.min(steps.div_ceil(2))
}

/// Where chains begin.
pub(crate) enum Start {
    /// From noise: the number of chains.
    Noise(usize),
    /// From the noised latents of examples, given in the format of their data set.
    Pictures(Vec<f32>),
    /// From noise, with part of each image known.
    MaskedImages(MaskedImages),
}

impl Start {
    /// Number of chains.
    pub fn count(&self, trained: &Trained) -> usize {
        match self {
            Start::Noise(count) => *count,
            Start::Pictures(images) => images.len() / trained.example(),
            Start::MaskedImages(holed) => holed.count(),
        }
    }
}

/// How chains are walked.
pub(crate) struct Walk {
    /// Steps from T to 0.
    pub steps: usize,
    /// Passes over each level when part is known.
    pub resample: usize,
    /// The first level shown.
    pub from: usize,
    /// Seed of the noise.
    pub seed: u64,
}

/// The levels shown, and for each the decoded nearest codes, [n, height, width, 3].
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

/// The levels of `steps` steps, with `from` inserted if it is missing.
fn with_level(process: &Process, steps: usize, from: usize) -> Result<Vec<usize>> {
    let mut levels = process.levels(steps)?;
    if !levels.contains(&from) {
        levels.push(from);
        levels.sort_unstable_by(|a, b| b.cmp(a));
    }
    Ok(levels)
}
