//! The diffusion prior on standardised latents: the bridge with the U-Net as ε_θ (Algorithms 1 and
//! 2).

use super::code_head::{CodeHead, Law};
use super::unet::{Ports, UNet};
use crate::bridge::{Bridge, Prediction, ReverseVariance};
use crate::config::{GridConfig, LossWeight};
use crate::error::Result;
use crate::nn::Module;
use crate::nn::init::Init;
use crate::ops;
use crate::philox::{Draw, Stream};
use crate::tensor::{Codes, Tensor};

/// Channels of the mask that says which positions are known, all alike: kernels read four at a
/// time.
const MASK: usize = 4;

/// What samples should show, by classifier-free guidance (Ho & Salimans 2022): ε = ε_∅ + scale (ε_c
/// − ε_∅), or so of the logits.
pub struct Guidance {
    /// The class c of each sample, `[n]`.
    pub class: Codes,
    /// Between 0 and 1 it weakens the class, 1 is the conditional model itself, more exaggerates
    /// what belongs to the class.
    pub scale: f32,
}

/// What the network is told of z_0.
#[derive(Clone)]
pub struct Told {
    /// z_0, standardised, [n, h, w, d]; what is unknown does not count.
    pub z0: Tensor,
    /// 1 where it is known, else 0: [n or 1, h, w, 1].
    pub mask: Tensor,
}

impl Told {
    /// `z` [n, h, w, d] with what is known in its place.
    pub fn put_into(&self, z: &Tensor) -> Tensor {
        let hole = ops::affine(&self.mask, -1.0, 1.0);
        ops::add(&ops::mul(z, &hole), &ops::mul(&self.z0, &self.mask))
    }
}

/// How the network is asked.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// Towards classes.
    pub guidance: Option<&'a Guidance>,
    /// What is known.
    pub told: Option<&'a Told>,
    /// Factor of the logits.
    pub sharpen: f32,
}

impl Default for Ask<'_> {
    fn default() -> Self {
        Ask {
            guidance: None,
            told: None,
            sharpen: 1.0,
        }
    }
}

/// Levels of the pictures of a training step, and what of them the network is told.
pub struct Plan {
    /// t, `[n]`.
    pub t: Codes,
    /// 1 where z_0 is known, else 0, [n, h, w, 1]; and the weight of each position in the loss, [n,
    /// h w].
    pub told: Option<[Tensor; 2]>,
}

impl Plan {
    /// The levels `t` `[n]`, and nothing told.
    pub fn at(t: Codes) -> Plan {
        Plan { t, told: None }
    }
}

/// What a training step learns from.
pub struct Lesson<'a> {
    /// z_0, standardised, [n, h, w, d].
    pub z0: &'a Tensor,
    /// Its codes, [n, h, w], for a prior that predicts them.
    pub codes: Option<&'a Codes>,
    /// Its levels, and what of it the network is told.
    pub plan: &'a Plan,
    /// Classes `[n]`, if the network is told them.
    pub class: Option<&'a Codes>,
    /// Random numbers; its step is the training step.
    pub stream: Stream,
}

/// The loss of a lesson.
pub struct Loss {
    /// The mean, minimised.
    pub total: Tensor,
    /// −log p of the codes of each picture, `[n]`, nats a code; `None` unless that is what is
    /// minimised.
    pub each: Option<Tensor>,
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
    output: Output,
    /// The law of the codes; of a network that predicts none, by their likelihood alone.
    codes: CodeHead,
    loss: LossWeight,
    /// Whether the network can be told what is known.
    is_told: bool,
    /// Weight of the network's squared error at level t in training, [T + 1, 1]; where it gives
    /// logits, of that of ẑ_0.
    weight: Tensor,
    /// The weight that makes it the squared error of ε, [T + 1, 1].
    of_eps: Tensor,
}

/// What the network's output means.
enum Output {
    /// ε, or V = a (z_0 − z*) + b ε: a and b, [T + 1, 2].
    Affine(Prediction, Tensor),
    /// Logits; and the factor that gives the input unit variance, [T + 1, 1].
    Codes(Tensor),
}

impl Diffusion {
    /// A prior with random weights; latents are taken as they are until `moments` says otherwise.
    ///
    /// # Errors
    /// [`Error::Config`](crate::error::Error::Config) if the bridge's numbers make no sense.
    pub fn new(init: &mut Init, config: &GridConfig) -> Result<Diffusion> {
        let gpu = &init.gpu().clone();
        let bridge = config.bridge.build()?;
        let dim = config.dim();
        let grid = config.grid();
        let target: Vec<f32> = bridge
            .target()
            .channels(dim)?
            .iter()
            .map(|&z| z as f32)
            .collect();
        let levels = bridge.steps() + 1;
        let table = |width: usize, f: &dyn Fn(usize) -> Vec<f64>| {
            let values: Vec<f32> = (0..levels).flat_map(f).map(|v| v as f32).collect();
            Tensor::from_slice(gpu, &values, [levels, width])
        };
        let forward = table(2, &|t| {
            vec![bridge.forward(t).signal, bridge.forward(t).noise]
        });
        let is_told = config.prior.known_share > 0.0;
        let ports = match config.unet.prediction.affine() {
            Some(_) => Ports {
                inputs: dim,
                outputs: dim,
                grid,
            },
            None => Ports {
                inputs: 2 * dim + if is_told { MASK } else { 0 },
                outputs: config.codes(),
                grid,
            },
        };
        let mut unet = UNet::new(init, &config.unet, ports, bridge.steps(), config.classes);
        unet.activations = config.activations;
        let output = match config.unet.prediction.affine() {
            Some(prediction) => {
                let velocity = table(2, &|t| vec![bridge.velocity(t).z0, bridge.velocity(t).eps]);
                Output::Affine(prediction, velocity)
            }
            None => Output::Codes(table(1, &|t| vec![input_scale(&bridge, &target, t)])),
        };
        let codes = CodeHead::new(init, &bridge, [config.cells(), config.codes(), dim]);
        // ε − ε_θ = factor (output wanted − output), or of ẑ_0.
        let of_eps = |t: usize| match &output {
            Output::Affine(prediction, _) => bridge.predict_eps(t, *prediction).net.powi(2),
            Output::Codes(_) if t == 0 => 0.0,
            Output::Codes(_) => (bridge.forward(t).signal / bridge.forward(t).noise).powi(2),
        };
        let weight = |t: usize| match (config.stages.prior.loss, &output) {
            // Row 0 is never gathered: training draws t from 1..T.
            (LossWeight::Weighted, _) if t > 0 => {
                of_eps(t) * finite_weight(&bridge, t, config.bridge.reverse_variance)
            }
            (_, Output::Codes(_)) => of_eps(t),
            // The toy's preconditioned loss is refused with the configuration.
            _ => 1.0,
        };
        let weight = table(1, &|t| vec![weight(t)]);
        let of_eps = table(1, &|t| vec![of_eps(t)]);
        let moments = [0.0, 1.0].map(|v| Tensor::from_slice(gpu, &vec![v; dim], [dim]));
        let target = Tensor::from_slice(gpu, &target, [dim]);
        let loss = config.stages.prior.loss;
        Ok(Diffusion {
            bridge,
            unet,
            target,
            moments,
            forward,
            output,
            codes,
            loss,
            is_told,
            weight,
            of_eps,
        })
    }

    /// z* of every channel, `[d]`.
    pub fn target(&self) -> &Tensor {
        &self.target
    }

    /// Whether the network can be told what is known.
    pub fn is_told(&self) -> bool {
        self.is_told
    }

    /// What turns logits into a law of codes, if the network gives logits.
    pub fn head(&self) -> Option<&CodeHead> {
        match &self.output {
            Output::Codes(_) => Some(&self.codes),
            Output::Affine(..) => None,
        }
    }

    /// Takes `spread` `[d]`, standardised, for that of z_0 about its code vector.
    pub fn spread_by(&mut self, spread: &[f32]) {
        self.codes.spread_by(&self.bridge, spread);
    }

    /// Takes `vectors` [k, d], as the VQ-VAE has them, for those of the codes. Their gradient
    /// passes.
    pub fn speak(&self, vectors: &Tensor) {
        self.codes
            .speak(ops::sub(&self.standardise(vectors), &self.target));
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

    /// ε_θ(z_t, t) for one level, whatever the network predicts: `z` [n, h, w, d], with `guidance`
    /// towards classes.
    pub fn eps(&self, z: &Tensor, t: usize, guidance: Option<&Guidance>) -> Tensor {
        self.asked(
            z,
            t,
            &Ask {
                guidance,
                ..Ask::default()
            },
        )
    }

    /// ε_θ(z_t, t) for one level, whatever the network predicts: `z` [n, h, w, d].
    pub fn asked(&self, z: &Tensor, t: usize, ask: &Ask) -> Tensor {
        let centred = ops::sub(z, &self.target);
        let levels = self.levels(z, t);
        let net = self.net(&centred, &levels, ask);
        match &self.output {
            Output::Affine(Prediction::Noise, _) => net,
            Output::Affine(prediction, _) => {
                let eps = self.bridge.predict_eps(t, *prediction);
                ops::add(
                    &ops::affine(&centred, eps.z as f32, 0.0),
                    &ops::affine(&net, eps.net as f32, 0.0),
                )
            }
            Output::Codes(_) => self
                .codes
                .law(&centred, &levels, Some(&net))
                .eps(self.bridge.forward(t)),
        }
    }

    /// What `read` makes of the law of the codes at z_t = `z` [n, h, w, d]; `None` where the
    /// network gives no logits.
    pub fn law<R>(
        &self,
        z: &Tensor,
        t: usize,
        ask: &Ask,
        read: impl FnOnce(&Law) -> R,
    ) -> Option<R> {
        let head = self.head()?;
        let centred = ops::sub(z, &self.target);
        let levels = self.levels(z, t);
        let net = self.net(&centred, &levels, ask);
        Some(read(&head.law(&centred, &levels, Some(&net))))
    }

    /// −log p(q | z_1) of `codes` [n, h, w] in nats, [n, h w]: by the network's law, or where it
    /// predicts no codes by the likelihood of z_1 = `z` [n, h, w, d] alone.
    pub fn first_nats(&self, z: &Tensor, codes: &Codes) -> Tensor {
        self.law(z, 1, &Ask::default(), |law| law.cross_entropy(codes))
            .unwrap_or_else(|| {
                let centred = ops::sub(z, &self.target);
                self.codes
                    .law(&centred, &self.levels(z, 1), None)
                    .cross_entropy(codes)
            })
    }

    fn levels(&self, z: &Tensor, t: usize) -> Codes {
        let n = z.shape().dims()[0];
        Codes::from_slice(z.gpu(), &vec![t as u32; n], [n])
    }

    /// The network's output at z_t − z* = `centred`, guided and sharpened.
    fn net(&self, centred: &Tensor, t: &Codes, ask: &Ask) -> Tensor {
        let input = self.input(centred, t, ask.told);
        let of = |class: Option<&Codes>| self.unet.forward(&input, t, class, None);
        let net = match ask.guidance {
            None => of(None),
            Some(Guidance { class, scale: 1.0 }) => of(Some(class)),
            Some(Guidance { class, scale }) => ops::add(
                &ops::affine(&of(None), 1.0 - scale, 0.0),
                &ops::affine(&of(Some(class)), *scale, 0.0),
            ),
        };
        if ask.sharpen == 1.0 {
            net
        } else {
            ops::affine(&net, ask.sharpen, 0.0)
        }
    }

    /// What the network sees of z_t − z* = `centred`: that itself where it predicts ε or V. Else
    /// that with unit variance, beside it the mean of the codes by their likelihood alone; where
    /// z_0 is known, z_0 in the place of both, and a mask.
    fn input(&self, centred: &Tensor, t: &Codes, told: Option<&Told>) -> Tensor {
        let Output::Codes(scale) = &self.output else {
            return centred.clone();
        };
        let n = t.count();
        let scaled = ops::mul(centred, &ops::gather(scale, t).reshape([n, 1, 1, 1]));
        let seen = ops::concat(&scaled, &self.codes.law(centred, t, None).mean());
        if !self.is_told {
            return seen;
        }
        let [_, h, w, _] = centred.dims();
        let Some(Told { z0, mask }) = told else {
            return ops::concat(&seen, &Tensor::zeros(centred.gpu(), [n, h, w, MASK]));
        };
        let known = ops::sub(z0, &self.target);
        let hole = ops::affine(mask, -1.0, 1.0);
        let known = ops::mul(&ops::concat(&known, &known), mask);
        let mask = ops::add(&Tensor::zeros(centred.gpu(), [n, h, w, MASK]), mask);
        ops::concat(&ops::add(&ops::mul(&seen, &hole), &known), &mask)
    }

    /// z_t at the levels `t` `[n]` and the ε in it, for standardised `z0` [n, h, w, d].
    /// `stream.step` numbers ε.
    pub fn noised(&self, z0: &Tensor, t: &Codes, stream: Stream) -> (Tensor, Tensor) {
        let eps = ops::normal(
            z0.gpu(),
            z0.shape(),
            Stream {
                stream: Draw::Epsilon.stream(),
                ..stream
            },
        );
        (
            ops::marginal(z0, &eps, &self.target, &ops::gather(&self.forward, t)),
            eps,
        )
    }

    /// L_t of a `lesson`: the mean of ‖ε − ε_θ(z_t, t)‖², or of ‖V − V_θ‖² where the network
    /// predicts V; weighted as equation (4) weights the error of ε, if configured; or −log p of the
    /// codes, nats a code. With `trains` activations are dropped.
    pub fn loss(&self, lesson: &Lesson, trains: bool) -> Loss {
        match (&self.output, self.loss) {
            (Output::Codes(_), LossWeight::CrossEntropy) => self.cross_entropy(lesson, trains),
            _ => Loss {
                total: self.squared_error(lesson, trains, &self.weight),
                each: None,
            },
        }
    }

    /// The mean of ‖ε − ε_θ(z_t, t)‖² whatever the network predicts and training minimises; else as
    /// [`Diffusion::loss`].
    pub fn eps_loss(&self, lesson: &Lesson) -> Tensor {
        self.squared_error(lesson, false, &self.of_eps)
    }

    /// The network's output at z_t − z* = `centred` as in training.
    fn learning(&self, centred: &Tensor, lesson: &Lesson, trains: bool) -> Tensor {
        let Plan { t, told } = lesson.plan;
        let told = told.as_ref().map(|[mask, _]| Told {
            z0: lesson.z0.clone(),
            mask: mask.clone(),
        });
        let input = self.input(centred, t, told.as_ref());
        self.unet
            .forward(&input, t, lesson.class, trains.then_some(lesson.stream))
    }

    fn cross_entropy(&self, lesson: &Lesson, trains: bool) -> Loss {
        let Plan { t, told } = lesson.plan;
        let (zt, _) = self.noised(lesson.z0, t, lesson.stream);
        let centred = ops::sub(&zt, &self.target);
        let net = self.learning(&centred, lesson, trains);
        let nats = self.codes.law(&centred, t, Some(&net)).cross_entropy(
            lesson
                .codes
                .expect("a prior that predicts codes is told them"),
        );
        let each = Some(ops::mean(&nats.detach(), 1));
        let total = match told {
            None => ops::mean_all(&nats),
            Some([_, weight]) => ops::mean_all(&ops::mul(&nats, weight)),
        };
        Loss { total, each }
    }

    fn squared_error(&self, lesson: &Lesson, trains: bool, weight: &Tensor) -> Tensor {
        let z0 = lesson.z0;
        let t = &lesson.plan.t;
        let (zt, eps) = self.noised(z0, t, lesson.stream);
        let centred = ops::sub(&zt, &self.target);
        let net = self.learning(&centred, lesson, trains);
        let (found, goal) = match &self.output {
            Output::Affine(Prediction::Noise, _) => (net, eps),
            Output::Affine(Prediction::Velocity, velocity) => {
                let origin = Tensor::zeros(z0.gpu(), [1]);
                (
                    net,
                    ops::marginal(
                        &ops::sub(z0, &self.target),
                        &eps,
                        &origin,
                        &ops::gather(velocity, t),
                    ),
                )
            }
            Output::Codes(_) => (
                self.codes.law(&centred, t, Some(&net)).z0(),
                ops::sub(z0, &self.target),
            ),
        };
        ops::weighted_mse(&found, &goal, &ops::gather(weight, t).reshape([t.count()]))
    }
}

/// The factor that gives z_t − z* unit variance at level t, for standardised z_0.
fn input_scale(bridge: &Bridge, target: &[f32], t: usize) -> f64 {
    let shift = target.iter().map(|&z| f64::from(z).powi(2)).sum::<f64>() / target.len() as f64;
    let marginal = bridge.forward(t);
    (marginal.signal.powi(2) * (1.0 + shift) + marginal.noise.powi(2))
        .sqrt()
        .recip()
}

/// The weight of ‖ε − ε_θ‖² of equation (4) at level t ≥ 1. t = 1 is L_0, whose own σ_1² = v β_1
/// gives the forward variance's weight where the bridge's is infinite.
pub(super) fn finite_weight(bridge: &Bridge, t: usize, variance: ReverseVariance) -> f64 {
    let weight = bridge.weight(t, variance);
    if weight.is_finite() {
        weight
    } else {
        bridge.weight(t, ReverseVariance::Forward)
    }
}

impl Module for Diffusion {
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor)) {
        self.unet.visit(f);
        if let Output::Codes(_) = &self.output {
            f("codes.bias", &mut self.codes.bias);
        }
    }
}
