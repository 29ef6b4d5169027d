//! An experiment on images, section 4.2: its models, and how each stage is trained.

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::{BridgeConfig, Levels, LossWeight, PixelCnnConfig, TrainConfig, UNetConfig, VqVaeConfig};
use crate::bridge::Spacing;

/// An experiment on images: everything its stages depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImagesConfig {
    /// Seed of all randomness.
    pub seed: u64,
    /// Classes that U-Net and PixelCNN are told, those of the data set; 0 for models that know of none.
    pub classes: usize,
    /// Share of labels that the U-Net's training drops, which classifier-free guidance needs.
    pub class_dropout: f64,
    /// The Ornstein-Uhlenbeck bridge, on standardised latents.
    pub bridge: BridgeConfig,
    /// Encoder, codebook, decoder.
    pub vqvae: VqVaeConfig,
    /// ε_θ.
    pub unet: UNetConfig,
    /// The baseline prior.
    pub pixelcnn: PixelCnnConfig,
    /// Optimisation of each stage.
    pub stages: StagesConfig,
}

impl Default for ImagesConfig {
    fn default() -> Self {
        let spacing = Spacing::Linear { beta_start: 1e-4, beta_end: 0.02 };
        let bridge =
            BridgeConfig { steps: 1000, theta: 1.0, eta: std::f64::consts::SQRT_2, spacing, ..BridgeConfig::default() };
        let (vqvae, unet, pixelcnn) = Default::default();
        let stages = StagesConfig::default();
        ImagesConfig { seed: 0, classes: 0, class_dropout: 0.1, bridge, vqvae, unet, pixelcnn, stages }
    }
}

/// Optimisation of each stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StagesConfig {
    /// Steps between evaluations on held-out images, with pictures; 0 for none.
    pub evaluate_every: u64,
    /// Held-out images looked at.
    pub evaluate_images: usize,
    /// The VQ-VAE.
    pub vqvae: TrainConfig,
    /// The diffusion prior.
    pub prior: TrainConfig,
    /// The PixelCNN.
    pub pixelcnn: TrainConfig,
}

impl Default for StagesConfig {
    fn default() -> Self {
        let stage = TrainConfig {
            lr: 2e-4,
            batch: 64,
            beta2: 0.999,
            clip: 1.0,
            loss: LossWeight::Simple,
            levels: Levels::Uniform {},
            ..TrainConfig::default()
        };
        let [vqvae, prior, pixelcnn] = [stage.clone(), stage.clone(), stage];
        StagesConfig { evaluate_every: 200, evaluate_images: 256, vqvae, prior, pixelcnn }
    }
}

/// What is trained of the image models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The VQ-VAE.
    VqVae,
    /// The diffusion prior on its frozen latents.
    Prior,
    /// The PixelCNN on its frozen codes.
    PixelCnn,
}

impl Stage {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Stage::VqVae => "vqvae",
            Stage::Prior => "prior",
            Stage::PixelCnn => "pixelcnn",
        }
    }
}

/// What is not in a model's text: how the codes of training are drawn, and options that are off, so that weights from
/// before an option still fit.
fn is_left_out(key: &str, value: &Value) -> bool {
    let off = match key {
        "quantiser" | "gumbel" => return true,
        "distance" => "euclidean",
        "prediction" => "noise",
        _ => return false,
    };
    value.as_str() == Some(off)
}

impl ImagesConfig {
    /// Optimisation of `stage`.
    pub fn stage(&self, stage: Stage) -> &TrainConfig {
        match stage {
            Stage::VqVae => &self.stages.vqvae,
            Stage::Prior => &self.stages.prior,
            Stage::PixelCnn => &self.stages.pixelcnn,
        }
    }

    /// What must agree for weights of `stage` to fit.
    pub fn model_text(&self, stage: Stage) -> String {
        let mut table = Table::new();
        let mut put = |name: &str, value: Result<Value, toml::ser::Error>| {
            let mut value = value.expect("a configuration is TOML");
            if let Value::Table(keys) = &mut value {
                keys.retain(|key, value| !is_left_out(key, value));
            }
            table.insert(name.into(), value);
        };
        put("vqvae", Value::try_from(&self.vqvae));
        if stage != Stage::VqVae && self.classes > 0 {
            put("classes", Value::try_from(self.classes));
        }
        match stage {
            Stage::VqVae => {}
            Stage::Prior => {
                put("bridge", Value::try_from(&self.bridge));
                put("unet", Value::try_from(&self.unet));
            }
            Stage::PixelCnn => put("pixelcnn", Value::try_from(&self.pixelcnn)),
        }
        table.to_string()
    }

    /// This configuration as TOML, every value written out.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration is a TOML table")
    }

    /// What makes no sense in it.
    pub(super) fn wrong(&self) -> Option<String> {
        let models = [self.vqvae.wrong(), self.unet.wrong(), self.pixelcnn.wrong()];
        if let Some(what) = models.into_iter().flatten().next() {
            return Some(what);
        }
        if !(0.0..1.0).contains(&self.class_dropout) {
            return Some(format!("class_dropout = {} must be in [0, 1)", self.class_dropout));
        }
        if self.stages.prior.loss == LossWeight::Preconditioned {
            return Some("stages.prior.loss: the U-Net takes `simple` or `weighted`".into());
        }
        let stages = [Stage::VqVae, Stage::Prior, Stage::PixelCnn];
        stages.into_iter().find_map(|s| self.stage(s).wrong().map(|what| format!("stages.{}.{what}", s.name())))
    }
}
