//! An experiment on grids of codes: a VQ-VAE's codes of images (section 4.2), or a data set's own.

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::{
    BridgeConfig, CodebookConfig, Diffuse, JointConfig, Kind, Levels, LossWeight, Output,
    PixelCnnConfig, PriorConfig, Stage, StagesConfig, TrainConfig, UNetConfig, VqVaeConfig,
};
use crate::bridge::Spacing;

/// An experiment on grids of codes: everything that its stages depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GridConfig {
    /// Seed of all randomness.
    pub seed: u64,
    /// Which activations of the U-Net and the PixelCNN are kept for the backward pass.
    pub activations: Activations,
    /// Number of the data set's classes on which U-Net and PixelCNN are conditioned; 0 for
    /// unconditional models.
    pub classes: usize,
    /// Probability of dropping the label in U-Net training, as classifier-free guidance needs.
    pub class_dropout: f64,
    /// How the data set is read.
    pub data: DataConfig,
    /// The Ornstein-Uhlenbeck bridge, on standardised latents.
    pub bridge: BridgeConfig,
    /// Encoder, codebook, decoder.
    pub vqvae: VqVaeConfig,
    /// A data set's own codes, instead of `vqvae`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codebook: Option<CodebookConfig>,
    /// ε_θ.
    pub unet: UNetConfig,
    /// What the diffusion prior starts from, and what its network is conditioned on.
    pub prior: PriorConfig,
    /// The baseline prior.
    pub pixelcnn: PixelCnnConfig,
    /// How VQ-VAE and prior are trained together.
    pub joint: JointConfig,
    /// Optimisation of each stage.
    pub stages: StagesConfig,
}

impl Default for GridConfig {
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
        GridConfig {
            seed: 0,
            activations,
            classes,
            class_dropout,
            data,
            bridge,
            vqvae,
            codebook: None,
            unet,
            prior,
            pixelcnn,
            joint,
            stages,
        }
    }
}

/// Sections that do not apply if the data set has codes of its own.
const OF_IMAGES: [&str; 5] = ["vqvae", "joint", "data", "classes", "class_dropout"];

/// How a data set is read. The folder is not part of it: a set may move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// How images are resized to the model's size.
    pub resize: Resize,
    /// Leave out images that cannot be read, instead of stopping at the first.
    pub skip_broken: bool,
}

/// How images are resized to the model's size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resize {
    /// Not at all: all must have that size.
    #[default]
    Off,
    /// The whole image, scaled without keeping its aspect ratio.
    Squash,
    /// The middle square of an image, scaled.
    Crop,
}

impl Resize {
    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Resize::Off => "off",
            Resize::Squash => "squash",
            Resize::Crop => "crop",
        }
    }
}

/// Which activations of a network are kept for the backward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activations {
    /// All that the gradients need; fastest.
    Keep,
    /// The inputs of its blocks, which are recomputed (gradient checkpointing): the same gradients
    /// for about a third more time.
    Recompute,
    /// The same, with the inputs rounded to f16.
    RecomputeF16,
}

/// Keys left out of [`GridConfig::model_text`]: how codes are drawn in training, and options that
/// are off, so that weights older than an option still fit.
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

impl GridConfig {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self.codebook {
            Some(_) => Kind::Codes,
            None => Kind::Images,
        }
    }

    /// Whether its samples are images, whose codes a VQ-VAE gives.
    pub fn is_of_images(&self) -> bool {
        self.kind() == Kind::Images
    }

    /// Rows and columns of codes per sample.
    pub fn grid(&self) -> [usize; 2] {
        match &self.codebook {
            Some(codebook) => [codebook.height, codebook.width],
            None => [self.vqvae.grid(); 2],
        }
    }

    /// Number of codes per sample.
    pub fn cells(&self) -> usize {
        self.grid().iter().product()
    }

    /// Number of codes, K.
    pub fn codes(&self) -> usize {
        match &self.codebook {
            Some(codebook) => codebook.codes,
            None => self.vqvae.codes,
        }
    }

    /// Channels of a code vector, d.
    pub fn dim(&self) -> usize {
        match &self.codebook {
            Some(codebook) => codebook.dim,
            None => self.vqvae.dim,
        }
    }

    /// Height and width at which a sample is drawn: the image's, or a pixel for each code.
    pub fn picture(&self) -> [usize; 2] {
        if self.is_of_images() {
            [self.vqvae.size; 2]
        } else {
            self.grid()
        }
    }

    /// The stages that can be trained for `kind`.
    pub fn stages_of(kind: Kind) -> &'static [Stage] {
        match kind {
            Kind::Codes => &[Stage::Prior, Stage::PixelCnn],
            Kind::Images => &Stage::ALL,
            Kind::Toy => &[],
        }
    }

    /// Its values, without the sections that do not apply to its kind.
    pub fn table(&self) -> Table {
        let mut table = Table::try_from(self).expect("a configuration is a TOML table");
        if !self.is_of_images() {
            table.retain(|key, _| !OF_IMAGES.contains(&key));
            if let Some(Value::Table(stages)) = table.get_mut("stages") {
                ["vqvae", "joint", "latent_cache"]
                    .iter()
                    .for_each(|key| _ = stages.remove(*key));
            }
        }
        table
    }

    /// Optimisation of `stage`.
    pub fn stage(&self, stage: Stage) -> &TrainConfig {
        match stage {
            Stage::VqVae => &self.stages.vqvae,
            Stage::Prior => &self.stages.prior,
            Stage::PixelCnn => &self.stages.pixelcnn,
            Stage::Joint => &self.stages.joint,
        }
    }

    /// As [`GridConfig::stage`], to change it.
    pub(super) fn stage_mut(&mut self, stage: Stage) -> &mut TrainConfig {
        match stage {
            Stage::VqVae => &mut self.stages.vqvae,
            Stage::Prior => &mut self.stages.prior,
            Stage::PixelCnn => &mut self.stages.pixelcnn,
            Stage::Joint => &mut self.stages.joint,
        }
    }

    /// The same configuration with another batch size in `stage`.
    pub fn with_batch(&self, stage: Stage, batch: usize) -> GridConfig {
        let mut config = self.clone();
        config.stage_mut(stage).batch = batch;
        config
    }

    /// The configuration that must match for weights of `stage` to fit.
    pub fn model_text(&self, stage: Stage) -> String {
        let mut table = Table::new();
        let mut put = |name: &str, value: Result<Value, toml::ser::Error>| {
            let mut value = value.expect("a configuration is TOML");
            if let Value::Table(keys) = &mut value {
                keys.retain(|key, value| !is_left_out(key, value));
            }
            table.insert(name.into(), value);
        };
        match &self.codebook {
            Some(codebook) => put("codebook", Value::try_from(codebook)),
            None => put("vqvae", Value::try_from(&self.vqvae)),
        }
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
        let text = if self.is_of_images() {
            // In the order of the fields.
            toml::to_string(self)
        } else {
            toml::to_string(&self.table())
        };
        text.expect("a configuration is a TOML table")
    }

    /// What is invalid in loss and levels of a stage that trains the U-Net, if anything.
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
            (_, Levels::Entropy { .. }) => "levels with law = \"entropy\"",
            _ => return None,
        };
        if self.unet.prediction == Output::Codes {
            return None;
        }
        let what = "needs unet.prediction = \"codes\"; the presets that end in -paper have what ε and v need";
        Some(format!("stages.{name}: {of_codes} {what}"))
    }

    /// What is invalid in it, if anything.
    pub(super) fn wrong(&self) -> Option<String> {
        let first = match &self.codebook {
            Some(codebook) => codebook.wrong(),
            None => self.vqvae.wrong(),
        };
        let models = [first, self.unet.wrong(), self.pixelcnn.wrong()];
        if let Some(what) = models.into_iter().flatten().next() {
            return Some(what);
        }
        if self.stages.evaluate_images == 0 {
            return Some(
                "stages.evaluate_images = 0 must be at least 1; to skip evaluations, set stages.evaluate_every = 0"
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
