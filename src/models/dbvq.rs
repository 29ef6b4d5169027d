//! The losses of Algorithm 1 joined, and ε_θ as samplers see it.
//!
//! The network sees c_in (z_t − z*) and gives F; ẑ_0 = z* + (c_skip/√ᾱ)(z_t − z*) + c_out F, so
//! that both sides of its squared error have unit variance at every level (Karras et al. 2022, with
//! σ² = v (1 − ᾱ)/ᾱ).

use super::Losses;
use super::code_head::CodeHead;
use super::diffusion::finite_weight;
use super::terms::{Regularising, annealed, passing};
use super::toy::Denoiser;
use crate::bridge::{Affine, Bridge};
use crate::config::{CodesConfig, Config, DenoiserOutput, Diffuse, LossWeight};
use crate::data::toy::{self, CODES, DIM, LENGTH, NOISE_STD};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::nn::Module;
use crate::nn::codebook::relaxed;
use crate::nn::init::Init;
use crate::ops;
use crate::philox::{Draw, Stream};
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
    let alpha_bar = bridge.alpha_bar(t);
    let noise = bridge.forward(t).noise;
    let sigma2 = noise * noise / alpha_bar;
    let sigma = sigma2.sqrt();
    let total = sigma2 + moment;
    let skip = moment / total;
    let out = sigma * (moment / total).sqrt();
    Level {
        input: 1.0 / (alpha_bar * total).sqrt(),
        // 1 − c_skip = σ²/(σ² + S²), without cancellation.
        eps: Affine {
            z: sigma2 / total / noise,
            net: -alpha_bar.sqrt() * out / noise,
        },
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
    /// The law of the codes, where the network gives logits.
    head: Option<CodeHead>,
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
    /// c_in alone, [T + 1, 1].
    scale: Tensor,
    zero: Tensor,
}

/// [n, length, c] as a grid of one row.
fn on_grid(x: &Tensor) -> Tensor {
    let [n, length, c] = x.dims();
    x.reshape([n, 1, length, c])
}

fn off_grid(x: &Tensor) -> Tensor {
    let [n, _, length, c] = x.dims();
    x.reshape([n, length, c])
}

/// The law of the codes: of the data about their centroids with the data's noise, of relaxed codes
/// without.
fn head(init: &mut Init, bridge: &Bridge, config: &Config) -> CodeHead {
    let mut head = CodeHead::new(init, bridge, [LENGTH, CODES, DIM]);
    let relaxed = config
        .codes
        .as_ref()
        .is_some_and(|codes| codes.diffuse == Diffuse::Codes);
    let spread = if relaxed { 0.0 } else { NOISE_STD * NOISE_STD };
    head.spread_by(bridge, &[spread; DIM]);
    head
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
        let head = match config.denoiser.prediction {
            DenoiserOutput::Preconditioned => None,
            DenoiserOutput::Codes => Some(head(&mut init, &bridge, config)),
        };
        let truth = Tensor::from_slice(gpu, toy::centroids().as_flattened(), [CODES, DIM]);
        let codebook = match &config.codes {
            Some(codes) => init.normal(&[CODES, DIM], codes.init_std),
            None => truth.clone(),
        };
        let target: Vec<f32> = target.iter().map(|&z| z as f32).collect();
        let tables = Tables::new(gpu, &bridge, moment, config);
        let target = Tensor::from_slice(gpu, &target, [DIM]);
        Ok(Toy {
            bridge,
            denoiser,
            codebook,
            learnt: config.codes.clone(),
            head,
            moment,
            target,
            truth,
            tables,
        })
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
        let levels = Codes::from_slice(
            z.gpu(),
            &vec![t as u32; z.shape().dims()[0]],
            [z.shape().dims()[0]],
        );
        let centred = ops::sub(z, &self.target);
        let scaled = ops::affine(&centred, level.input as f32, 0.0);
        if let Some(head) = &self.head {
            let marginal = self.bridge.forward(t);
            self.speak(head);
            let logits = self.logits(head, &centred, &scaled, &levels);
            return off_grid(
                &head
                    .law(&on_grid(&centred), &levels, Some(&logits))
                    .eps(marginal),
            );
        }
        let net = self.denoiser.forward(&scaled, &levels);
        ops::add(
            &ops::affine(&centred, level.eps.z as f32, 0.0),
            &ops::affine(&net, level.eps.net as f32, 0.0),
        )
    }

    /// The losses of Algorithm 1 for sequences `q` [n, 5] at levels `t` `[n]`; `stream.step` is the
    /// training step.
    pub fn losses(&self, q: &Codes, t: &Codes, stream: Stream) -> Losses {
        let gpu = q.gpu();
        let n = t.count();
        let draw = |what: Draw| Stream {
            stream: what.stream(),
            ..stream
        };
        let shape = [n, LENGTH, DIM];
        let noise = ops::normal(gpu, shape, draw(Draw::ToyData));
        let ones = ops::gather(&self.tables.data_noise, &t.clone());
        let x = ops::marginal(
            &ops::gather(&self.truth, q),
            &noise,
            &self.tables.zero,
            &ones,
        );
        let eps = ops::normal(gpu, shape, draw(Draw::ToyEpsilon));
        let Some(codes) = &self.learnt else {
            let (total, each) = self.diffusion(&x, &x, &eps, t, Some(q));
            return Losses {
                parts: vec![("diffusion", total.clone())],
                total,
                each,
            };
        };
        let tau = annealed(
            codes.tau_start,
            codes.tau_end,
            f64::from(stream.step),
            codes.anneal_steps as f64,
        );
        let gumbel = ops::gumbel(gpu, [n, LENGTH, CODES], draw(Draw::ToyGumbel));
        let zq = relaxed(
            &x,
            &self.codebook,
            &gumbel,
            [codes.scale as f32, tau as f32],
        );
        let reconstruction = ops::mse(&zq, &x);
        let start = if codes.diffuse == Diffuse::Data {
            &x
        } else {
            &zq
        };
        let z0 = passing(start, codes.diffusion_gradient, codes.gradient_scale);
        let (diffusion, each) = self.diffusion(&z0, &x, &eps, t, None);
        let total = ops::add(&reconstruction, &diffusion);
        let mut parts = vec![("reconstruction", reconstruction), ("diffusion", diffusion)];
        let zt = || {
            ops::marginal(
                &x,
                &eps,
                &self.target,
                &ops::gather(&self.tables.forward, t),
            )
        };
        let regulariser =
            Regularising::from(codes).loss(zt, &self.codebook, t, self.bridge.steps());
        let Some(regulariser) = regulariser else {
            return Losses { total, parts, each };
        };
        let weighted = ops::affine(&regulariser, codes.regulariser_weight as f32, 0.0);
        parts.push(("regulariser", regulariser));
        Losses {
            total: ops::add(&total, &weighted),
            parts,
            each,
        }
    }

    /// L_t at z_t = forward marginal of `z0`: the weighted squared error of F; or −log p of the
    /// codes `q` of the data `x`, if they are not given the nearest ones, with its mean over each
    /// sequence, `[n]`.
    fn diffusion(
        &self,
        z0: &Tensor,
        x: &Tensor,
        eps: &Tensor,
        t: &Codes,
        q: Option<&Codes>,
    ) -> (Tensor, Option<Tensor>) {
        let at = |table: &Tensor| ops::gather(table, t);
        if let Some(head) = &self.head {
            let codes = q
                .cloned()
                .unwrap_or_else(|| ops::nearest(x, &self.codebook));
            let centred = ops::sub(
                &ops::marginal(z0, eps, &self.target, &at(&self.tables.forward)),
                &self.target,
            );
            let scaled = ops::mul(&centred, &at(&self.tables.scale).reshape([t.count(), 1, 1]));
            self.speak(head);
            let logits = self.logits(head, &centred, &scaled, t);
            let nats = head
                .law(&on_grid(&centred), t, Some(&logits))
                .cross_entropy(&codes);
            return (ops::mean_all(&nats), Some(ops::mean(&nats.detach(), 1)));
        }
        let centred = ops::sub(z0, &self.target);
        let input = ops::marginal(&centred, eps, &self.tables.zero, &at(&self.tables.input));
        let goal = ops::marginal(&centred, eps, &self.tables.zero, &at(&self.tables.goal));
        let weight = at(&self.tables.weight).reshape([t.count()]);
        (
            ops::weighted_mse(&self.denoiser.forward(&input, t), &goal, &weight),
            None,
        )
    }

    /// Tells `head` the code vectors as they are now, with as much of the gradient as configured.
    fn speak(&self, head: &CodeHead) {
        let pass = |codes: &CodesConfig| {
            passing(
                &self.codebook,
                codes.diffusion_gradient,
                codes.gradient_scale,
            )
        };
        let vectors = self
            .learnt
            .as_ref()
            .map_or_else(|| self.codebook.clone(), pass);
        head.speak(ops::sub(&vectors, &self.target));
    }

    /// The network's logits [n, 1, 5, 8] at z_t − z* = `centred`, which `scaled` has with unit
    /// variance.
    fn logits(&self, head: &CodeHead, centred: &Tensor, scaled: &Tensor, t: &Codes) -> Tensor {
        let soft = off_grid(&head.law(&on_grid(centred), t, None).mean());
        on_grid(&self.denoiser.forward(&ops::concat(scaled, &soft), t))
    }
}

impl Tables {
    fn new(gpu: &Gpu, bridge: &Bridge, moment: f64, config: &Config) -> Tables {
        let levels: Vec<Level> = (1..=bridge.steps())
            .map(|t| level(bridge, moment, t))
            .collect();
        // Row 0 is never gathered: training draws t from 1..T.
        let pairs = |f: &dyn Fn(usize) -> [f64; 2]| {
            let values: Vec<f32> = [0.0, 0.0]
                .into_iter()
                .chain((1..=bridge.steps()).flat_map(f))
                .map(|v| v as f32)
                .collect();
            Tensor::from_slice(gpu, &values, [bridge.steps() + 1, 2])
        };
        let weights: Vec<f32> = (0..=bridge.steps())
            .map(|t| {
                if t == 0 {
                    0.0
                } else {
                    weight(bridge, config, &levels[t - 1], t) as f32
                }
            })
            .collect();
        let scales: Vec<f32> = std::iter::once(0.0)
            .chain(levels.iter().map(|level| level.input as f32))
            .collect();
        Tables {
            input: pairs(&|t| {
                let marginal = bridge.forward(t);
                let c = levels[t - 1].input;
                [c * marginal.signal, c * marginal.noise]
            }),
            goal: pairs(&|t| [levels[t - 1].goal_z0, levels[t - 1].goal_eps]),
            weight: Tensor::from_slice(gpu, &weights, [weights.len(), 1]),
            forward: pairs(&|t| [bridge.forward(t).signal, bridge.forward(t).noise]),
            data_noise: pairs(&|_| [1.0, f64::from(NOISE_STD)]),
            scale: Tensor::from_slice(gpu, &scales, [scales.len(), 1]),
            zero: Tensor::zeros(gpu, [1]),
        }
    }
}

/// Weight of (F − goal)² at level t: ε − ε_θ = `eps.net` (goal − F) in size.
fn weight(bridge: &Bridge, config: &Config, level: &Level, t: usize) -> f64 {
    let simple = level.eps.net * level.eps.net;
    match config.train.loss {
        // The cross-entropy has no squared error to weight.
        LossWeight::Preconditioned | LossWeight::CrossEntropy => 1.0,
        LossWeight::Simple => simple,
        LossWeight::Weighted => simple * finite_weight(bridge, t, config.bridge.reverse_variance),
    }
}

impl Module for Toy {
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor)) {
        self.denoiser
            .visit(&mut |path, tensor| f(&format!("denoiser.{path}"), tensor));
        if self.learnt.is_some() {
            f("codebook", &mut self.codebook);
        }
        if let Some(head) = &mut self.head {
            f("codes.bias", &mut head.bias);
        }
    }
}
