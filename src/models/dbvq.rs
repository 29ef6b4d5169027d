//! The losses of Algorithm 1 joined, and ε_θ as samplers see it.
//!
//! The network sees c_in (z_t − z*) and gives F; ẑ_0 = z* + (c_skip/√ᾱ)(z_t − z*) + c_out F, so that both sides of
//! its squared error have unit variance at every level (Karras et al. 2022, with σ² = v (1 − ᾱ)/ᾱ).

use super::Losses;
use super::diffusion::finite_weight;
use super::toy::Denoiser;
use crate::bridge::{Affine, Bridge};
use crate::config::{CodesConfig, Config, Diffuse, DiffusionGradient, LossWeight, Regulariser};
use crate::data::toy::{self, CODES, DIM, LENGTH, NOISE_STD};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::nn::Module;
use crate::nn::codebook::relaxed;
use crate::nn::init::Init;
use crate::ops;
use crate::philox::Stream;
use crate::tensor::{Codes, Tensor};

/// Coefficients of the preconditioned network at one level.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    /// Input: c_in (z_t − z*).
    pub input: f64,
    /// ε_θ = `eps.z` (z_t − z*) + `eps.net` F.
    pub eps: Affine,
    /// What F should be: `goal_z0` (z_0 − z*) + `goal_eps` ε.
    pub goal_z0: f64,
    /// See `goal_z0`.
    pub goal_eps: f64,
}

/// The coefficients at level t ≥ 1, for data with `moment` = E (z_0 − z*)² per dimension.
pub fn level(bridge: &Bridge, moment: f64, t: usize) -> Level {
    let (alpha_bar, noise) = (bridge.alpha_bar(t), bridge.forward(t).noise);
    let sigma2 = noise * noise / alpha_bar;
    let (sigma, total) = (sigma2.sqrt(), sigma2 + moment);
    let (skip, out) = (moment / total, sigma * (moment / total).sqrt());
    Level {
        input: 1.0 / (alpha_bar * total).sqrt(),
        // 1 − c_skip = σ²/(σ² + S²), without cancellation.
        eps: Affine { z: sigma2 / total / noise, net: -alpha_bar.sqrt() * out / noise },
        goal_z0: sigma2 / total / out,
        goal_eps: -skip * sigma / out,
    }
}

/// The toy's model: the bridge, the denoiser, the codebook.
pub struct Toy {
    /// The bridge.
    pub bridge: Bridge,
    denoiser: Denoiser,
    codebook: Tensor,
    learnt: Option<CodesConfig>,
    moment: f64,
    target: Tensor,
    truth: Tensor,
    tables: Tables,
}

/// Coefficients by level, [T + 1, ..], that training gathers for the levels of a batch.
struct Tables {
    input: Tensor,
    goal: Tensor,
    weight: Tensor,
    forward: Tensor,
    data_noise: Tensor,
    zero: Tensor,
}

/// Philox streams of a training step; `step` is the training step.
#[derive(Clone, Copy)]
enum Draw {
    Data = 1,
    Epsilon = 2,
    Gumbel = 3,
}

impl Toy {
    /// The model of `config` with random weights.
    ///
    /// # Errors
    /// [`Error::Config`](crate::error::Error::Config) if the bridge's numbers make no sense.
    pub fn new(gpu: &Gpu, config: &Config) -> Result<Toy> {
        let bridge = config.bridge.build()?;
        let target = bridge.target().channels(DIM)?;
        // Points on the unit circle: variance 1/2 a coordinate and mean 0, plus the noise.
        let shift = target.iter().map(|z| z * z).sum::<f64>() / DIM as f64;
        let moment = 0.5 + f64::from(NOISE_STD).powi(2) + shift;
        let mut init = Init::new(gpu, config.seed);
        let denoiser = Denoiser::new(&mut init, &config.denoiser, bridge.steps());
        let truth = Tensor::from_slice(gpu, toy::centroids().as_flattened(), [CODES, DIM]);
        let codebook = match &config.codes {
            Some(codes) => init.normal(&[CODES, DIM], codes.init_std),
            None => truth.clone(),
        };
        let target: Vec<f32> = target.iter().map(|&z| z as f32).collect();
        let tables = Tables::new(gpu, &bridge, moment, config);
        let target = Tensor::from_slice(gpu, &target, [DIM]);
        Ok(Toy { bridge, denoiser, codebook, learnt: config.codes.clone(), moment, target, truth, tables })
    }

    /// The code vectors e_k, [8, 2].
    pub fn codebook(&self) -> &Tensor {
        &self.codebook
    }

    /// z* of every channel, `[2]`.
    pub fn target(&self) -> &Tensor {
        &self.target
    }

    /// ε_θ(z_t, t) for one level: `z` [n, 5, 2].
    pub fn eps(&self, z: &Tensor, t: usize) -> Tensor {
        let level = level(&self.bridge, self.moment, t);
        let levels = Codes::from_slice(z.gpu(), &vec![t as u32; z.shape().dims()[0]], [z.shape().dims()[0]]);
        let centred = ops::sub(z, &self.target);
        let net = self.denoiser.forward(&ops::affine(&centred, level.input as f32, 0.0), &levels);
        ops::add(&ops::affine(&centred, level.eps.z as f32, 0.0), &ops::affine(&net, level.eps.net as f32, 0.0))
    }

    /// The losses of Algorithm 1 for sequences `q` [n, 5] at levels `t` `[n]`; `stream.step` is the training step.
    pub fn losses(&self, q: &Codes, t: &Codes, stream: Stream) -> Losses {
        let (gpu, n) = (q.gpu(), t.count());
        let draw = |what: Draw| Stream { stream: what as u32, ..stream };
        let shape = [n, LENGTH, DIM];
        let noise = ops::normal(gpu, shape, draw(Draw::Data));
        let ones = ops::gather(&self.tables.data_noise, &t.clone());
        let x = ops::marginal(&ops::gather(&self.truth, q), &noise, &self.tables.zero, &ones);
        let eps = ops::normal(gpu, shape, draw(Draw::Epsilon));
        let Some(codes) = &self.learnt else {
            let total = self.diffusion(&x, &eps, t);
            return Losses { parts: vec![("diffusion", total.clone())], total };
        };
        let tau = annealed(codes.tau_start, codes.tau_end, f64::from(stream.step), codes.anneal_steps as f64);
        let gumbel = ops::gumbel(gpu, [n, LENGTH, CODES], draw(Draw::Gumbel));
        let zq = relaxed(&x, &self.codebook, &gumbel, [codes.scale as f32, tau as f32]);
        let reconstruction = ops::mse(&zq, &x);
        let diffusion = self.diffusion(&start(&x, &zq, codes), &eps, t);
        let total = ops::add(&reconstruction, &diffusion);
        let mut parts = vec![("reconstruction", reconstruction), ("diffusion", diffusion)];
        let Some(regulariser) = self.regulariser(&x, &eps, t, codes) else { return Losses { total, parts } };
        let weighted = ops::affine(&regulariser, codes.regulariser_weight as f32, 0.0);
        parts.push(("regulariser", regulariser));
        Losses { total: ops::add(&total, &weighted), parts }
    }

    /// L_t: the weighted squared error of F at z_t = forward marginal of `z0`.
    fn diffusion(&self, z0: &Tensor, eps: &Tensor, t: &Codes) -> Tensor {
        let centred = ops::sub(z0, &self.target);
        let at = |table: &Tensor| ops::gather(table, t);
        let input = ops::marginal(&centred, eps, &self.tables.zero, &at(&self.tables.input));
        let goal = ops::marginal(&centred, eps, &self.tables.zero, &at(&self.tables.goal));
        let weight = at(&self.tables.weight).reshape([t.count()]);
        ops::weighted_mse(&self.denoiser.forward(&input, t), &goal, &weight)
    }

    /// L_reg at z_t, minimised: the mean over positions of what [`Regulariser`] names.
    fn regulariser(&self, z0: &Tensor, eps: &Tensor, t: &Codes, codes: &CodesConfig) -> Option<Tensor> {
        let tau = |t: usize| annealed(codes.reg_tau_first, codes.reg_tau_last, t as f64, self.bridge.steps() as f64);
        let table = |f: &dyn Fn(usize) -> f64| {
            let values: Vec<f32> = (0..=self.bridge.steps()).map(|t| f(t) as f32).collect();
            ops::gather(&Tensor::from_slice(z0.gpu(), &values, [values.len(), 1]), t).reshape([t.count(), 1, 1])
        };
        if codes.regulariser == Regulariser::Off {
            return None;
        }
        let zt = ops::marginal(z0, eps, &self.target, &ops::gather(&self.tables.forward, t));
        if codes.regulariser == Regulariser::Gamma {
            let nearest = ops::gather(&self.codebook, &ops::nearest(&zt, &self.codebook));
            let gamma = table(&|t| 1.0 / codes.reg_tau - 1.0 / tau(t));
            let squares = ops::mul(&ops::square(&ops::sub(&zt, &nearest)), &gamma);
            return Some(ops::affine(&ops::mean_all(&squares), DIM as f32, 0.0));
        }
        let distances = ops::affine(&ops::distances(&zt, &self.codebook), -codes.scale as f32, 0.0);
        let log_q = ops::log_softmax(&distances, 1.0 / codes.reg_tau as f32);
        let log_p = ops::log_softmax(&ops::mul(&distances, &table(&|t| 1.0 / tau(t))), 1.0);
        let terms = ops::mul(&ops::exp(&log_q), &ops::sub(&log_q, &log_p));
        Some(ops::affine(&ops::mean_all(&terms), CODES as f32, 0.0))
    }
}

/// z_0 of the bridge, with as much of the gradient as configured.
fn start(x: &Tensor, zq: &Tensor, codes: &CodesConfig) -> Tensor {
    let z0 = if codes.diffuse == Diffuse::Data { x } else { zq };
    match codes.diffusion_gradient {
        DiffusionGradient::Stop => z0.detach(),
        DiffusionGradient::Full => z0.clone(),
        DiffusionGradient::Scale => {
            let part = codes.gradient_scale as f32;
            ops::add(&ops::affine(z0, part, 0.0), &ops::affine(&z0.detach(), 1.0 - part, 0.0))
        }
    }
}

/// Geometric from `first` at 0 to `last` at `end` and beyond.
pub(super) fn annealed(first: f64, last: f64, at: f64, end: f64) -> f64 {
    first * (last / first).powf((at / end).min(1.0))
}

impl Tables {
    fn new(gpu: &Gpu, bridge: &Bridge, moment: f64, config: &Config) -> Tables {
        let levels: Vec<Level> = (1..=bridge.steps()).map(|t| level(bridge, moment, t)).collect();
        // Row 0 is never gathered: training draws t from 1..T.
        let pairs = |f: &dyn Fn(usize) -> [f64; 2]| {
            let values: Vec<f32> =
                [0.0, 0.0].into_iter().chain((1..=bridge.steps()).flat_map(f)).map(|v| v as f32).collect();
            Tensor::from_slice(gpu, &values, [bridge.steps() + 1, 2])
        };
        let weights: Vec<f32> = (0..=bridge.steps())
            .map(|t| if t == 0 { 0.0 } else { weight(bridge, config, &levels[t - 1], t) as f32 })
            .collect();
        Tables {
            input: pairs(&|t| {
                let (marginal, c) = (bridge.forward(t), levels[t - 1].input);
                [c * marginal.signal, c * marginal.noise]
            }),
            goal: pairs(&|t| [levels[t - 1].goal_z0, levels[t - 1].goal_eps]),
            weight: Tensor::from_slice(gpu, &weights, [weights.len(), 1]),
            forward: pairs(&|t| [bridge.forward(t).signal, bridge.forward(t).noise]),
            data_noise: pairs(&|_| [1.0, f64::from(NOISE_STD)]),
            zero: Tensor::zeros(gpu, [1]),
        }
    }
}

/// Weight of (F − goal)² at level t: ε − ε_θ = `eps.net` (goal − F) in size.
fn weight(bridge: &Bridge, config: &Config, level: &Level, t: usize) -> f64 {
    let simple = level.eps.net * level.eps.net;
    match config.train.loss {
        LossWeight::Preconditioned => 1.0,
        LossWeight::Simple => simple,
        LossWeight::Weighted => simple * finite_weight(bridge, t, config.bridge.reverse_variance),
    }
}

impl Module for Toy {
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor)) {
        self.denoiser.visit(&mut |path, tensor| f(&format!("denoiser.{path}"), tensor));
        if self.learnt.is_some() {
            f("codebook", &mut self.codebook);
        }
    }
}
