//! Algorithm 1 end to end on images: the VQ-VAE and its diffusion prior as one model with one loss.
//!
//! The decoder reconstructs from the quantised encoder output, not from the denoiser's ẑ_0, with
//! which nothing is learnt.

use super::algorithm1::{self, Encoded};
use super::diffusion::Diffusion;
use super::first_stage::FirstStage;
use super::lesson::Plan;
use super::vqvae::{Step, VqVae};
use crate::config::{Diffuse, GridConfig, JointConfig, StagesConfig};
use crate::error::Result;
use crate::nn::Module;
use crate::nn::init::Init;
use crate::nn::layers::visit_part;
use crate::ops;
use crate::philox::Stream;
use crate::tensor::{Codes, Tensor};

/// Both models.
pub struct Joint {
    /// Encoder, codebook, decoder.
    pub vqvae: VqVae,
    /// ε_θ, the bridge, and the moments by which latents are standardised.
    pub prior: Diffusion,
    config: JointConfig,
}

impl Joint {
    /// Both with random weights.
    ///
    /// # Errors
    /// [`Error::Config`](crate::error::Error::Config) if the bridge's parameters are invalid, or z*
    /// does not fit the latents' channels.
    pub fn new(init: &mut Init, config: &GridConfig) -> Result<Joint> {
        let vqvae = VqVae::new(init, &config.vqvae);
        // The prior's loss is configured by this stage.
        let stages = StagesConfig {
            prior: config.stages.joint.clone(),
            ..config.stages.clone()
        };
        let prior = Diffusion::new(
            init,
            &GridConfig {
                stages,
                ..config.clone()
            },
        )?;
        Ok(Joint {
            vqvae,
            prior,
            config: config.joint.clone(),
        })
    }

    /// z_0 of the bridge, standardised: the encoder's output `latents` [n, h, w, d], or the vectors
    /// of its `codes` [n, h, w] with a straight-through gradient.
    pub fn start(&self, latents: &Tensor, codes: &Codes) -> Tensor {
        match self.config.diffuse {
            Diffuse::Data => self.prior.standardise(latents),
            Diffuse::Codes => self.prior.standardise(&ops::straight_through(
                latents,
                &self.vqvae.look_up(codes).detach(),
            )),
        }
    }

    /// The losses of Algorithm 1 for `images` [n, h, w, 3] at the levels of `plan`: those of the
    /// VQ-VAE, L_t and L_reg. `class` `[n]` is for a class-conditional prior. `stream.step` is the
    /// training step.
    pub fn step(
        &self,
        images: &Tensor,
        plan: &Plan,
        class: Option<&Codes>,
        stream: Stream,
    ) -> Step {
        let Step {
            losses,
            latents,
            codes,
        } = self.vqvae.step(images, stream);
        let start = self.start(&latents, &codes);
        let encoded = Encoded {
            losses,
            start: &start,
            regularised: &start,
            codes: &codes,
            vectors: &self.vqvae.vectors(),
        };
        Step {
            losses: algorithm1::losses(&self.prior, &self.config, encoded, plan, class, stream),
            latents,
            codes,
        }
    }
}

impl Module for Joint {
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor)) {
        visit_part("vqvae", &mut self.vqvae, f);
        visit_part("prior", &mut self.prior, f);
    }
}
