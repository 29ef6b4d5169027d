//! The image models of section 4.2: sizes of the VQ-VAE, of the U-Net and of the PixelCNN.

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::{BridgeConfig, Levels, LossWeight, TrainConfig};
use crate::bridge::Spacing;

/// Most channels of an attention head; that of `ops::attention`.
const HEAD: usize = 256;

/// The vector quantised autoencoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VqVaeConfig {
    /// Height and width of an image, a multiple of 4.
    pub size: usize,
    /// Channels inside; half of them at half the size.
    pub channels: usize,
    /// Residual blocks of the encoder, and of the decoder.
    pub blocks: usize,
    /// Channels inside a residual block.
    pub inner: usize,
    /// Channels of a latent, d.
    pub dim: usize,
    /// Code vectors, K.
    pub codes: usize,
    /// How the code vectors learn.
    pub codebook: CodebookRule,
    /// Decay of the codebook's running averages, with `codebook = "ema"`.
    pub decay: f64,
    /// β_c, the weight of ‖z_e − sg(e)‖².
    pub commitment: f64,
    /// Weight of the normaliser log Σ_k exp(−‖z_e − e_k‖²) of section 3.2; 0 leaves it out.
    pub normaliser: f64,
    /// Steps between looks for dead codes, which move onto encoder outputs; 0 for never.
    pub revive_every: u64,
}

impl Default for VqVaeConfig {
    fn default() -> Self {
        VqVaeConfig {
            size: 32,
            channels: 128,
            blocks: 2,
            inner: 32,
            dim: 128,
            codes: 256,
            codebook: CodebookRule::Ema,
            decay: 0.99,
            commitment: 0.25,
            normaliser: 0.0,
            revive_every: 100,
        }
    }
}

impl VqVaeConfig {
    /// Height and width of the latent grid.
    pub fn grid(&self) -> usize {
        self.size / 4
    }
}

/// How code vectors learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CodebookRule {
    /// Running averages of the latents that fall to each code (van den Oord et al. 2017, appendix).
    Ema,
    /// The gradient of ‖sg(z_e) − e‖².
    Gradient,
}

/// The U-Net ε_θ on latents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UNetConfig {
    /// Channels of the first level.
    pub base: usize,
    /// Channels of each level as a multiple of the level above.
    pub multipliers: Vec<usize>,
    /// Residual blocks a level on the way down; one more on the way up.
    pub blocks: usize,
    /// Attention heads of the middle.
    pub heads: usize,
    /// Levels, from 0, whose blocks are followed by attention; the middle always has it.
    pub attention: Vec<usize>,
    /// Share of activations that training drops.
    pub dropout: f64,
}

impl Default for UNetConfig {
    fn default() -> Self {
        UNetConfig { base: 128, multipliers: vec![1, 2, 2], blocks: 2, heads: 2, attention: Vec::new(), dropout: 0.0 }
    }
}

impl UNetConfig {
    /// Channels of each level.
    pub fn widths(&self) -> Vec<usize> {
        let width = |c: &mut usize, m: &usize| {
            *c *= m;
            Some(*c)
        };
        self.multipliers.iter().scan(self.base, width).collect()
    }
}

/// The gated PixelCNN on codes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PixelCnnConfig {
    /// Gated layers, the first with mask A.
    pub layers: usize,
    /// Channels of both stacks.
    pub channels: usize,
    /// Width of the head's hidden layer.
    pub head: usize,
    /// Kernel of the first layer, odd.
    pub first_kernel: usize,
    /// Kernel of the others, odd.
    pub kernel: usize,
}

impl Default for PixelCnnConfig {
    fn default() -> Self {
        PixelCnnConfig { layers: 15, channels: 512, head: 512, first_kernel: 7, kernel: 3 }
    }
}

/// An experiment on images: everything its stages depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImagesConfig {
    /// Seed of all randomness.
    pub seed: u64,
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
        ImagesConfig { seed: 0, bridge, vqvae, unet, pixelcnn, stages: StagesConfig::default() }
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
    /// All of them, each after those it builds on.
    pub const ALL: [Stage; 3] = [Stage::VqVae, Stage::Prior, Stage::PixelCnn];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Stage::VqVae => "vqvae",
            Stage::Prior => "prior",
            Stage::PixelCnn => "pixelcnn",
        }
    }
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

    /// The same with another batch in `stage`.
    pub fn with_batch(&self, stage: Stage, batch: usize) -> ImagesConfig {
        let mut config = self.clone();
        let stages = &mut config.stages;
        let train = match stage {
            Stage::VqVae => &mut stages.vqvae,
            Stage::Prior => &mut stages.prior,
            Stage::PixelCnn => &mut stages.pixelcnn,
        };
        train.batch = batch;
        config
    }

    /// What must agree for weights of `stage` to fit.
    pub fn model_text(&self, stage: Stage) -> String {
        let mut table = Table::new();
        let mut put = |name: &str, value: Result<Value, toml::ser::Error>| {
            table.insert(name.into(), value.expect("a configuration is a TOML table"));
        };
        put("vqvae", Value::try_from(&self.vqvae));
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
        let (v, u, p) = (&self.vqvae, &self.unet, &self.pixelcnn);
        if v.size < 8 || !v.size.is_multiple_of(4) {
            return Some(format!("vqvae.size = {} must be a multiple of 4, at least 8", v.size));
        }
        let sizes = [
            ("vqvae.channels", v.channels / 2),
            ("vqvae.inner", v.inner),
            ("vqvae.dim", v.dim),
            ("vqvae.codes", v.codes),
            ("unet.base", u.base / 4),
            ("unet.heads", u.heads),
            ("pixelcnn.layers", p.layers),
            ("pixelcnn.channels", p.channels),
            ("pixelcnn.head", p.head),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Some(format!("{name} is too small"));
        }
        if p.first_kernel.is_multiple_of(2) || p.kernel.is_multiple_of(2) || p.first_kernel < 3 {
            return Some("pixelcnn.first_kernel must be odd and at least 3, pixelcnn.kernel odd".into());
        }
        let widths = u.widths();
        let attending = widths.iter().enumerate().filter(|(i, _)| u.attention.contains(i) || i + 1 == widths.len());
        let unfit = |width: &usize| !width.is_multiple_of(u.heads) || width / u.heads > HEAD;
        if let Some((_, width)) = attending.into_iter().find(|(_, width)| unfit(width)) {
            return Some(format!(
                "unet.heads = {} must divide the {width} channels of a level with attention into heads of at most {HEAD}",
                u.heads
            ));
        }
        if widths.is_empty() || widths.contains(&0) || !u.base.is_multiple_of(2) {
            return Some("unet.multipliers must not be empty nor have a 0, and unet.base be even".into());
        }
        if !(0.0..1.0).contains(&u.dropout) || !(0.0..1.0).contains(&v.decay) {
            return Some("unet.dropout and vqvae.decay must be in [0, 1)".into());
        }
        Stage::ALL.into_iter().find_map(|s| self.stage(s).wrong().map(|what| format!("stages.{}.{what}", s.name())))
    }
}
