//! The toy's model: points around eight code vectors, fixed or learnt with Gumbel-softmax jointly
//! with the bridge.

use super::Losses;
use super::algorithm1::{self, Encoded};
use super::conv_net::ConvNet;
use super::diffusion::{Diffusion, Setup};
use super::lesson::{Lesson, Loss, Plan};
use super::prediction::Predicts;
use super::terms::annealed;
use crate::config::{CodesConfig, Config, DenoiserOutput, Diffuse};
use crate::data::toy::{self, CODES, DIM, LENGTH, NOISE_STD};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::nn::Module;
use crate::nn::codebook::relaxed;
use crate::nn::init::Init;
use crate::ops;
use crate::philox::{Draw, Stream};
use crate::tensor::{Codes, Tensor};

/// The bridge with its network, and the codes.
pub struct Toy {
    /// The bridge and ε_θ, on grids [n, 1, 5, 2].
    pub prior: Diffusion,
    codebook: Tensor,
    learnt: Option<CodesConfig>,
    truth: Tensor,
    /// 1 and the data's noise for every level, [T + 1, 2].
    data_noise: Tensor,
    zero: Tensor,
}

/// Prefix of the network's parameter names.
const NETWORK: &str = "denoiser.";
/// Name of the code bias, which belongs to the prior, not to the network.
const BIAS: &str = "codes.bias";

impl Toy {
    /// The model of `config` with random weights.
    ///
    /// # Errors
    /// [`Error::Config`](crate::error::Error::Config) if the bridge's parameters are invalid.
    pub fn new(gpu: &Gpu, config: &Config) -> Result<Toy> {
        let mut init = Init::new(gpu, config.seed);
        let mut prior = prior(&mut init, config)?;
        let relaxed = config
            .codes
            .as_ref()
            .is_some_and(|codes| codes.diffuse == Diffuse::Codes);
        if prior.head().is_some() && !relaxed {
            // Data scatter about their centroids; relaxed codes do not.
            prior.spread_by(&[NOISE_STD * NOISE_STD; DIM]);
        }
        let truth = Tensor::from_slice(gpu, toy::centroids().as_flattened(), [CODES, DIM]);
        let codebook = match &config.codes {
            Some(codes) => init.normal(&[CODES, DIM], codes.init_std),
            None => truth.clone(),
        };
        let steps = prior.bridge.steps();
        let data_noise = [1.0, NOISE_STD].repeat(steps + 1);
        prior.speak(&codebook.detach());
        Ok(Toy {
            prior,
            codebook,
            learnt: config.codes.clone(),
            truth,
            data_noise: Tensor::from_slice(gpu, &data_noise, [steps + 1, 2]),
            zero: Tensor::zeros(gpu, [1]),
        })
    }

    /// The code vectors e_k, [8, 2].
    pub fn codebook(&self) -> &Tensor {
        &self.codebook
    }

    /// The losses of Algorithm 1 for sequences `q` [n, 1, 5] at levels `t` `[n]`; `stream.step` is
    /// the training step.
    pub fn losses(&self, q: &Codes, t: &Codes, stream: Stream) -> Losses {
        let x = self.data(q, t, stream);
        let plan = Plan::at(t.clone());
        let Some(codes) = &self.learnt else {
            let lesson = Lesson {
                z0: &x,
                codes: Some(q),
                plan: &plan,
                class: None,
                stream,
            };
            let Loss { total, each } = self.prior.loss(&lesson, true);
            return Losses {
                parts: vec![("diffusion", total.clone())],
                total,
                each,
            };
        };
        let zq = self.relaxed(&x, codes, stream);
        let reconstruction = ops::mse(&zq, &x);
        let start = match codes.diffuse {
            Diffuse::Data => &x,
            Diffuse::Codes => &zq,
        };
        let nearest = match self.prior.head() {
            Some(_) => ops::nearest(&x, &self.codebook),
            None => q.clone(),
        };
        let encoded = Encoded {
            losses: Losses {
                total: reconstruction.clone(),
                parts: vec![("reconstruction", reconstruction)],
                each: None,
            },
            start,
            regularised: &x,
            codes: &nearest,
            vectors: &self.codebook,
        };
        algorithm1::losses(&self.prior, &codes.joint(), encoded, &plan, None, stream)
    }

    /// Points [n, 1, 5, 2] about the true vectors of `q`.
    fn data(&self, q: &Codes, t: &Codes, stream: Stream) -> Tensor {
        let stream = Stream {
            stream: Draw::ToyData.stream(),
            ..stream
        };
        let centres = ops::gather(&self.truth, q);
        let noise = ops::normal(q.gpu(), centres.shape(), stream);
        let factors = ops::gather(&self.data_noise, t);
        ops::marginal(&centres, &noise, &self.zero, &factors)
    }

    /// Gumbel-softmax samples of the code vectors for the points `x`.
    fn relaxed(&self, x: &Tensor, codes: &CodesConfig, stream: Stream) -> Tensor {
        let tau = annealed(
            codes.tau_start,
            codes.tau_end,
            f64::from(stream.step),
            codes.anneal_steps as f64,
        );
        let [n, h, w, _] = x.dims();
        let stream = Stream {
            stream: Draw::ToyGumbel.stream(),
            ..stream
        };
        let gumbel = ops::gumbel(x.gpu(), [n, h, w, CODES], stream);
        relaxed(x, &self.codebook, &gumbel, [codes.scale as f32, tau as f32])
    }
}

/// The bridge and its network.
fn prior(init: &mut Init, config: &Config) -> Result<Diffusion> {
    let bridge = config.bridge.build()?;
    // Points on the unit circle: variance 1/2 a coordinate and mean 0, plus the noise.
    let target = bridge.target().channels(DIM)?;
    let shift = target.iter().map(|z| z * z).sum::<f64>() / DIM as f64;
    let moment = 0.5 + f64::from(NOISE_STD).powi(2) + shift;
    let (predicts, ports) = match config.denoiser.prediction {
        DenoiserOutput::Preconditioned => (Predicts::Preconditioned { moment }, [DIM, DIM]),
        // The input is the point and the mean of the codes without logits.
        DenoiserOutput::Codes => (Predicts::Codes { moment }, [2 * DIM, CODES]),
    };
    let network = ConvNet::new(init, &config.denoiser, LENGTH, ports, bridge.steps());
    let setup = Setup {
        bridge,
        dim: DIM,
        codes: [LENGTH, CODES],
        predicts,
        loss: config.train.loss,
        variance: config.bridge.reverse_variance,
        is_told: false,
        standardises: false,
        epsilon: Draw::ToyEpsilon,
    };
    Diffusion::of(init, Box::new(network), setup)
}

impl Module for Toy {
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor)) {
        self.prior.visit(&mut |path, tensor| {
            if path == BIAS {
                f(path, tensor);
            } else {
                f(&format!("{NETWORK}{path}"), tensor);
            }
        });
        if self.learnt.is_some() {
            f("codebook", &mut self.codebook);
        }
    }
}
