//! Sampling options.

use super::asked::ImageFlags;
use crate::models::sampler::Sampler;

/// How samples are drawn.
#[derive(Clone, Debug, Default)]
pub struct Drawing {
    /// Number of samples; `None`: the run's default.
    pub count: Option<usize>,
    /// The sampler; `None`: the run's default.
    pub sampler: Option<Sampler>,
    /// Sampling steps; `None`: all T, or the run's default.
    pub steps: Option<usize>,
    /// Options of image runs only.
    pub images: ImageFlags,
    /// Seed of the noise.
    pub seed: u64,
}

/// The seed of a chunk of samples; the noise of each chunk starts at index 0.
pub(crate) fn chunk_seed(seed: u64, chunk: usize) -> u64 {
    seed ^ (chunk as u64) << 40
}

/// The command-line name of a sampler.
pub fn sampler_name(sampler: Sampler) -> &'static str {
    match sampler {
        Sampler::Ancestral => "ancestral",
        Sampler::Ddim { .. } => "ddim",
        Sampler::Dpmpp2m => "dpmpp2m",
        Sampler::PaperLiteral => "paper-literal",
    }
}
