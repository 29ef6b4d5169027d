//! The image models: VQ-VAE, U-Net and PixelCNN, their sizes and options.

use serde::{Deserialize, Serialize};

use crate::bridge::Prediction;

/// Most channels of an attention head, the limit of `ops::attention`.
const HEAD: usize = 256;
/// Most pixels to a side of an image.
const MOST_PIXELS: usize = 1 << 13;
/// Most channels or code vectors.
const MOST_CHANNELS: usize = 1 << 16;
/// Most consecutive blocks or layers.
const MOST_BLOCKS: usize = 1 << 10;
/// Largest kernel of a convolution.
const MOST_KERNEL: usize = 31;

/// The vector quantised autoencoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VqVaeConfig {
    /// Height and width of an image, a multiple of 4.
    pub size: usize,
    /// Hidden channels at `size` / 4; half as many at `size` / 2.
    pub channels: usize,
    /// Residual blocks of the encoder, and of the decoder.
    pub blocks: usize,
    /// Channels inside a residual block.
    pub inner: usize,
    /// Channels of a latent, d.
    pub dim: usize,
    /// Code vectors, K.
    pub codes: usize,
    /// How the nearest code is chosen.
    pub distance: Distance,
    /// What the decoder sees in training.
    pub quantiser: Quantiser,
    /// How the code vectors learn.
    pub codebook: CodebookRule,
    /// Decay of the codebook's running averages, with `codebook = "ema"`.
    pub decay: f64,
    /// β_c, the weight of ‖z_e − sg(e)‖².
    pub commitment: f64,
    /// Weight of the normaliser log Σ_k exp(−‖z_e − e_k‖²) of section 3.2; 0 leaves it out. At
    /// `commitment` / `dim` (commitment is a mean over channels) the two together are −log softmax
    /// of the nearest code; above that, nothing holds the latents back.
    pub normaliser: f64,
    /// Steps between checks for dead codes, which are moved onto encoder outputs, with `codebook =
    /// "ema"`; 0 for never.
    pub revive_every: u64,
    /// Relaxed samples, with `quantiser = "gumbel"`.
    pub gumbel: GumbelConfig,
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
            distance: Distance::Euclidean,
            quantiser: Quantiser::Nearest,
            codebook: CodebookRule::Ema,
            decay: 0.99,
            commitment: 0.25,
            normaliser: 0.0,
            revive_every: 100,
            gumbel: GumbelConfig::default(),
        }
    }
}

impl VqVaeConfig {
    /// Height and width of the latent grid.
    pub fn grid(&self) -> usize {
        self.size / 4
    }

    /// What is invalid in it, if anything.
    pub(super) fn wrong(&self) -> Option<String> {
        if self.size < 8 || !self.size.is_multiple_of(4) {
            return Some(format!(
                "vqvae.size = {} must be a multiple of 4, at least 8",
                self.size
            ));
        }
        let sizes = [
            ("channels", self.channels / 2),
            ("inner", self.inner),
            ("dim", self.dim),
            ("codes", self.codes),
        ];
        if let Some(what) = too_small("vqvae", &sizes) {
            return Some(what);
        }
        let sizes = [
            ("size", self.size, MOST_PIXELS),
            ("channels", self.channels, MOST_CHANNELS),
            ("blocks", self.blocks, MOST_BLOCKS),
            ("inner", self.inner, MOST_CHANNELS),
            ("dim", self.dim, MOST_CHANNELS),
            ("codes", self.codes, MOST_CHANNELS),
        ];
        if let Some(what) = too_large("vqvae", &sizes) {
            return Some(what);
        }
        if !(0.0..1.0).contains(&self.decay) {
            return Some(format!("vqvae.decay = {} must be in [0, 1)", self.decay));
        }
        let most = self.commitment / self.dim as f64;
        let bounded = self.distance == Distance::Cosine || self.normaliser <= most;
        if !(self.normaliser >= 0.0 && self.normaliser.is_finite() && bounded) {
            let what = format!(
                "must be in [0, commitment / dim = {most}], or latents move away from all codes"
            );
            return Some(format!("vqvae.normaliser = {} {what}", self.normaliser));
        }
        if self.quantiser == Quantiser::Gumbel && self.codebook != CodebookRule::Gradient {
            let what = "updates code vectors by gradient: it needs vqvae.codebook = \"gradient\"";
            return Some(format!("vqvae.quantiser = \"gumbel\" {what}"));
        }
        self.gumbel.wrong()
    }
}

/// How the code nearest to a latent is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distance {
    /// The code vector with the least ‖z_e − e‖².
    Euclidean,
    /// The code vector with the smallest angle (Yu et al. 2022, ViT-VQGAN): latents and code
    /// vectors have norm 1, where ‖z_e − e‖² = 2 − 2 cos. The decoder sees unit vectors, and the
    /// prior's latents are points of the unit sphere.
    Cosine,
}

/// What the decoder sees in training. Evaluation and sampling always take the nearest code vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quantiser {
    /// The nearest code vector, with the gradient passed straight through (van den Oord et al.
    /// 2017).
    Nearest,
    /// A Gumbel-softmax sample of softmax(−scale ‖z_e − e‖²), a mixture of code vectors (Jang et
    /// al. 2017).
    Gumbel,
}

/// Relaxed samples of codes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GumbelConfig {
    /// Logits are −scale · ‖z_e − e‖².
    pub scale: f64,
    /// Temperature at the start.
    pub tau_start: f64,
    /// Temperature from `anneal_steps` on; geometric in between.
    pub tau_end: f64,
    /// Number of annealing steps.
    pub anneal_steps: u64,
}

impl Default for GumbelConfig {
    fn default() -> Self {
        GumbelConfig {
            scale: 1.0,
            tau_start: 1.0,
            tau_end: 0.5,
            anneal_steps: 1000,
        }
    }
}

impl GumbelConfig {
    fn wrong(&self) -> Option<String> {
        let numbers = [
            ("scale", self.scale),
            ("tau_start", self.tau_start),
            ("tau_end", self.tau_end),
        ];
        let (name, value) = numbers
            .into_iter()
            .find(|(_, v)| !(*v > 0.0 && (*v as f32).is_normal()))?;
        Some(format!(
            "vqvae.gumbel.{name} = {value} must be a finite number above 0"
        ))
    }
}

/// How code vectors are learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CodebookRule {
    /// Moving averages of the latents assigned to each code (van den Oord et al. 2017, appendix).
    Ema,
    /// Gradient descent on ‖sg(z_e) − e‖², or with `quantiser = "gumbel"` on the reconstruction
    /// loss through the mixture.
    Gradient,
}

/// The U-Net ε_θ on latents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UNetConfig {
    /// Channels of the first level.
    pub base: usize,
    /// Channels of each level as a multiple of the previous level's; the first, of `base`.
    pub multipliers: Vec<usize>,
    /// Residual blocks per level on the way down; one more on the way up.
    pub blocks: usize,
    /// Attention heads of the middle.
    pub heads: usize,
    /// Levels, from 0, whose blocks are followed by attention; the middle always has it.
    pub attention: Vec<usize>,
    /// Dropout probability in training.
    pub dropout: f64,
    /// What the network's output means. With `loss = "simple"` the plain squared error of that
    /// output is minimised; for `codes`, that of ε.
    pub prediction: Output,
    /// Add a learnt vector to each position, after the first convolution.
    pub position: bool,
}

/// What the output of the U-Net means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// The noise ε: the paper's.
    Noise,
    /// V, see [`Prediction::Velocity`].
    #[serde(rename = "v")]
    Velocity,
    /// Logits of the codes at each position, to which the exact likelihood of z_t is added.
    Codes,
}

impl Output {
    /// The affine map from the output to ε, if there is one.
    pub fn affine(self) -> Option<Prediction> {
        match self {
            Output::Noise => Some(Prediction::Noise),
            Output::Velocity => Some(Prediction::Velocity),
            Output::Codes => None,
        }
    }
}

impl Default for UNetConfig {
    fn default() -> Self {
        UNetConfig {
            base: 128,
            multipliers: vec![1, 2, 2],
            blocks: 2,
            heads: 2,
            attention: Vec::new(),
            dropout: 0.0,
            prediction: Output::Noise,
            position: false,
        }
    }
}

impl UNetConfig {
    /// Channels of each level.
    pub fn widths(&self) -> Vec<usize> {
        let width = |c: &mut usize, m: &usize| {
            *c = c.saturating_mul(*m);
            Some(*c)
        };
        self.multipliers.iter().scan(self.base, width).collect()
    }

    /// What is invalid in it, if anything.
    pub(super) fn wrong(&self) -> Option<String> {
        if let Some(what) = too_small("unet", &[("base", self.base / 4), ("heads", self.heads)]) {
            return Some(what);
        }
        let widths = self.widths();
        if widths.is_empty() || widths.contains(&0) || !self.base.is_multiple_of(2) {
            return Some(
                "unet.multipliers must not be empty or have a 0, and unet.base must be even".into(),
            );
        }
        let widest = widths.iter().copied().max().unwrap_or(0);
        let sizes = [
            ("multipliers: count", widths.len(), MOST_BLOCKS),
            ("base times its multipliers", widest, MOST_CHANNELS),
            ("blocks", self.blocks, MOST_BLOCKS),
        ];
        if let Some(what) = too_large("unet", &sizes) {
            return Some(what);
        }
        if let Some(level) = self.attention.iter().find(|level| **level >= widths.len()) {
            let what = format!(
                "has {level}, but unet.multipliers defines levels 0 to {}",
                widths.len() - 1
            );
            return Some(format!("unet.attention {what}"));
        }
        let attends = |i: usize| self.attention.contains(&i) || i + 1 == widths.len();
        let mut attending = widths.iter().enumerate().filter(|(i, _)| attends(*i));
        let unfit = |width: usize| !width.is_multiple_of(self.heads) || width / self.heads > HEAD;
        if let Some((_, width)) = attending.find(|(_, width)| unfit(**width)) {
            let what = format!(
                "must divide the {width} channels of a level with attention into heads of at most {HEAD}"
            );
            return Some(format!("unet.heads = {} {what}", self.heads));
        }
        (!(0.0..1.0).contains(&self.dropout))
            .then(|| format!("unet.dropout = {} must be in [0, 1)", self.dropout))
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
        PixelCnnConfig {
            layers: 15,
            channels: 512,
            head: 512,
            first_kernel: 7,
            kernel: 3,
        }
    }
}

impl PixelCnnConfig {
    /// What is invalid in it, if anything.
    pub(super) fn wrong(&self) -> Option<String> {
        let sizes = [
            ("layers", self.layers),
            ("channels", self.channels),
            ("head", self.head),
        ];
        let even = self.first_kernel.is_multiple_of(2)
            || self.kernel.is_multiple_of(2)
            || self.first_kernel < 3;
        let kernels = || {
            "pixelcnn.first_kernel must be odd and at least 3, pixelcnn.kernel must be odd"
                .to_string()
        };
        let limits = [
            ("layers", self.layers, MOST_BLOCKS),
            ("channels", self.channels, MOST_CHANNELS),
            ("head", self.head, MOST_CHANNELS),
            ("first_kernel", self.first_kernel, MOST_KERNEL),
            ("kernel", self.kernel, MOST_KERNEL),
        ];
        let too_large = || too_large("pixelcnn", &limits);
        too_small("pixelcnn", &sizes)
            .or_else(|| even.then(kernels))
            .or_else(too_large)
    }
}

/// The first of the `sizes` (name, size, limit) of a section that is over its limit.
fn too_large(section: &str, sizes: &[(&str, usize, usize)]) -> Option<String> {
    let (name, size, most) = sizes.iter().find(|(_, size, most)| size > most)?;
    Some(format!("{section}.{name} = {size} is over {most}"))
}

/// The first of the `sizes` of a section that is 0.
fn too_small(section: &str, sizes: &[(&str, usize)]) -> Option<String> {
    sizes
        .iter()
        .find(|(_, size)| *size == 0)
        .map(|(name, _)| format!("{section}.{name} is too small"))
}
