//! Algorithm 1 end to end on images: the VQ-VAE and its diffusion prior as one model with one loss.
//!
//! The decoder reconstructs from the encoder's output, not from the denoiser's ẑ_0: the latter
//! learns nothing.

use super::diffusion::{Diffusion, Lesson, Loss, Plan};
use super::first_stage::FirstStage;
use super::terms::{Regularising, passing};
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
    /// [`Error::Config`](crate::error::Error::Config) if the bridge's numbers make no sense.
    pub fn new(init: &mut Init, config: &GridConfig) -> Result<Joint> {
        let vqvae = VqVae::new(init, &config.vqvae);
        // A prior whose loss is weighted as this stage's.
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

    /// Where the bridge begins, standardised: the encoder's output `latents` [n, h, w, d], or the
    /// vectors of its `codes` [n, h, w] with the gradient passed straight through.
    pub fn start(&self, latents: &Tensor, codes: &Codes) -> Tensor {
        match self.config.diffuse {
            Diffuse::Data => self.prior.standardise(latents),
            Diffuse::Codes => self.prior.standardise(&ops::straight_through(
                latents,
                &self.vqvae.look_up(codes).detach(),
            )),
        }
    }

    /// The losses of Algorithm 1 for `images` [n, h, w, 3] of the classes `class` `[n]`, if the
    /// prior is told, at the levels of `plan`: those of the VQ-VAE, L_t and L_reg. `stream.step` is
    /// the training step.
    ///
    /// Of a prior that predicts codes, the diffusion loss reaches the encoder through z_t (and
    /// through the known z_0), and code vectors that learn by gradient through the likelihood and
    /// ẑ_0, both as much as `diffusion_gradient` says. The codes that it asks for are the nearest
    /// ones, through which nothing passes.
    pub fn step(
        &self,
        images: &Tensor,
        plan: &Plan,
        class: Option<&Codes>,
        stream: Stream,
    ) -> Step {
        let Step {
            mut losses,
            latents,
            codes,
        } = self.vqvae.step(images, stream);
        let c = &self.config;
        let t = &plan.t;
        let passing = |x: &Tensor| passing(x, c.diffusion_gradient, c.gradient_scale);
        let z0 = passing(&self.start(&latents, &codes));
        self.prior.speak(&passing(&self.vqvae.vectors()));
        let Loss {
            total: diffusion,
            each,
        } = self.prior.loss(
            &Lesson {
                z0: &z0,
                codes: Some(&codes),
                plan,
                class,
                stream,
            },
            true,
        );
        losses.each = each;
        losses.total = ops::add(&losses.total, &diffusion);
        losses.parts.push(("diffusion", diffusion));
        // L_reg is there to move encoder and codes: its gradient passes whole.
        let zt = || {
            self.prior
                .noised(&self.start(&latents, &codes), t, stream)
                .0
        };
        let codebook = self.prior.standardise(&self.vqvae.vectors());
        if let Some(regulariser) =
            Regularising::from(c).loss(zt, &codebook, t, self.prior.bridge.steps())
        {
            let weighted = ops::affine(&regulariser, c.regulariser_weight as f32, 0.0);
            losses.total = ops::add(&losses.total, &weighted);
            losses.parts.push(("regulariser", regulariser));
        }
        Step {
            losses,
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
