//! `dbvq-wgpu sample`: draws samples from a trained run, and writes tensors, a picture and a
//! summary. Also the flags shared with `inpaint`.

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};

use super::{DeviceFlags, count_of};
use crate::error::{Error, Result};
use crate::experiment::asked::{ImageFlags, PictureFlags};
use crate::experiment::dataset::keep_out_of_images;
use crate::experiment::drawing::Drawing;
use crate::experiment::output::Output;
use crate::experiment::sample;
use crate::experiment::trained::Trained;
use crate::models::pixelcnn::raster::Algorithm;
use crate::models::sampler::Sampler;
use crate::report::product::{Folder, Form};

/// Output files.
const FILES: [(&str, Form); 3] = [
    ("samples.safetensors", Form::Tensors),
    ("samples.png", Form::Picture),
    ("summary.json", Form::Json),
];
/// Maximum number of images in the picture.
const SHOWN: usize = 256;

/// Checks `--sampler` of commands that support ancestral sampling only.
pub(super) fn only_ancestral(command: &str, sampler: Option<SamplerName>) -> Result<()> {
    match sampler {
        None | Some(SamplerName::Ancestral) => Ok(()),
        Some(_) => Err(Error::Usage(format!(
            "--sampler: {command} takes only ancestral steps of a diffusion prior; omit it (--sampling-steps sets how many)"
        ))),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(super) enum SamplerName {
    /// Algorithm 2 with its errata fixed.
    Ancestral,
    /// DDIM, deterministic unless --kappa is set.
    Ddim,
    /// DPM-Solver++(2M).
    Dpmpp2m,
    /// Algorithm 2 as printed: collapses; for demonstration.
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
    /// The nearest code of every latent.
    Nearest,
    /// Drawn from softmax(−‖z − e‖²/τ).
    Softmax,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum WayName {
    /// Runs the whole network for every code: slow, gives the same codes.
    Naive,
    /// Computes only what a new code needs.
    Cached,
}

/// Temperatures whose inverses, times any distance, fit into an f32.
const TEMPERATURES: std::ops::RangeInclusive<f64> = 1e-20..=1e20;

/// Flags for image runs.
#[derive(Args, Debug)]
pub(super) struct ClassFlags {
    /// Image runs with classes: the class to sample.
    #[arg(long, value_name = "C", allow_negative_numbers = true)]
    class: Option<u32>,
    /// Diffusion priors with classes: scale of classifier-free guidance; 0 is the unconditional
    /// model, 1 the class-conditional model, larger values exaggerate the class.
    #[arg(
        long,
        value_name = "W",
        requires = "class",
        allow_negative_numbers = true
    )]
    guidance: Option<f64>,
    /// Diffusion priors: how latents become codes; nearest by default.
    #[arg(long, value_enum)]
    codes: Option<CodesName>,
    /// Diffusion priors: the temperature τ of --codes softmax, 1 by default.
    #[arg(long, value_name = "TAU", allow_negative_numbers = true)]
    temperature: Option<f64>,
    /// Diffusion priors that predict codes: factor on the network's logits; above 1 makes likely
    /// codes more likely. By default the run's `prior.sharpen`.
    #[arg(long, value_name = "G", allow_negative_numbers = true)]
    sharpen: Option<f64>,
    /// PixelCNN runs: how codes are computed.
    #[arg(long, value_enum, hide = true)]
    pixelcnn_sampler: Option<WayName>,
}

/// Flags for drawing images.
#[derive(Args, Debug)]
pub(super) struct LookFlags {
    /// Image runs: enlarge each pixel to N × N; by default images become about 128 pixels wide.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    scale: Option<usize>,
    /// Image runs: also write each image to its own PNG file, in a folder next to the overview
    /// picture, at its original size or --scale times that.
    #[arg(long)]
    separate: bool,
}

/// Maximum `--scale`.
const MOST_SCALE: usize = 128;

impl LookFlags {
    pub(super) fn check(&self) -> Result<PictureFlags> {
        scale_of(self.scale).map(|scale| PictureFlags {
            scale,
            separate: self.separate,
        })
    }
}

/// Checks `--scale`.
pub(super) fn scale_of(value: Option<usize>) -> Result<Option<usize>> {
    match value {
        Some(scale) if !(1..=MOST_SCALE).contains(&scale) => Err(Error::Usage(format!(
            "--scale {scale} must be 1 to {MOST_SCALE}"
        ))),
        _ => Ok(value),
    }
}

/// Checks `--sharpen`.
pub(super) fn sharpen_of(value: Option<f64>) -> Result<Option<f64>> {
    match value {
        Some(factor) if !(factor > 0.0 && (factor as f32).is_finite()) => Err(Error::Usage(
            format!("--sharpen {factor} must be a finite number above 0"),
        )),
        _ => Ok(value),
    }
}

impl ClassFlags {
    pub(super) fn check(&self) -> Result<ImageFlags> {
        let temperature = match (self.codes, self.temperature) {
            (Some(CodesName::Softmax), tau) => Some(tau.unwrap_or(1.0)),
            (_, None) => None,
            (_, Some(_)) => {
                return Err(Error::Usage(
                    "--temperature goes with --codes softmax".into(),
                ));
            }
        };
        if let Some(value) = temperature.filter(|tau| !TEMPERATURES.contains(tau)) {
            let (low, high) = TEMPERATURES.into_inner();
            return Err(Error::Usage(format!(
                "--temperature {value} must be {low:e} to {high:e}"
            )));
        }
        if let Some(value) = self
            .guidance
            .filter(|scale| !(*scale >= 0.0 && scale.is_finite()))
        {
            return Err(Error::Usage(format!(
                "--guidance {value} must be a finite number, 0 or above"
            )));
        }
        let way = match self.pixelcnn_sampler {
            Some(WayName::Naive) => Algorithm::Naive,
            Some(WayName::Cached) | None => Algorithm::Cached,
        };
        Ok(ImageFlags {
            class: self.class,
            guidance: self.guidance,
            temperature,
            sharpen: sharpen_of(self.sharpen)?,
            way,
        })
    }
}

#[derive(Args, Debug)]
pub(super) struct SampleFlags {
    /// A run directory.
    run: PathBuf,
    /// Number of samples; 32 by default, for the toy 1024 sequences.
    #[arg(long, allow_negative_numbers = true)]
    count: Option<usize>,
    /// The sampler of the toy (ancestral by default) and of diffusion priors (dpmpp2m by default).
    #[arg(long, value_enum)]
    sampler: Option<SamplerName>,
    /// Toy and diffusion priors, --sampler ddim: fraction of the bridge's noise, 0..1; 0 by
    /// default.
    #[arg(long, allow_negative_numbers = true)]
    kappa: Option<f64>,
    /// Toy and diffusion priors: sampling steps; all T by default, but 20 for dpmpp2m except on the
    /// toy.
    #[arg(long, allow_negative_numbers = true)]
    sampling_steps: Option<usize>,
    #[command(flatten)]
    class: ClassFlags,
    #[command(flatten)]
    look: LookFlags,
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
        let drawing = self.drawing()?;
        let look = self.look.check()?;
        keep_out_of_images(&self.out, &self.run)?;
        let _folder = Folder::open(&self.out, &FILES, None)?;
        let trained = Trained::load(&self.run, &self.device.into())?;
        sample::check(&trained, &drawing)?;
        trained.check_look(&look)?;
        let size = trained.config.picture();
        let count = drawing.count.unwrap_or(trained.subject.defaults().count);
        let shown = look.fits(size, 1, SHOWN.min(count))?;
        let begin = Instant::now();
        let (drawn, facts) = sample::draw(&trained, &drawing)?;
        let seconds = begin.elapsed().as_secs_f64();
        let mut output = Output::new(&self.out, &trained, facts);
        output.picture("samples.png", &trained.subject.sheet(&drawn, shown, &look))?;
        if shown < drawn.images.len() / trained.image() {
            note!(
                "samples.png shows the first {shown}; samples.safetensors has all, --separate writes each to a file"
            );
        }
        if look.separate {
            let zoom = look.scale.unwrap_or(1);
            output.each("samples", &drawn.images, size, zoom, |i| format!("{i:06}"))?;
        }
        output.samples(&trained, &drawn, &[])?;
        let found = trained.subject.found(&drawn);
        found.lines.iter().for_each(|line| say!("{line}"));
        output.finish(&trained, seconds, found.numbers)
    }

    fn drawing(&self) -> Result<Drawing> {
        let kappa = self.kappa.unwrap_or(0.0);
        if !(0.0..=1.0).contains(&kappa) {
            return Err(Error::Usage(format!("--kappa {kappa} must be in 0..1")));
        }
        if self.kappa.is_some() && self.sampler != Some(SamplerName::Ddim) {
            return Err(Error::Usage("--kappa goes with --sampler ddim".into()));
        }
        Ok(Drawing {
            count: count_of(self.count)?,
            sampler: self.sampler.map(|name| name.sampler(kappa)),
            steps: self.sampling_steps,
            images: self.class.check()?,
            seed: self.seed,
        })
    }
}
