//! The diffusion prior on standardised latents: the bridge with the U-Net as ε_θ (Algorithms 1 and 2).

use super::unet::UNet;
use crate::bridge::Bridge;
use crate::config::{ImagesConfig, LossWeight};
use crate::error::{Error, Result};
use crate::nn::Module;
use crate::nn::init::Init;
use crate::ops;
use crate::philox::Stream;
use crate::tensor::{Codes, Tensor};

/// Philox stream of ε; its step is the training step.
const EPSILON: u32 = 0x200;

/// ε_θ, the bridge, and how latents are standardised.
pub struct Diffusion {
    /// The bridge.
    pub bridge: Bridge,
    unet: UNet,
    /// z* of every channel, `[d]`.
    target: Tensor,
    /// Mean and standard deviation of the latents' channels, `[d]`.
    pub moments: [Tensor; 2],
    /// √ᾱ_t and √(v (1 − ᾱ_t)), [T + 1, 2].
    forward: Tensor,
    /// Weight of the loss at level t, [T + 1, 1].
    weight: Tensor,
}

impl Diffusion {
    /// A prior with random weights; latents are taken as they are until `moments` says otherwise.
    ///
    /// # Errors
    /// [`Error::Config`] if the bridge's numbers make no sense.
    pub fn new(init: &mut Init, config: &ImagesConfig) -> Result<Diffusion> {
        let gpu = &init.gpu().clone();
        let (bridge, dim) = (config.bridge.build()?, config.vqvae.dim);
        let target: Vec<f32> = bridge.target().channels(dim)?.iter().map(|&z| z as f32).collect();
        let mut unet = UNet::new(init, &config.unet, dim, bridge.steps());
        unet.activations = config.activations;
        let levels = bridge.steps() + 1;
        let pairs = (0..levels).flat_map(|t| [bridge.forward(t).signal as f32, bridge.forward(t).noise as f32]);
        let forward = Tensor::from_slice(gpu, &pairs.collect::<Vec<_>>(), [levels, 2]);
        let weight = |t: usize| match config.stages.prior.loss {
            // Row 0 is never gathered: training draws t from 1..T.
            LossWeight::Weighted if t > 0 => Ok(bridge.weight(t, config.bridge.reverse_variance) as f32),
            LossWeight::Simple | LossWeight::Weighted => Ok(1.0),
            LossWeight::Preconditioned => {
                Err(Error::Config("stages.prior.loss: the U-Net takes `simple` or `weighted`".into()))
            }
        };
        let weight = Tensor::from_slice(gpu, &(0..levels).map(weight).collect::<Result<Vec<_>>>()?, [levels, 1]);
        let moments = [0.0, 1.0].map(|v| Tensor::from_slice(gpu, &vec![v; dim], [dim]));
        Ok(Diffusion { bridge, unet, target: Tensor::from_slice(gpu, &target, [dim]), moments, forward, weight })
    }

    /// z* of every channel, `[d]`.
    pub fn target(&self) -> &Tensor {
        &self.target
    }

    /// Encoder outputs [n, h, w, d] as the bridge sees them.
    pub fn standardise(&self, latents: &Tensor) -> Tensor {
        let [mean, std] = &self.moments;
        ops::div(&ops::sub(latents, mean), std)
    }

    /// The inverse of [`Diffusion::standardise`].
    pub fn restore(&self, z0: &Tensor) -> Tensor {
        let [mean, std] = &self.moments;
        ops::add(&ops::mul(z0, std), mean)
    }

    /// ε_θ(z_t, t) for one level: `z` [n, h, w, d].
    pub fn eps(&self, z: &Tensor, t: usize) -> Tensor {
        let n = z.shape().dims()[0];
        self.unet.forward(&ops::sub(z, &self.target), &Codes::from_slice(z.gpu(), &vec![t as u32; n], [n]), None)
    }

    /// z_t at the levels `t` `[n]` and the ε in it, for standardised `z0` [n, h, w, d]. `stream.step` numbers ε.
    pub fn noised(&self, z0: &Tensor, t: &Codes, stream: Stream) -> (Tensor, Tensor) {
        let eps = ops::normal(z0.gpu(), z0.shape(), Stream { stream: EPSILON, ..stream });
        (ops::marginal(z0, &eps, &self.target, &ops::gather(&self.forward, t)), eps)
    }

    /// L_t at the levels `t` `[n]`: the mean of ‖ε − ε_θ(z_t, t)‖², weighted as configured, for standardised `z0`
    /// [n, h, w, d]. `stream.step` numbers ε; with `trains` activations are dropped.
    pub fn loss(&self, z0: &Tensor, t: &Codes, stream: Stream, trains: bool) -> Tensor {
        let (zt, eps) = self.noised(z0, t, stream);
        let predicted = self.unet.forward(&ops::sub(&zt, &self.target), t, trains.then_some(stream));
        ops::weighted_mse(&predicted, &eps, &ops::gather(&self.weight, t).reshape([t.count()]))
    }
}

impl Module for Diffusion {
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor)) {
        self.unet.visit(f);
    }
}
