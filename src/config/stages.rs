//! The stages of training image models, and how each is optimised.

use serde::{Deserialize, Serialize};

use super::{Levels, LossWeight, TrainConfig};

/// Optimisation of each stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StagesConfig {
    /// Steps between evaluations on held-out images, which also draw figures; 0 for none.
    pub evaluate_every: u64,
    /// Held-out images per evaluation.
    pub evaluate_images: usize,
    /// Cache the latents of the frozen VQ-VAE in the user's cache directory, at most 5 GiB for each
    /// VQ-VAE and 10 GiB in all. They are bit-identical to uncached ones if the same kernels are
    /// chosen.
    pub latent_cache: bool,
    /// The VQ-VAE.
    pub vqvae: TrainConfig,
    /// The diffusion prior.
    pub prior: TrainConfig,
    /// The PixelCNN.
    pub pixelcnn: TrainConfig,
    /// VQ-VAE and prior together.
    pub joint: TrainConfig,
}

impl Default for StagesConfig {
    fn default() -> Self {
        let stage = TrainConfig {
            lr: 2e-4,
            batch: 64,
            beta2: 0.999,
            clip: 1.0,
            loss: LossWeight::Simple,
            levels: Levels::Uniform {},
            ..TrainConfig::default()
        };
        let [vqvae, prior, pixelcnn, joint] = [(); 4].map(|()| stage.clone());
        StagesConfig {
            evaluate_every: 200,
            evaluate_images: 256,
            latent_cache: true,
            vqvae,
            prior,
            pixelcnn,
            joint,
        }
    }
}

/// Which of the image models is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The VQ-VAE.
    VqVae,
    /// The diffusion prior on its frozen latents.
    Prior,
    /// The PixelCNN on its frozen codes.
    PixelCnn,
    /// VQ-VAE and prior together.
    Joint,
}

impl Stage {
    /// All stages, each after those that it builds on.
    pub const ALL: [Stage; 4] = [Stage::VqVae, Stage::Prior, Stage::PixelCnn, Stage::Joint];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Stage::VqVae => "vqvae",
            Stage::Prior => "prior",
            Stage::PixelCnn => "pixelcnn",
            Stage::Joint => "joint",
        }
    }
}
