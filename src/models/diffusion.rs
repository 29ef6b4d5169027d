//! The diffusion prior: the bridge and a network that gives ε_θ (Algorithms 1 and 2), whatever it
//! predicts.

use super::code_head::{CodeHead, Law};
use super::denoiser::Denoiser;
use super::lesson::{Ask, Guidance, Lesson, Loss, Plan, Told};
use super::prediction::{Output, Predicts, shift, table};
use super::unet::{Ports, UNet};
use crate::bridge::{Bridge, Prediction, ReverseVariance};
use crate::config::{self, GridConfig, LossWeight};
use crate::error::Result;
use crate::nn::Module;
use crate::nn::init::Init;
use crate::ops;
use crate::philox::{Draw, Stream};
use crate::tensor::{Codes, Tensor};

/// Channels of the mask of known positions, all identical: kernels read four at a time.
const MASK: usize = 4;

/// ε_θ, the bridge, and how latents are standardised.
pub struct Diffusion {
    /// The bridge.
    pub bridge: Bridge,
    network: Box<dyn Denoiser>,
    /// z* of every channel, `[d]`.
    target: Tensor,
    /// Mean and standard deviation of the latents' channels, `[d]`; `None` if latents are not
    /// standardised.
    pub moments: Option<[Tensor; 2]>,
    /// √ᾱ_t and √(v (1 − ᾱ_t)), [T + 1, 2].
    forward: Tensor,
    output: Output,
    /// The distribution of the codes; from the likelihood alone if the network predicts none.
    codes: CodeHead,
    /// Whether training minimises −log p of the codes instead of a squared error.
    is_cross_entropy: bool,
    /// Whether the network can be conditioned on known positions.
    is_told: bool,
    /// The [`Draw`] of training's ε.
    epsilon: Draw,
    /// Training weight at level t of the squared error of the network's output, or of ẑ_0 if it
    /// gives logits, [T + 1, 1].
    weight: Tensor,
    /// The weight that turns that error into the squared error of ε, [T + 1, 1].
    of_eps: Tensor,
}

/// What a prior is made from, besides its network.
pub struct Setup {
    /// The bridge.
    pub bridge: Bridge,
    /// Channels of a latent, d.
    pub dim: usize,
    /// Number of positions and of codes.
    pub codes: [usize; 2],
    /// What the network predicts.
    pub predicts: Predicts,
    /// How the error is weighted.
    pub loss: LossWeight,
    /// σ_t², for [`LossWeight::Weighted`].
    pub variance: ReverseVariance,
    /// Whether the network can be conditioned on known positions.
    pub is_told: bool,
    /// Whether latents are standardised, by moments that are set later.
    pub standardises: bool,
    /// The [`Draw`] of training's ε.
    pub epsilon: Draw,
}

impl Diffusion {
    /// The prior of `config` with random weights. Standardising is the identity until `moments` is
    /// overwritten.
    ///
    /// # Errors
    /// [`Error::Config`](crate::error::Error::Config) if the bridge's parameters are invalid, or z*
    /// does not fit the latents' channels.
    pub fn new(init: &mut Init, config: &GridConfig) -> Result<Diffusion> {
        let bridge = config.bridge.build()?;
        let dim = config.dim();
        let shift = shift(&bridge, dim)?;
        let is_told = config.prior.known_share > 0.0;
        let predicts = match config.unet.prediction {
            config::Output::Noise => Predicts::Noise,
            config::Output::Velocity => Predicts::Velocity,
            config::Output::Codes => Predicts::Codes {
                moment: 1.0 + shift,
            },
        };
        let grid = config.grid();
        let ports = match predicts {
            Predicts::Codes { .. } => Ports {
                inputs: 2 * dim + if is_told { MASK } else { 0 },
                outputs: config.codes(),
                grid,
            },
            _ => Ports {
                inputs: dim,
                outputs: dim,
                grid,
            },
        };
        let mut unet = UNet::new(init, &config.unet, ports, bridge.steps(), config.classes);
        unet.activations = config.activations;
        let setup = Setup {
            bridge,
            dim,
            codes: [config.cells(), config.codes()],
            predicts,
            loss: config.stages.prior.loss,
            variance: config.bridge.reverse_variance,
            is_told,
            standardises: true,
            epsilon: Draw::Epsilon,
        };
        Diffusion::of(init, Box::new(unet), setup)
    }

    /// The prior around a `network`.
    ///
    /// # Errors
    /// [`Error::Config`](crate::error::Error::Config) if z* does not fit the latents' channels.
    pub fn of(init: &mut Init, network: Box<dyn Denoiser>, setup: Setup) -> Result<Diffusion> {
        let gpu = &init.gpu().clone();
        let Setup { bridge, dim, .. } = setup;
        let target = bridge.target().channels(dim)?;
        let target: Vec<f32> = target.iter().map(|&z| z as f32).collect();
        let steps = bridge.steps();
        let table = |width: usize, f: &dyn Fn(usize) -> Vec<f64>| table(gpu, steps, width, f);
        let forward = table(2, &|t| {
            vec![bridge.forward(t).signal, bridge.forward(t).noise]
        });
        let output = Output::new(gpu, &bridge, setup.predicts);
        let [positions, count] = setup.codes;
        let codes = CodeHead::new(init, &bridge, [positions, count, dim]);
        let weight = |t: usize| output.weight(&bridge, setup.loss, setup.variance, t);
        let weight = table(1, &|t| vec![weight(t)]);
        let of_eps = table(1, &|t| vec![output.of_eps(&bridge, t)]);
        let moments = setup
            .standardises
            .then(|| [0.0, 1.0].map(|v| Tensor::from_slice(gpu, &vec![v; dim], [dim])));
        Ok(Diffusion {
            network,
            target: Tensor::from_slice(gpu, &target, [dim]),
            moments,
            forward,
            is_cross_entropy: setup.loss == LossWeight::CrossEntropy
                && matches!(output, Output::Codes(_)),
            output,
            codes,
            is_told: setup.is_told,
            epsilon: setup.epsilon,
            weight,
            of_eps,
            bridge,
        })
    }

    /// z* of every channel, `[d]`.
    pub fn target(&self) -> &Tensor {
        &self.target
    }

    /// Whether the network can be conditioned on known positions.
    pub fn is_told(&self) -> bool {
        self.is_told
    }

    /// The head that turns logits into a distribution over codes, if the network gives logits.
    pub fn head(&self) -> Option<&CodeHead> {
        match &self.output {
            Output::Codes(_) => Some(&self.codes),
            _ => None,
        }
    }

    /// Sets the variance of z_0 about its code vector to `spread` `[d]`, standardised.
    pub fn spread_by(&mut self, spread: &[f32]) {
        self.codes.spread_by(&self.bridge, spread);
    }

    /// Sets the code vectors to `vectors` [k, d], not standardised, as in the VQ-VAE. Gradients
    /// flow into them.
    pub fn speak(&self, vectors: &Tensor) {
        self.codes
            .speak(ops::sub(&self.standardise(vectors), &self.target));
    }

    /// Standardises encoder outputs [n, h, w, d] for the bridge.
    pub fn standardise(&self, latents: &Tensor) -> Tensor {
        match &self.moments {
            Some([mean, std]) => ops::div(&ops::sub(latents, mean), std),
            None => latents.clone(),
        }
    }

    /// The inverse of [`Diffusion::standardise`].
    pub fn restore(&self, z0: &Tensor) -> Tensor {
        match &self.moments {
            Some([mean, std]) => ops::add(&ops::mul(z0, std), mean),
            None => z0.clone(),
        }
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
        let eps = match &self.output {
            Output::Noise => return net,
            Output::Codes(_) => {
                let law = self.codes.law(&centred, &levels, Some(&net));
                return law.eps(self.bridge.forward(t));
            }
            Output::Velocity(_) => self.bridge.predict_eps(t, Prediction::Velocity),
            Output::Preconditioned(of) => of.levels[t - 1].eps,
        };
        ops::add(
            &ops::affine(&centred, eps.z as f32, 0.0),
            &ops::affine(&net, eps.net as f32, 0.0),
        )
    }

    /// Applies `read` to the distribution of the codes at z_t = `z` [n, h, w, d]; `None` if the
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

    /// −log p(q | z_1) of `codes` [n, h, w] in nats, [n, h w]: from the network's distribution, or,
    /// if it predicts no codes, from the likelihood of z_1 = `z` [n, h, w, d] alone.
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
        let of = |class: Option<&Codes>| self.network.forward(&input, t, class, None);
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

    /// The network's input for z_t − z* = `centred`: that itself if the network predicts ε or V,
    /// else scaled to unit variance. A network that predicts codes also gets their mean m from ℓ
    /// and b, without logits. One that can be told known positions gets z_0 in place of both there,
    /// and a mask.
    fn input(&self, centred: &Tensor, t: &Codes, told: Option<&Told>) -> Tensor {
        let n = t.count();
        let scaled =
            |scale: &Tensor| ops::mul(centred, &ops::gather(scale, t).reshape([n, 1, 1, 1]));
        let scaled = match &self.output {
            Output::Noise | Output::Velocity(_) => return centred.clone(),
            Output::Preconditioned(of) => return scaled(&of.scale),
            Output::Codes(scale) => scaled(scale),
        };
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

    /// Returns z_t at the levels `t` `[n]` and the ε in it, for standardised `z0` [n, h, w, d].
    /// `stream.step` numbers ε.
    pub fn noised(&self, z0: &Tensor, t: &Codes, stream: Stream) -> (Tensor, Tensor) {
        let eps = self.epsilon(z0, stream);
        (
            ops::marginal(z0, &eps, &self.target, &ops::gather(&self.forward, t)),
            eps,
        )
    }

    /// ε of a training step, shaped like `z0`.
    fn epsilon(&self, z0: &Tensor, stream: Stream) -> Tensor {
        let stream = Stream {
            stream: self.epsilon.stream(),
            ..stream
        };
        ops::normal(z0.gpu(), z0.shape(), stream)
    }

    /// L_t of a `lesson`: the mean of ‖ε − ε_θ(z_t, t)‖², or of ‖V − V_θ‖² where the network
    /// predicts V, weighted by equation (4) if configured; or −log p of the codes, in nats per
    /// code. `trains` turns dropout on.
    pub fn loss(&self, lesson: &Lesson, trains: bool) -> Loss {
        if self.is_cross_entropy {
            return self.cross_entropy(lesson, trains);
        }
        Loss {
            total: self.squared_error(lesson, trains, &self.weight),
            each: None,
        }
    }

    /// The mean of ‖ε − ε_θ(z_t, t)‖² whatever the network predicts and training minimises. No
    /// dropout; otherwise like [`Diffusion::loss`].
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
        self.network
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
        let t = &lesson.plan.t;
        let weight = ops::gather(weight, t).reshape([t.count()]);
        if let Output::Preconditioned(of) = &self.output {
            let eps = self.epsilon(lesson.z0, lesson.stream);
            let dropout = trains.then_some(lesson.stream);
            let input = self.mixed(lesson, &eps, &of.input);
            let found = self.network.forward(&input, t, lesson.class, dropout);
            return ops::weighted_mse(&found, &self.mixed(lesson, &eps, &of.goal), &weight);
        }
        let (zt, eps) = self.noised(lesson.z0, t, lesson.stream);
        let centred = ops::sub(&zt, &self.target);
        let net = self.learning(&centred, lesson, trains);
        let (found, goal) = match &self.output {
            Output::Velocity(velocity) => (net, self.mixed(lesson, &eps, velocity)),
            Output::Codes(_) => (
                self.codes.law(&centred, t, Some(&net)).z0(),
                ops::sub(lesson.z0, &self.target),
            ),
            Output::Noise | Output::Preconditioned(_) => (net, eps),
        };
        ops::weighted_mse(&found, &goal, &weight)
    }

    /// a (z_0 − z*) + b ε of a lesson, with a and b from the `table` [T + 1, 2].
    fn mixed(&self, lesson: &Lesson, eps: &Tensor, table: &Tensor) -> Tensor {
        let origin = Tensor::zeros(eps.gpu(), [1]);
        let factors = ops::gather(table, &lesson.plan.t);
        ops::marginal(&ops::sub(lesson.z0, &self.target), eps, &origin, &factors)
    }
}

impl Module for Diffusion {
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor)) {
        self.network.visit(f);
        if let Output::Codes(_) = &self.output {
            f("codes.bias", &mut self.codes.bias);
        }
    }
}
