//! Inpainting options.

use super::asked::ImageFlags;

/// How the missing part is drawn.
#[derive(Clone, Debug, Default)]
pub struct Filling {
    /// Passes over each level; `None`: the run's default.
    pub resample: Option<usize>,
    /// Sampling steps of the diffusion prior; `None`: the run's default.
    pub steps: Option<usize>,
    /// Options of image runs only.
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
