//! Readers of foreign bytes that are otherwise private, for their tests (`tests/readers`) and fuzz
//! targets (`fuzz`).
//!
//! A reader of a file that must be right returns the error that a user would see; one of a cache,
//! where a damaged file counts as none, returns what it found.

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

/// Steps in `bytes` of a checkpoint.
///
/// # Errors
/// [`Error::Checkpoint`].
pub fn checkpoint(bytes: &[u8]) -> Result<u64> {
    Ok(nn::checkpoint::parse(Path::new("checkpoint.safetensors"), bytes)?.step)
}

/// The configuration in the directory of an image run.
///
/// # Errors
/// [`Error::Config`], [`Error::Checkpoint`].
pub fn run_configuration(run: &Path) -> Result<GridConfig> {
    configuration(run).map(|(_, config)| config)
}

/// Numbers of those layers of Inception-v3, (name, dimensions), in `bytes` of a file of weights.
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

/// Holes in the mask `file`, of 4 × 4 cells.
///
/// # Errors
/// [`Error::Data`] for the file, [`Error::Usage`] if all of it is a hole, or nothing.
pub fn mask(file: PathBuf) -> Result<usize> {
    let mask = Mask::new(&MaskShape::File(file), [4, 4], Fit::Crop)?;
    Ok(mask.hole.into_iter().filter(|&hole| hole).count())
}

/// Unpacks the archive of CIFAR-10 `file` into `folder`.
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

/// Lines in `bytes` of a log, and numbers along the sides of figures of its curves.
pub fn log(bytes: &[u8]) -> usize {
    let lines = run_dir::lines(bytes);
    let _ = run_dir::wall_seconds(&lines);
    let curves = ["loss", "seconds"].map(|name| run_dir::series(&lines, name));
    let ticks = curves
        .iter()
        .flat_map(|points| [false, true].map(|log| figures::count_ticks(points, log)));
    lines.len() + ticks.sum::<usize>()
}

/// Answers in `bytes` of the file of fastest kernels.
pub fn kernels(bytes: &[u8]) -> usize {
    gpu::count_answers(bytes)
}

/// Bytes in the file of compiled pipelines that may go to a driver.
pub fn pipelines(bytes: &[u8]) -> usize {
    gpu::verified(bytes).map_or(0, <[u8]>::len)
}

/// Filled slots, of 16, in the file of latents `file`, whose latents have 16 numbers.
///
/// # Errors
/// [`Error::Io`] if it cannot be opened.
pub fn latents(file: &Path) -> Result<usize> {
    let opened = File::open(file).map_err(Error::io(file))?;
    Ok(count_filled(opened, 64, 16))
}

/// Numbers in `bytes` of a file of features or of statistics of four features.
pub fn features(bytes: &[u8]) -> usize {
    let Some(content) = fid::verified(bytes) else {
        return 0;
    };
    let statistics = fid::unpack(content, 4).map_or(0, |s| s.mean.len() + s.covariance.len());
    statistics + content.len() / 4
}

/// Images of 12 bytes in the packed file `file`, and how many of them are what they were.
pub fn packed(file: &Path) -> Option<[usize; 2]> {
    crate::data::count_packed(file, 12)
}

/// Codes in `bytes` of a file of samples that an evaluation keeps, of 4 codes below 16 a sample.
pub fn draws(bytes: &[u8]) -> usize {
    parse_draws(bytes, 4, 16).map_or(0, |(codes, _)| codes.len())
}

/// Whether `bytes` are a kept evaluation of a reproduction.
pub fn kept(bytes: &[u8]) -> bool {
    is_kept::<Evaluation>(bytes)
}
