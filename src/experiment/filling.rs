//! What inpainting is asked for.

use super::asked::ImageFlags;

/// How what is missing is drawn.
#[derive(Clone, Debug, Default)]
pub struct Filling {
    /// Passes over each level; `None`: what suits the run.
    pub resample: Option<usize>,
    /// Steps of an image run's diffusion prior; `None`: what suits it.
    pub steps: Option<usize>,
    /// What only image runs can be told.
    pub images: ImageFlags,
    /// Seed of the noise.
    pub seed: u64,
}

/// A kind of prior on codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriorKind {
    /// The bridge on latents.
    Diffusion,
    /// The PixelCNN on codes.
    PixelCnn,
}
