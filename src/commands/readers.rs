//! Parsers of untrusted bytes that are otherwise private, exposed for tests (`tests/readers`) and
//! fuzz targets (`fuzz`).
//!
//! A parser of an input file returns the error that a user would see. A parser of a cache file,
//! where a damaged file counts as missing, returns what it found.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::download;
use super::reproduce::is_kept;
use crate::config::GridConfig;
use crate::conformance;
use crate::data::Fit;
use crate::data::cifar10::place::OFFICIAL;
use crate::error::{Error, Result};
use crate::evaluate::{Evaluation, features as fid, parse_draws};
use crate::experiment::mask::{Mask, MaskShape};
use crate::experiment::run_dir;
use crate::experiment::stages::latents::count_filled;
use crate::experiment::trained::configuration;
use crate::gpu;
use crate::nn;
use crate::report::figures;

/// The training step stored in the checkpoint `bytes`.
///
/// # Errors
/// [`Error::Checkpoint`].
pub fn checkpoint(bytes: &[u8]) -> Result<u64> {
    Ok(nn::checkpoint::parse(Path::new("checkpoint.safetensors"), bytes)?.step)
}

/// The configuration in an image run's directory.
///
/// # Errors
/// [`Error::Config`], [`Error::Checkpoint`].
pub fn run_configuration(run: &Path) -> Result<GridConfig> {
    configuration(run).map(|(_, config)| config)
}

/// Total number of values of these tensors of Inception-v3, (name, dimensions), in the weights file
/// `bytes`.
///
/// # Errors
/// [`Error::Checkpoint`].
pub fn weights(bytes: &[u8], layers: &[(&str, &[usize])]) -> Result<usize> {
    let wrong = |what| Error::checkpoint("weights.safetensors", what);
    let file = fid::parse_weights(bytes).map_err(wrong)?;
    layers
        .iter()
        .map(|(name, dims)| {
            fid::numbers(&file, name, dims)
                .map_err(wrong)
                .map(|numbers| numbers.len())
        })
        .sum()
}

/// Number of hole cells in the mask `file` on a grid of 4 × 4 cells.
///
/// # Errors
/// [`Error::Data`] for the file, [`Error::Usage`] if all or none of it is a hole.
pub fn mask(file: PathBuf) -> Result<usize> {
    let mask = Mask::new(&MaskShape::File(file), [4, 4], Fit::Crop)?;
    Ok(mask.hole.into_iter().filter(|&hole| hole).count())
}

/// Unpacks the CIFAR-10 archive `file` into `folder`.
///
/// # Errors
/// [`Error::Data`].
pub fn archive(file: &Path, folder: &Path) -> Result<()> {
    let mut opened = File::open(file).map_err(Error::io(file))?;
    download::unpack(&mut opened, file, folder, &OFFICIAL.map(|(name, _)| name))
}

/// The page of the conformance report `file`.
///
/// # Errors
/// [`Error::Data`].
pub fn report(file: PathBuf) -> Result<String> {
    conformance::page(&[file])
}

/// Number of lines in the log `bytes`, plus the number of axis ticks in plots of its curves.
pub fn log(bytes: &[u8]) -> usize {
    let lines = run_dir::lines(bytes);
    let _ = run_dir::wall_seconds(&lines);
    let curves = ["loss", "seconds"].map(|name| run_dir::series(&lines, name));
    let ticks = curves
        .iter()
        .flat_map(|points| [false, true].map(|log| figures::count_ticks(points, log)));
    lines.len() + ticks.sum::<usize>()
}

/// Number of entries in the tuning cache `bytes`, which names the fastest kernels.
pub fn kernels(bytes: &[u8]) -> usize {
    gpu::count_answers(bytes)
}

/// Number of bytes in the pipeline cache `bytes` that may be passed to a driver.
pub fn pipelines(bytes: &[u8]) -> usize {
    gpu::verified(bytes).map_or(0, <[u8]>::len)
}

/// Number of filled slots, of 16, in the latents file `file`; its latents have 16 numbers.
///
/// # Errors
/// [`Error::Io`] if it cannot be opened.
pub fn latents(file: &Path) -> Result<usize> {
    let opened = File::open(file).map_err(Error::io(file))?;
    Ok(count_filled(opened, 64, 16))
}

/// Number of values in `bytes` of a cache file, read as features and as statistics of four
/// features.
pub fn features(bytes: &[u8]) -> usize {
    let Some(content) = fid::verified(bytes) else {
        return 0;
    };
    let statistics = fid::unpack(content, 4).map_or(0, |s| s.mean.len() + s.covariance.len());
    statistics + content.len() / 4
}

/// Number of images of 12 bytes in the packed file `file`, and how many of them are intact.
pub fn packed(file: &Path) -> Option<[usize; 2]> {
    crate::data::count_packed(file, 12)
}

/// Number of codes in the samples file `bytes` of an evaluation, with 4 codes below 16 per sample.
pub fn draws(bytes: &[u8]) -> usize {
    parse_draws(bytes, 4, 16).map_or(0, |(codes, _)| codes.len())
}

/// Whether `bytes` are a kept evaluation of a reproduction.
pub fn kept(bytes: &[u8]) -> bool {
    is_kept::<Evaluation>(bytes)
}
