//! What sampling is asked for.

use super::asked::ImageFlags;
use crate::models::sampler::Sampler;

/// How samples are drawn.
#[derive(Clone, Debug, Default)]
pub struct Drawing {
    /// Samples; `None`: as many as suits the run.
    pub count: Option<usize>,
    /// The sampler; `None`: what suits the run.
    pub sampler: Option<Sampler>,
    /// Steps; `None`: all T, or what suits the run.
    pub steps: Option<usize>,
    /// What only image runs can be told.
    pub images: ImageFlags,
    /// Seed of the noise.
    pub seed: u64,
}

/// The seed of a chunk of samples: its noise starts at index 0 again.
pub(crate) fn chunk_seed(seed: u64, chunk: usize) -> u64 {
    seed ^ (chunk as u64) << 40
}

/// The name by which the command line knows a sampler.
pub fn sampler_name(sampler: Sampler) -> &'static str {
    match sampler {
        Sampler::Ancestral => "ancestral",
        Sampler::Ddim { .. } => "ddim",
        Sampler::Dpmpp2m => "dpmpp2m",
        Sampler::PaperLiteral => "paper-literal",
    }
}
