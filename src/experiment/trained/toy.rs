//! Loads a run of the toy as a run on a grid of one row.

use std::path::Path;

use super::{Prior, Trained};
use crate::config::{CodebookConfig, Config, Diffuse, GridConfig, PriorConfig, Stage};
use crate::data::toy::{CODES, DIM, LENGTH};
use crate::error::Result;
use crate::experiment::device::Device;
use crate::experiment::run_dir;
use crate::experiment::subject::points::Points;
use crate::models::first_stage::FixedCodebook;
use crate::models::toy::Toy;

/// Loads the newest checkpoint of the toy's run `run` with the configuration `config`.
///
/// # Errors
/// [`Error::Checkpoint`](crate::error::Error::Checkpoint) if no checkpoint fits.
pub(crate) fn load(run: &Path, config: &Config, device: &Device) -> Result<Trained> {
    let found = run_dir::newest_of(run, &config.model_text())?;
    let gpu = device.open()?;
    let mut model = Toy::new(&gpu, config)?;
    found.weights(&gpu, &mut model, "ema.")?;
    let vectors = model.codebook().detach();
    let prior = model.prior;
    prior.speak(&vectors);
    let grid = grid(config);
    let codebook = grid.codebook.clone().unwrap_or_default();
    Ok(Trained {
        first: Box::new(FixedCodebook::new(&gpu, &codebook, &vectors.to_vec())),
        subject: Box::new(Points),
        prior: Prior::Diffusion(Box::new(prior)),
        stage: stage(config),
        step: found.step,
        run: run.to_path_buf(),
        config: grid,
        gpu,
    })
}

fn stage(config: &Config) -> Stage {
    if config.codes.is_some() {
        Stage::Joint
    } else {
        Stage::Prior
    }
}

/// The toy's configuration as one on a grid of one row.
fn grid(config: &Config) -> GridConfig {
    let diffuse = config
        .codes
        .as_ref()
        .map_or(Diffuse::Data, |codes| codes.diffuse);
    let codebook = CodebookConfig {
        codes: CODES,
        height: 1,
        width: LENGTH,
        dim: DIM,
    };
    GridConfig {
        seed: config.seed,
        bridge: config.bridge.clone(),
        codebook: Some(codebook),
        prior: PriorConfig {
            diffuse,
            ..PriorConfig::default()
        },
        ..GridConfig::default()
    }
}
