//! Configurations: presets or TOML files in which every key is optional, overridden by `--set
//! key.path=value`. An unknown key is an error that suggests the nearest known one.

mod codebook;
mod grid;
mod joint;
mod keys;
mod load;
mod models;
mod overrides;
mod prior;
mod source;
mod stages;
mod stored;
pub mod table;
#[cfg(test)]
mod tests;

pub use codebook::CodebookConfig;
pub use grid::{Activations, DataConfig, GridConfig, Resize};
pub use joint::JointConfig;
pub(crate) use keys::nearest;
pub use load::Experiment;
pub use models::{
    CodebookRule, Distance, GumbelConfig, Output, PixelCnnConfig, Quantiser, UNetConfig,
    VqVaeConfig,
};
pub use overrides::Overrides;
pub use prior::PriorConfig;
use serde::{Deserialize, Serialize};
pub use source::{Kind, Source, decode};
pub use stages::{Stage, StagesConfig};
pub use stored::Stored;

use crate::bridge::{Bridge, ReverseVariance, Spacing, Target};
use crate::error::Result;

/// Built-in presets: name, description, TOML.
pub const PRESETS: [(&str, &str, &str); 15] = [
    (
        "toy",
        "the toy bridge of section 4.1, 12,000 steps",
        include_str!("../presets/toy.toml"),
    ),
    (
        "toy-quick",
        "the same, shortened to 2,500 steps",
        include_str!("../presets/toy-quick.toml"),
    ),
    (
        "toy-joint",
        "the toy with codes learned from a random start",
        include_str!("../presets/toy-joint.toml"),
    ),
    (
        "cifar10",
        "CIFAR-10 at the paper's sizes",
        include_str!("../presets/cifar10.toml"),
    ),
    (
        "cifar10-small",
        "CIFAR-10 at a size for two CPU cores",
        include_str!("../presets/cifar10-small.toml"),
    ),
    (
        "cifar10-paper",
        "cifar10 with the paper's own diffusion prior",
        include_str!("../presets/cifar10-paper.toml"),
    ),
    (
        "cifar10-small-paper",
        "cifar10-small with the paper's kind of diffusion prior",
        include_str!("../presets/cifar10-small-paper.toml"),
    ),
    (
        "mini-imagenet",
        "mini-ImageNet at the paper's sizes",
        include_str!("../presets/mini-imagenet.toml"),
    ),
    (
        "mini-imagenet-small",
        "mini-ImageNet at a size for two CPU cores",
        include_str!("../presets/mini-imagenet-small.toml"),
    ),
    (
        "mini-imagenet-paper",
        "mini-imagenet with the paper's own diffusion prior",
        include_str!("../presets/mini-imagenet-paper.toml"),
    ),
    (
        "mini-imagenet-small-paper",
        "mini-imagenet-small with the paper's kind of diffusion prior",
        include_str!("../presets/mini-imagenet-small-paper.toml"),
    ),
    (
        "images",
        "your own images, 32×32, at the sizes of cifar10",
        include_str!("../presets/images.toml"),
    ),
    (
        "images-small",
        "your own images, 32×32, at a size for two CPU cores",
        include_str!("../presets/images-small.toml"),
    ),
    (
        "codes",
        "your own sequences or grids of codes, or a text",
        include_str!("../presets/codes.toml"),
    ),
    (
        "codes-small",
        "the same at a size for two CPU cores",
        include_str!("../presets/codes-small.toml"),
    ),
];

/// Σδ of the toy: ln(1000) / 2ϑ, so that ᾱ_T = 1e-3.
const TOTAL_TIME: f64 = 1.726_938_819_745_534;

/// Everything a run depends on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Seed of all randomness.
    pub seed: u64,
    /// The Ornstein-Uhlenbeck bridge.
    pub bridge: BridgeConfig,
    /// The network ε_θ.
    pub denoiser: DenoiserConfig,
    /// Learnt codes; without this section the codes are the data's centroids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codes: Option<CodesConfig>,
    /// Optimisation.
    pub train: TrainConfig,
}

/// The bridge: dZ = −ϑ(Z − z*)dt + η dW over `steps` steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BridgeConfig {
    /// T.
    pub steps: usize,
    /// ϑ.
    pub theta: f64,
    /// η.
    pub eta: f64,
    /// z*, a number or one per channel.
    pub target: Target,
    /// σ_t² of the reverse step.
    pub reverse_variance: ReverseVariance,
    /// `schedule` and its numbers.
    #[serde(flatten)]
    pub spacing: Spacing,
}

impl Default for BridgeConfig {
    fn default() -> Self {
        let spacing = Spacing::Constant {
            total_time: TOTAL_TIME,
        };
        let target = Target::Scalar(0.0);
        let reverse_variance = ReverseVariance::Bridge;
        BridgeConfig {
            steps: 50,
            theta: 2.0,
            eta: 0.1,
            target,
            reverse_variance,
            spacing,
        }
    }
}

impl BridgeConfig {
    /// The bridge with these numbers.
    ///
    /// # Errors
    /// [`Error::Config`](crate::error::Error::Config) naming the number that is wrong.
    pub fn build(&self) -> Result<Bridge> {
        Bridge::new(
            self.theta,
            self.eta,
            self.target.clone(),
            self.steps,
            self.spacing,
        )
    }
}

/// Sizes of the toy's residual Conv1d network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DenoiserConfig {
    /// Channels of the residual stream and inside the blocks.
    pub channels: usize,
    /// Residual blocks.
    pub blocks: usize,
    /// Width of the convolutions, odd.
    pub kernel: usize,
    /// Cosine features of t that modulate each block.
    pub features: usize,
    /// What the network's output means.
    #[serde(skip_serializing_if = "DenoiserOutput::is_usual")]
    pub prediction: DenoiserOutput,
}

/// What the output of the toy's network means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DenoiserOutput {
    /// F, whose squared error has unit variance at every level (Karras et al. 2022).
    #[default]
    Preconditioned,
    /// Logits of the codes at each position, to which the exact likelihood of z_t is added.
    Codes,
}

impl DenoiserOutput {
    /// Whether this is the default, which predates the key and is not written out, so that older
    /// weights still fit.
    fn is_usual(&self) -> bool {
        *self == DenoiserOutput::Preconditioned
    }
}

impl Default for DenoiserConfig {
    fn default() -> Self {
        DenoiserConfig {
            channels: 12,
            blocks: 6,
            kernel: 5,
            features: 5,
            prediction: DenoiserOutput::Preconditioned,
        }
    }
}

/// Codes learnt with Gumbel-softmax beside the denoiser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CodesConfig {
    /// Standard deviation of the random start.
    pub init_std: f64,
    /// Learning rate, cosine to 1 % over `anneal_steps`.
    pub lr: f64,
    /// Logits are −scale · ‖z − e‖²; 1/(2 · .1²) = 50 is the data's own.
    pub scale: f64,
    /// Temperature of the relaxed samples at the start.
    pub tau_start: f64,
    /// Temperature from `anneal_steps` on; geometric in between.
    pub tau_end: f64,
    /// Number of annealing steps.
    pub anneal_steps: u64,
    /// L_reg.
    pub regulariser: Regulariser,
    /// Its weight.
    pub regulariser_weight: f64,
    /// τ of q(z_q^t | z_t).
    pub reg_tau: f64,
    /// τ_0 of p(z_q^t | z_t), geometric to `reg_tau_last` at t = T.
    pub reg_tau_first: f64,
    /// τ_T.
    pub reg_tau_last: f64,
    /// What the bridge starts from: the data as in the paper, or the relaxed codes.
    pub diffuse: Diffuse,
    /// How much of the diffusion loss's gradient reaches z_0, if z_0 depends on parameters.
    pub diffusion_gradient: DiffusionGradient,
    /// Factor for `diffusion_gradient = "scale"`.
    pub gradient_scale: f64,
}

impl Default for CodesConfig {
    fn default() -> Self {
        CodesConfig {
            init_std: 0.3,
            lr: 3e-2,
            scale: 50.0,
            tau_start: 50.0,
            tau_end: 0.2,
            anneal_steps: 1500,
            regulariser: Regulariser::Off,
            regulariser_weight: 0.01,
            reg_tau: 1.0,
            reg_tau_first: 10.0,
            reg_tau_last: 0.1,
            diffuse: Diffuse::Data,
            diffusion_gradient: DiffusionGradient::Stop,
            gradient_scale: 0.1,
        }
    }
}

impl CodesConfig {
    /// The options of Algorithm 1 that combine the losses of codes and bridge.
    pub fn joint(&self) -> JointConfig {
        JointConfig {
            vqvae_lr: self.lr,
            diffuse: self.diffuse,
            diffusion_gradient: self.diffusion_gradient,
            gradient_scale: self.gradient_scale,
            regulariser: self.regulariser,
            regulariser_weight: self.regulariser_weight,
            scale: self.scale,
            reg_tau: self.reg_tau,
            reg_tau_first: self.reg_tau_first,
            reg_tau_last: self.reg_tau_last,
        }
    }
}

/// L_reg of equation (5), minimised. The printed signs differ between sections of the paper. `kl`
/// is the term of the ELBO. `gamma` is the short form, with the sign that pulls z_t and its code
/// together where τ_t > τ; that is opposite to the leading term of `kl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Regulariser {
    /// KL(q(z_q^t | z_t) ‖ p(z_q^t | z_t)).
    Kl,
    /// γ_t ‖z_t − ẑ_q^t‖², γ_t = 1/τ − 1/τ_t.
    Gamma,
    /// None.
    Off,
}

/// What the bridge starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Diffuse {
    /// z_e^0: the data in the toy, the encoder's output for images.
    Data,
    /// z_q^0: the Gumbel-softmax sample in the toy, the nearest code vectors for images.
    Codes,
}

/// How much of the diffusion loss's gradient reaches z_0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiffusionGradient {
    /// Nothing.
    Stop,
    /// `gradient_scale` times it.
    Scale,
    /// All of it.
    Full,
}

/// Optimisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Total number of steps, over which the learning rate falls to 0.
    pub steps: u64,
    /// Sequences or images per step.
    pub batch: usize,
    /// Micro-batches per batch (gradient accumulation): divides memory by this number and gives the
    /// same step up to rounding. Must divide `batch`; not for the toy.
    pub accumulate: usize,
    /// Peak learning rate: of the denoiser in the toy, of the U-Net in joint training.
    pub lr: f64,
    /// Steps of linear warm-up.
    pub warmup: u64,
    /// Adam's β₁.
    pub beta1: f64,
    /// Adam's β₂.
    pub beta2: f64,
    /// Adam's ε.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Gradient clipping norm; 0 for none.
    pub clip: f64,
    /// Decay of the exponential moving average of the weights, which samplers use.
    pub ema: f64,
    /// Weight of the diffusion loss over t.
    pub loss: LossWeight,
    /// Distribution of t.
    pub levels: Levels,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Steps between lines of `metrics.jsonl`.
    pub log_every: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        TrainConfig {
            steps: 12_000,
            batch: 512,
            accumulate: 1,
            lr: 1.5e-2,
            warmup: 200,
            beta1: 0.9,
            beta2: 0.99,
            eps: 1e-8,
            weight_decay: 0.0,
            clip: 0.3,
            ema: 0.999,
            loss: LossWeight::Preconditioned,
            levels: Levels::Bump {
                centre: 0.6,
                width: 0.18,
                floor: 0.15,
            },
            checkpoint_every: 1000,
            log_every: 50,
        }
    }
}

/// Weight of ‖ε − ε_θ‖² at level t.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossWeight {
    /// The weight that makes it the squared error of the preconditioned network's output (Karras et
    /// al. 2022).
    Preconditioned,
    /// 1 (Ho et al. 2020).
    Simple,
    /// Equation (4) with the chosen reverse variance of the bridge; t = 1 uses σ_1² = v β_1.
    Weighted,
    /// Not a squared error: −log p of the codes, with weight 1 at every level.
    #[serde(rename = "cross-entropy")]
    CrossEntropy,
}

/// Distribution of t in training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "law", rename_all = "lowercase", deny_unknown_fields)]
pub enum Levels {
    /// Uniform on 1..T.
    Uniform {},
    /// ∝ exp(−½((t/T − centre)/width)²) + floor: favours the levels where sequences are decided.
    Bump {
        /// Centre, as a fraction of T.
        centre: f64,
        /// Width, as a fraction of T.
        width: f64,
        /// Floor.
        floor: f64,
    },
    /// Favours the levels where codes are decided: ∝ dH/dt of the running cross-entropy H(t),
    /// measured in bins of t.
    Entropy {
        /// Bins of t.
        bins: usize,
        /// Weight of the uniform distribution in the mixture.
        uniform: f64,
    },
}
