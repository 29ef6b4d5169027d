//! An experiment on the toy of section 4.1.

use serde::{Deserialize, Serialize};

use super::{
    BridgeConfig, Diffuse, DiffusionGradient, JointConfig, Levels, LossWeight, Regulariser,
    TrainConfig,
};

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

impl Config {
    /// This configuration as TOML, every value written out.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration is a TOML table")
    }

    /// The configuration that must match for weights of one run to fit another: all but `train` and
    /// `seed`.
    pub fn model_text(&self) -> String {
        let model = Config {
            train: TrainConfig::default(),
            seed: 0,
            ..self.clone()
        };
        model.to_toml()
    }

    /// What is invalid in it, if anything.
    pub(super) fn wrong(&self) -> Option<String> {
        if let Some(what) = self.train.wrong() {
            return Some(format!("train.{what}"));
        }
        self.wrong_loss()
            .or_else(|| self.denoiser.wrong())
            .or_else(|| self.codes.as_ref()?.wrong())
    }

    /// What is invalid in its loss, its levels and its micro-batches, if anything.
    fn wrong_loss(&self) -> Option<String> {
        let predicts_codes = self.denoiser.prediction == DenoiserOutput::Codes;
        if predicts_codes != (self.train.loss == LossWeight::CrossEntropy) {
            let what =
                "denoiser.prediction = \"codes\" and train.loss = \"cross-entropy\" go together";
            return Some(what.into());
        }
        if !predicts_codes && matches!(self.train.levels, Levels::Entropy { .. }) {
            let what = "train.levels with law = \"entropy\" need denoiser.prediction = \"codes\"";
            return Some(what.into());
        }
        if self.train.accumulate > 1 {
            let what = "train.accumulate is for image presets; the toy runs each batch whole";
            return Some(what.into());
        }
        None
    }
}

impl DenoiserConfig {
    /// What is invalid in it, if anything.
    fn wrong(&self) -> Option<String> {
        let sizes = [
            ("kernel", self.kernel, 31),
            ("channels", self.channels, 1024),
            ("features", self.features, 1024),
            ("blocks", self.blocks, 256),
        ];
        if let Some((name, size, most)) = sizes.into_iter().find(|(_, size, most)| size > most) {
            return Some(format!("denoiser.{name} = {size} is over {most}"));
        }
        if self.kernel.is_multiple_of(2) || self.channels == 0 || self.features == 0 {
            return Some(format!(
                "denoiser.kernel must be odd (is {}), channels and features at least 1",
                self.kernel
            ));
        }
        None
    }
}

impl CodesConfig {
    /// What is invalid in it, if anything.
    fn wrong(&self) -> Option<String> {
        let numbers = [
            ("tau_start", self.tau_start),
            ("tau_end", self.tau_end),
            ("scale", self.scale),
            ("reg_tau", self.reg_tau),
            ("reg_tau_first", self.reg_tau_first),
            ("reg_tau_last", self.reg_tau_last),
            ("lr", self.lr),
        ];
        let (name, value) = numbers
            .into_iter()
            .find(|(_, value)| !(*value > 0.0 && (*value as f32).is_finite()))?;
        Some(format!(
            "codes.{name} = {value} must be a finite number above 0"
        ))
    }
}
