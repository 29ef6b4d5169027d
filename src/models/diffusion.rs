//! The diffusion prior on standardised latents: the bridge with the U-Net as ε_θ (Algorithms 1 and 2).

use super::unet::UNet;
use crate::bridge::{Bridge, Prediction, ReverseVariance};
use crate::config::{ImagesConfig, LossWeight};
use crate::error::Result;
use crate::nn::Module;
use crate::nn::init::Init;
use crate::ops;
use crate::philox::Stream;
use crate::tensor::{Codes, Tensor};

/// Philox stream of ε; its step is the training step.
const EPSILON: u32 = 0x200;

/// What samples should show, by classifier-free guidance (Ho & Salimans 2022): ε = ε_∅ + scale (ε_c − ε_∅).
pub struct Guidance {
    /// The class c of each sample, `[n]`.
    pub class: Codes,
    /// Between 0 and 1 it weakens the class, 1 is the conditional model itself, more exaggerates what belongs to the class.
    pub scale: f32,
}

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
    prediction: Prediction,
    /// V = a (z_0 − z*) + b ε: a and b, [T + 1, 2].
    velocity: Tensor,
    /// Weight of the network's squared error at level t in training, [T + 1, 1].
    weight: Tensor,
    /// The weight that makes it the squared error of ε, [T + 1, 1].
    of_eps: Tensor,
}

impl Diffusion {
    /// A prior with random weights; latents are taken as they are until `moments` says otherwise.
    ///
    /// # Errors
    /// [`Error::Config`](crate::error::Error::Config) if the bridge's numbers make no sense.
    pub fn new(init: &mut Init, config: &ImagesConfig) -> Result<Diffusion> {
        let gpu = &init.gpu().clone();
        let (bridge, dim) = (config.bridge.build()?, config.vqvae.dim);
        let target: Vec<f32> = bridge.target().channels(dim)?.iter().map(|&z| z as f32).collect();
        let mut unet = UNet::new(init, &config.unet, dim, bridge.steps(), config.classes);
        unet.activations = config.activations;
        let levels = bridge.steps() + 1;
        let pairs = |f: &dyn Fn(usize) -> [f64; 2]| {
            let values: Vec<f32> = (0..levels).flat_map(f).map(|v| v as f32).collect();
            Tensor::from_slice(gpu, &values, [levels, 2])
        };
        let forward = pairs(&|t| [bridge.forward(t).signal, bridge.forward(t).noise]);
        let velocity = pairs(&|t| [bridge.velocity(t).z0, bridge.velocity(t).eps]);
        let prediction = config.unet.prediction;
        // ε − ε_θ = `net` (output wanted − output).
        let of_eps = |t: usize| bridge.predict_eps(t, prediction).net.powi(2);
        let weight = |t: usize| match config.stages.prior.loss {
            // Row 0 is never gathered: training draws t from 1..T.
            LossWeight::Weighted if t > 0 => of_eps(t) * finite_weight(&bridge, t, config.bridge.reverse_variance),
            // The toy's preconditioned loss is refused with the configuration.
            LossWeight::Simple | LossWeight::Weighted | LossWeight::Preconditioned => 1.0,
        };
        let table = |f: &dyn Fn(usize) -> f64| {
            Tensor::from_slice(gpu, &(0..levels).map(|t| f(t) as f32).collect::<Vec<_>>(), [levels, 1])
        };
        let (weight, of_eps) = (table(&weight), table(&of_eps));
        let moments = [0.0, 1.0].map(|v| Tensor::from_slice(gpu, &vec![v; dim], [dim]));
        let target = Tensor::from_slice(gpu, &target, [dim]);
        Ok(Diffusion { bridge, unet, target, moments, forward, prediction, velocity, weight, of_eps })
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

    /// ε_θ(z_t, t) for one level, whatever the network predicts: `z` [n, h, w, d], with `guidance` towards classes.
    pub fn eps(&self, z: &Tensor, t: usize, guidance: Option<&Guidance>) -> Tensor {
        let Some(Guidance { class, scale }) = guidance else { return self.eps_of(z, t, None) };
        let conditional = self.eps_of(z, t, Some(class));
        if *scale == 1.0 {
            return conditional;
        }
        ops::add(&ops::affine(&self.eps_of(z, t, None), 1.0 - scale, 0.0), &ops::affine(&conditional, *scale, 0.0))
    }

    fn eps_of(&self, z: &Tensor, t: usize, class: Option<&Codes>) -> Tensor {
        let n = z.shape().dims()[0];
        let (centred, levels) = (ops::sub(z, &self.target), Codes::from_slice(z.gpu(), &vec![t as u32; n], [n]));
        let net = self.unet.forward(&centred, &levels, class, None);
        if self.prediction == Prediction::Noise {
            return net;
        }
        let eps = self.bridge.predict_eps(t, self.prediction);
        ops::add(&ops::affine(&centred, eps.z as f32, 0.0), &ops::affine(&net, eps.net as f32, 0.0))
    }

    /// z_t at the levels `t` `[n]` and the ε in it, for standardised `z0` [n, h, w, d]. `stream.step` numbers ε.
    pub fn noised(&self, z0: &Tensor, t: &Codes, stream: Stream) -> (Tensor, Tensor) {
        let eps = ops::normal(z0.gpu(), z0.shape(), Stream { stream: EPSILON, ..stream });
        (ops::marginal(z0, &eps, &self.target, &ops::gather(&self.forward, t)), eps)
    }

    /// L_t at the levels `t` `[n]` for standardised `z0` [n, h, w, d] of the classes `class` `[n]`, if the model is told:
    /// the mean of ‖ε − ε_θ(z_t, t)‖², or of ‖V − V_θ‖² where the network predicts V; weighted as equation (4) weights the
    /// error of ε, if configured. `stream.step` numbers ε; with `trains` activations are dropped.
    pub fn loss(&self, z0: &Tensor, t: &Codes, class: Option<&Codes>, stream: Stream, trains: bool) -> Tensor {
        self.squared_error(z0, t, class, stream, trains, &self.weight)
    }

    /// The mean of ‖ε − ε_θ(z_t, t)‖² whatever the network predicts and training weights; else as [`Diffusion::loss`].
    pub fn eps_loss(&self, z0: &Tensor, t: &Codes, class: Option<&Codes>, stream: Stream) -> Tensor {
        self.squared_error(z0, t, class, stream, false, &self.of_eps)
    }

    fn squared_error(
        &self,
        z0: &Tensor,
        t: &Codes,
        class: Option<&Codes>,
        stream: Stream,
        trains: bool,
        weight: &Tensor,
    ) -> Tensor {
        let (zt, eps) = self.noised(z0, t, stream);
        let predicted = self.unet.forward(&ops::sub(&zt, &self.target), t, class, trains.then_some(stream));
        let goal = match self.prediction {
            Prediction::Noise => eps,
            Prediction::Velocity => {
                let origin = Tensor::zeros(z0.gpu(), [1]);
                ops::marginal(&ops::sub(z0, &self.target), &eps, &origin, &ops::gather(&self.velocity, t))
            }
        };
        ops::weighted_mse(&predicted, &goal, &ops::gather(weight, t).reshape([t.count()]))
    }
}

/// The weight of ‖ε − ε_θ‖² of equation (4) at level t ≥ 1. t = 1 is L_0, whose own σ_1² = v β_1 gives the forward
/// variance's weight where the bridge's is infinite.
pub(super) fn finite_weight(bridge: &Bridge, t: usize, variance: ReverseVariance) -> f64 {
    let weight = bridge.weight(t, variance);
    if weight.is_finite() { weight } else { bridge.weight(t, ReverseVariance::Forward) }
}

impl Module for Diffusion {
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor)) {
        self.unet.visit(f);
    }
}
