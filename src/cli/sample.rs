//! Flags of `sample`, and those that it shares with `inpaint`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{DeviceFlags, count_of};
use crate::error::{Error, Result};
use crate::models::pixelcnn::raster::Way;
use crate::models::sampler::Sampler;
use crate::run::images::sample::ImageFlags;
use crate::run::sample::{self, Drawing, SampleArgs};

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(super) enum SamplerName {
    /// Algorithm 2 with its errata mended.
    Ancestral,
    /// DDIM, deterministic unless --kappa.
    Ddim,
    /// DPM-Solver++(2M).
    Dpmpp2m,
    /// Algorithm 2 as printed: collapses, for looking at.
    PaperLiteral,
}

impl SamplerName {
    /// The sampler; `kappa` is DDIM's.
    pub(super) fn sampler(self, kappa: f64) -> Sampler {
        match self {
            SamplerName::Ancestral => Sampler::Ancestral,
            SamplerName::Ddim => Sampler::Ddim { kappa },
            SamplerName::Dpmpp2m => Sampler::Dpmpp2m,
            SamplerName::PaperLiteral => Sampler::PaperLiteral,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CodesName {
    /// The nearest one of every latent.
    Nearest,
    /// Drawn by softmax(−‖z − e‖²/τ).
    Softmax,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum WayName {
    /// The whole network for every code: slow, the same codes.
    Naive,
    /// Only what a new code needs.
    Cached,
}

/// What only image runs can be told.
#[derive(Args, Debug)]
pub(super) struct ClassFlags {
    /// Image runs with classes: the class to sample.
    #[arg(long, value_name = "C", allow_negative_numbers = true)]
    class: Option<u32>,
    /// Diffusion priors with classes: scale of classifier-free guidance, 1 for none.
    #[arg(long, value_name = "W", requires = "class", allow_negative_numbers = true)]
    guidance: Option<f64>,
    /// Diffusion priors: how latents become codes; nearest by default.
    #[arg(long, value_enum)]
    codes: Option<CodesName>,
    /// Diffusion priors: the temperature τ of --codes softmax, 1 by default.
    #[arg(long, value_name = "TAU", allow_negative_numbers = true)]
    temperature: Option<f64>,
    /// PixelCNN runs: how codes are computed.
    #[arg(long, value_enum, hide = true)]
    pixelcnn_sampler: Option<WayName>,
}

impl ClassFlags {
    pub(super) fn check(self) -> Result<ImageFlags> {
        let temperature = match (self.codes, self.temperature) {
            (Some(CodesName::Softmax), tau) => Some(tau.unwrap_or(1.0)),
            (_, None) => None,
            (_, Some(_)) => return Err(Error::Usage("--temperature goes with --codes softmax".into())),
        };
        for (flag, value) in [("--temperature", temperature), ("--guidance", self.guidance)] {
            if let Some(value) = value.filter(|v| !(*v > 0.0 && v.is_finite())) {
                return Err(Error::Usage(format!("{flag} {value} must be a finite number above 0")));
            }
        }
        let way = match self.pixelcnn_sampler {
            Some(WayName::Naive) => Way::Naive,
            Some(WayName::Cached) | None => Way::Cached,
        };
        Ok(ImageFlags { class: self.class, guidance: self.guidance, temperature, way })
    }
}

#[derive(Args, Debug)]
pub(super) struct SampleFlags {
    /// A run directory.
    run: PathBuf,
    /// Samples; 1024 sequences of the toy, 32 images.
    #[arg(long, allow_negative_numbers = true)]
    count: Option<usize>,
    /// The sampler of the toy (ancestral by default) and of diffusion priors (dpmpp2m by default).
    #[arg(long, value_enum)]
    sampler: Option<SamplerName>,
    /// Toy and diffusion priors, --sampler ddim: share of the bridge's noise, 0..1; 0 by default.
    #[arg(long, allow_negative_numbers = true)]
    kappa: Option<f64>,
    /// Toy and diffusion priors: steps; all T by default, 20 of dpmpp2m on images.
    #[arg(long, allow_negative_numbers = true)]
    sampling_steps: Option<usize>,
    #[command(flatten)]
    class: ClassFlags,
    /// Seed of the noise.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    seed: u64,
    /// Directory for samples.safetensors, samples.png, summary.json.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    device: DeviceFlags,
}

impl SampleFlags {
    pub(super) fn run(self) -> Result<()> {
        sample::run(&self.check()?)
    }

    fn check(self) -> Result<SampleArgs> {
        let kappa = self.kappa.unwrap_or(0.0);
        if !(0.0..=1.0).contains(&kappa) {
            return Err(Error::Usage(format!("--kappa {kappa} must be in 0..1")));
        }
        if self.kappa.is_some() && self.sampler != Some(SamplerName::Ddim) {
            return Err(Error::Usage("--kappa goes with --sampler ddim".into()));
        }
        let sampler = self.sampler.map(|name| name.sampler(kappa));
        let SampleFlags { run, count, sampling_steps: steps, class, seed, out, device, .. } = self;
        let (count, images) = (count_of(count)?, class.check()?);
        let drawing = Drawing { count, sampler, steps, images, seed };
        Ok(SampleArgs { run, drawing, out, device: device.into() })
    }
}
