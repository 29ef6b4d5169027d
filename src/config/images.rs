//! An experiment on images, section 4.2: its models, and how each stage is trained.

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::{
    BridgeConfig, Diffuse, JointConfig, Levels, LossWeight, Output, PixelCnnConfig, PriorConfig,
    Stage, StagesConfig, TrainConfig, UNetConfig, VqVaeConfig,
};
use crate::bridge::Spacing;

/// An experiment on images: everything its stages depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImagesConfig {
    /// Seed of all randomness.
    pub seed: u64,
    /// What backward keeps of the U-Net's and the PixelCNN's activations.
    pub activations: Activations,
    /// Classes that U-Net and PixelCNN are told, those of the data set; 0 for models that know of
    /// none.
    pub classes: usize,
    /// Share of labels that the U-Net's training drops, which classifier-free guidance needs.
    pub class_dropout: f64,
    /// How the data set is read.
    pub data: DataConfig,
    /// The Ornstein-Uhlenbeck bridge, on standardised latents.
    pub bridge: BridgeConfig,
    /// Encoder, codebook, decoder.
    pub vqvae: VqVaeConfig,
    /// ε_θ.
    pub unet: UNetConfig,
    /// What the diffusion prior starts from, and what its network is told.
    pub prior: PriorConfig,
    /// The baseline prior.
    pub pixelcnn: PixelCnnConfig,
    /// How VQ-VAE and prior learn together.
    pub joint: JointConfig,
    /// Optimisation of each stage.
    pub stages: StagesConfig,
}

impl Default for ImagesConfig {
    fn default() -> Self {
        let spacing = Spacing::Linear {
            beta_start: 1e-4,
            beta_end: 0.02,
        };
        let bridge = BridgeConfig {
            steps: 1000,
            theta: 1.0,
            eta: std::f64::consts::SQRT_2,
            spacing,
            ..BridgeConfig::default()
        };
        let (data, vqvae, unet, prior, pixelcnn, joint, stages) = Default::default();
        let activations = Activations::Keep;
        let classes = 0;
        let class_dropout = 0.1;
        ImagesConfig {
            seed: 0,
            activations,
            classes,
            class_dropout,
            data,
            bridge,
            vqvae,
            unet,
            prior,
            pixelcnn,
            joint,
            stages,
        }
    }
}

/// How a data set is read. The folder is no part of it: a set may move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// How images get the model's size.
    pub resize: Resize,
    /// Leave out images that cannot be read, instead of stopping at the first.
    pub skip_broken: bool,
}

/// How images get the model's size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resize {
    /// Not at all: all must have it.
    #[default]
    Off,
    /// All of an image, squashed.
    Squash,
    /// The middle square of an image, scaled.
    Crop,
}

impl Resize {
    /// As in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Resize::Off => "off",
            Resize::Squash => "squash",
            Resize::Crop => "crop",
        }
    }
}

/// What backward keeps of a network's activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activations {
    /// All that the gradients need: fastest.
    Keep,
    /// The inputs of its blocks, which run a second time: the same gradients for about a third more
    /// time.
    Recompute,
    /// The same, the inputs rounded to f16.
    RecomputeF16,
}

/// What is not in a model's text: how the codes of training are drawn, and options that are off, so
/// that weights from before an option still fit.
fn is_left_out(key: &str, value: &Value) -> bool {
    let off = match key {
        "quantiser" | "gumbel" => return true,
        "position" => return value.as_bool() == Some(false),
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
            Stage::Joint => &self.stages.joint,
        }
    }

    /// The same with another batch in `stage`.
    pub fn with_batch(&self, stage: Stage, batch: usize) -> ImagesConfig {
        let mut config = self.clone();
        let stages = &mut config.stages;
        let train = match stage {
            Stage::VqVae => &mut stages.vqvae,
            Stage::Prior => &mut stages.prior,
            Stage::PixelCnn => &mut stages.pixelcnn,
            Stage::Joint => &mut stages.joint,
        };
        train.batch = batch;
        config
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
            Stage::Prior | Stage::Joint => {
                if stage == Stage::Joint {
                    put("stage", Ok(stage.name().into()));
                }
                put("bridge", Value::try_from(&self.bridge));
                put("unet", Value::try_from(&self.unet));
                if stage == Stage::Prior && self.prior.diffuse == Diffuse::Codes {
                    put("diffuse", Value::try_from(self.prior.diffuse));
                }
                if self.prior.known_share > 0.0 {
                    put("told", Ok(true.into()));
                }
            }
            Stage::PixelCnn => put("pixelcnn", Value::try_from(&self.pixelcnn)),
        }
        table.to_string()
    }

    /// This configuration as TOML, every value written out.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration is a TOML table")
    }

    /// What makes no sense in loss and levels of a stage that trains the U-Net.
    fn wrong_loss(&self, stage: Stage) -> Option<String> {
        let train = self.stage(stage);
        let name = stage.name();
        let of_codes = match (train.loss, train.levels) {
            (LossWeight::Preconditioned, _) => {
                return Some(format!(
                    "stages.{name}.loss: the U-Net takes `simple`, `weighted` or `cross-entropy`"
                ));
            }
            (LossWeight::CrossEntropy, _) => "loss = \"cross-entropy\"",
            (_, Levels::Entropy { .. }) => "levels of law \"entropy\"",
            _ => return None,
        };
        if self.unet.prediction == Output::Codes {
            return None;
        }
        let what =
            "needs unet.prediction = \"codes\"; presets that end in -paper have what ε and v need";
        Some(format!("stages.{name}: {of_codes} {what}"))
    }

    /// What makes no sense in it.
    pub(super) fn wrong(&self) -> Option<String> {
        let models = [self.vqvae.wrong(), self.unet.wrong(), self.pixelcnn.wrong()];
        if let Some(what) = models.into_iter().flatten().next() {
            return Some(what);
        }
        if self.stages.evaluate_images == 0 {
            return Some(
                "stages.evaluate_images = 0 must be at least 1; stages.evaluate_every = 0 leaves evaluations out"
                    .into(),
            );
        }
        if !(0.0..1.0).contains(&self.class_dropout) {
            return Some(format!(
                "class_dropout = {} must be in [0, 1)",
                self.class_dropout
            ));
        }
        let predicts_codes = self.unet.prediction == Output::Codes;
        if let Some(what) = self.prior.wrong(predicts_codes) {
            return Some(what);
        }
        if let Some(what) = [Stage::Prior, Stage::Joint]
            .into_iter()
            .find_map(|stage| self.wrong_loss(stage))
        {
            return Some(what);
        }
        if let Some(what) = self.joint.wrong() {
            return Some(what);
        }
        Stage::ALL.into_iter().find_map(|s| {
            self.stage(s)
                .wrong()
                .map(|what| format!("stages.{}.{what}", s.name()))
        })
    }
}
