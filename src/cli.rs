//! Every flag with its default and help, and which command it reaches.

mod conformance;
mod data;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::bridge::{Bridge, Spacing, Target};
use crate::config::{BridgeConfig, Experiment, Stage};
use crate::data::Broken;
use crate::error::{Error, Result};
use crate::models::sampler::Sampler;
use crate::run::conformance::worker;
use crate::run::inpaint::{self, InpaintArgs};
use crate::run::sample::{self, SampleArgs};
use crate::run::toy_figures::{self, FigureArgs};
use crate::run::train::{self, TrainArgs};
use crate::run::{Device, adapters, presets, schedule, summary};
use conformance::ConformanceFlags;

/// Exit codes, printed below the help.
const EXIT_CODES: &str = "Exit codes: 0 done, 2 wrong usage, 3 wrong configuration, 4 no such adapter, 5 device lost, \
6 out of GPU memory, 7 checkpoint missing or unfit, 8 data missing or damaged, 9 file not readable or writable, \
10 loss not finite, 11 run directory in use, 12 not conformant, 101 a bug, 130 and 143 interrupted after saving.\n\
DBVQ_PROFILE=1 times every kernel and prints a table; DBVQ_ADAPTER stands in for --adapter.";

/// Diffusion bridges vector quantized VAE on any GPU.
#[derive(Debug, Parser)]
#[command(name = "dbvq-wgpu", version, about, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the GPUs, their limits and features.
    Adapters {
        /// For programs.
        #[arg(long)]
        json: bool,
    },
    /// List the presets, or print one.
    Presets {
        /// The preset to print.
        name: Option<String>,
        /// Print layers, shapes, parameters, FLOPs of a step and GPU memory of every stage instead; of a TOML file too.
        #[arg(long, requires = "name")]
        summary: bool,
        /// With --summary: change one value of the configuration; may be repeated.
        #[arg(long = "set", value_name = "KEY.PATH=VALUE", requires = "summary")]
        sets: Vec<String>,
    },
    /// Print the bridge's schedule: levels, coefficients, variances, loss weights, terminal KL.
    Schedule(ScheduleFlags),
    /// Check a data set: counts, checksums, broken files; fetch CIFAR-10; draw a contact sheet.
    Data(data::DataFlags),
    /// Train a preset or a configuration file.
    Train(TrainFlags),
    /// Sample from a trained run.
    Sample(SampleFlags),
    /// Sample the rest of sequences of which some codes are known.
    Inpaint(InpaintFlags),
    /// Draw the paper's figures of the toy from a trained run.
    Figures(FigureFlags),
    /// Compare every kernel with its definition in f64, with derived error bounds, and probe the driver.
    Conformance(ConformanceFlags),
    /// The child of `conformance` that runs cases and may die of them.
    #[command(hide = true)]
    ConformanceWorker {
        /// Index of the adapter.
        adapter: String,
    },
}

#[derive(Args, Debug)]
struct DeviceFlags {
    /// The GPU: index, part of its name, or backend (see `adapters`).
    #[arg(long, env = "DBVQ_ADAPTER")]
    adapter: Option<String>,
    /// Most GPU memory to use, MiB.
    #[arg(long, value_name = "MIB")]
    gpu_memory: Option<u64>,
}

impl From<DeviceFlags> for Device {
    fn from(flags: DeviceFlags) -> Device {
        Device { adapter: flags.adapter, memory_mib: flags.gpu_memory }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Schedule {
    Constant,
    Linear,
    Cosine,
}

#[derive(Args, Debug)]
struct ScheduleFlags {
    /// A preset or configuration file; flags below change its numbers. Without: theta 1, eta sqrt 2, T 1000, linear.
    preset: Option<String>,
    /// Rate of return ϑ.
    #[arg(long)]
    theta: Option<f64>,
    /// Noise η.
    #[arg(long)]
    eta: Option<f64>,
    /// Target z*, a number or several separated by commas.
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true)]
    target: Option<Vec<f64>>,
    /// Steps T.
    #[arg(long)]
    steps: Option<usize>,
    /// How the noise is spread over the steps.
    #[arg(long)]
    schedule: Option<Schedule>,
    /// Σδ of the constant schedule.
    #[arg(long, value_name = "S")]
    total_time: Option<f64>,
    /// β_1 of the linear schedule.
    #[arg(long)]
    beta_start: Option<f64>,
    /// β_T of the linear schedule.
    #[arg(long)]
    beta_end: Option<f64>,
    /// Print a schedule whose end is far from the prior all the same.
    #[arg(long)]
    allow_bad_terminal: bool,
    /// For programs: every step, all digits.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct TrainFlags {
    /// A preset (see `presets`) or a TOML file.
    preset: String,
    /// Run directory: config.toml, checkpoint.safetensors, metrics.jsonl.
    #[arg(long)]
    out: PathBuf,
    /// Image presets: what to train.
    #[arg(long, value_enum)]
    stage: Option<StageName>,
    /// Image presets: the folder of the data set.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Image presets: leave broken images out instead of stopping at the first.
    #[arg(long)]
    skip_broken: bool,
    /// Image presets: squash every image of a folder to the preset's size.
    #[arg(long)]
    resize: bool,
    /// Image presets: the run of the stage vqvae, on which prior and pixelcnn build.
    #[arg(long, value_name = "RUN")]
    from: Option<PathBuf>,
    /// Training steps, short for --set train.steps=N (stages.STAGE.steps of an image preset).
    #[arg(long)]
    steps: Option<u64>,
    /// Seed, short for --set seed=N.
    #[arg(long)]
    seed: Option<u64>,
    /// Change one value of the configuration; may be repeated.
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    sets: Vec<String>,
    /// Go on from the run directory's checkpoint, to the same bits as without the interruption.
    #[arg(long)]
    resume: bool,
    /// Train on a schedule whose end is far from the prior all the same.
    #[arg(long)]
    allow_bad_terminal: bool,
    #[command(flatten)]
    device: DeviceFlags,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StageName {
    /// Encoder, codebook, decoder.
    Vqvae,
    /// The diffusion prior on frozen latents.
    Prior,
    /// The PixelCNN on frozen codes.
    Pixelcnn,
}

impl From<StageName> for Stage {
    fn from(name: StageName) -> Stage {
        match name {
            StageName::Vqvae => Stage::VqVae,
            StageName::Prior => Stage::Prior,
            StageName::Pixelcnn => Stage::PixelCnn,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SamplerName {
    /// Algorithm 2 with its errata mended.
    Ancestral,
    /// DDIM, deterministic unless --kappa.
    Ddim,
    /// DPM-Solver++(2M).
    Dpmpp2m,
    /// Algorithm 2 as printed: collapses, for looking at.
    PaperLiteral,
}

#[derive(Args, Debug)]
struct SampleFlags {
    /// A run directory.
    run: PathBuf,
    /// Sequences.
    #[arg(long, default_value_t = 1024)]
    count: usize,
    /// The sampler.
    #[arg(long, value_enum, default_value_t = SamplerName::Ancestral)]
    sampler: SamplerName,
    /// DDIM's share of the bridge's noise, 0..1.
    #[arg(long, default_value_t = 0.0)]
    kappa: f64,
    /// Steps; all T by default.
    #[arg(long)]
    sampling_steps: Option<usize>,
    /// Seed of the noise.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Directory for samples.safetensors, samples.png, summary.json.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    device: DeviceFlags,
}

#[derive(Args, Debug)]
struct InpaintFlags {
    /// A run directory.
    run: PathBuf,
    /// What is known, as POSITION=CODE,POSITION=CODE.
    #[arg(long)]
    known: String,
    /// Passes over each level: 1 is plain replacement, 10 lets both parts agree.
    #[arg(long, default_value_t = 10)]
    resample: usize,
    /// Sequences.
    #[arg(long, default_value_t = 1024)]
    count: usize,
    /// Seed of the noise.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Directory for samples.safetensors, inpainting.png, summary.json.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    device: DeviceFlags,
}

#[derive(Args, Debug)]
struct FigureFlags {
    /// A run directory.
    run: PathBuf,
    /// Directory for the pictures.
    #[arg(long)]
    out: PathBuf,
    /// Seed of what is drawn.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    device: DeviceFlags,
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// The command's own.
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::Adapters { json } => adapters::run(json),
            Command::Presets { name: Some(name), summary: true, sets } => summary::run(&name, &sets),
            Command::Presets { name, .. } => presets::run(name.as_deref()),
            Command::Schedule(flags) => flags.run(),
            Command::Data(flags) => flags.run(),
            Command::Train(flags) => train::run(&flags.into()),
            Command::Sample(flags) => sample::run(&flags.check()?),
            Command::Inpaint(flags) => inpaint::run(&flags.check()?),
            Command::Figures(FigureFlags { run, out, seed, device }) => {
                toy_figures::run(&FigureArgs { run, out, seed, device: device.into() })
            }
            Command::Conformance(flags) => flags.run(),
            Command::ConformanceWorker { adapter } => worker::run(&adapter),
        }
    }
}

impl From<TrainFlags> for TrainArgs {
    fn from(flags: TrainFlags) -> TrainArgs {
        let TrainFlags { preset, out, steps, seed, mut sets, resume, allow_bad_terminal, .. } = flags;
        let TrainFlags { stage, data, skip_broken, resize, from, device, .. } = flags;
        let broken = if skip_broken { Broken::Skip } else { Broken::Error };
        let (stage, device) = (stage.map(Stage::from), device.into());
        let section = stage.map_or_else(|| "train".to_string(), |s| format!("stages.{}", s.name()));
        sets.extend(steps.map(|n| format!("{section}.steps={n}")));
        sets.extend(seed.map(|n| format!("seed={n}")));
        TrainArgs { preset, out, sets, stage, data, broken, resize, from, resume, allow_bad_terminal, device }
    }
}

fn at_least_one(flag: &str, value: usize) -> Result<usize> {
    if value == 0 { Err(Error::Usage(format!("{flag} must be at least 1"))) } else { Ok(value) }
}

impl SampleFlags {
    fn check(self) -> Result<SampleArgs> {
        if !(0.0..=1.0).contains(&self.kappa) {
            return Err(Error::Usage(format!("--kappa {} must be in 0..1", self.kappa)));
        }
        let sampler = match self.sampler {
            SamplerName::Ancestral => Sampler::Ancestral,
            SamplerName::Ddim => Sampler::Ddim { kappa: self.kappa },
            SamplerName::Dpmpp2m => Sampler::Dpmpp2m,
            SamplerName::PaperLiteral => Sampler::PaperLiteral,
        };
        let SampleFlags { run, count, sampling_steps: steps, seed, out, device, .. } = self;
        Ok(SampleArgs { run, count: at_least_one("--count", count)?, sampler, steps, seed, out, device: device.into() })
    }
}

impl InpaintFlags {
    fn check(self) -> Result<InpaintArgs> {
        let known = inpaint::parse_known(&self.known)?;
        let InpaintFlags { run, resample, count, seed, out, device, .. } = self;
        let (resample, count) = (at_least_one("--resample", resample)?, at_least_one("--count", count)?);
        Ok(InpaintArgs { run, known, resample, count, seed, out, device: device.into() })
    }
}

impl ScheduleFlags {
    fn bridge(&self) -> Result<Bridge> {
        let mut config = match &self.preset {
            Some(name) => Experiment::load(name, &[])?.bridge().clone(),
            None => {
                let spacing = Spacing::Linear { beta_start: 1e-4, beta_end: 0.02 };
                BridgeConfig {
                    steps: 1000,
                    theta: 1.0,
                    eta: std::f64::consts::SQRT_2,
                    spacing,
                    ..BridgeConfig::default()
                }
            }
        };
        config.theta = self.theta.unwrap_or(config.theta);
        config.eta = self.eta.unwrap_or(config.eta);
        config.steps = self.steps.unwrap_or(config.steps);
        if let Some(target) = &self.target {
            config.target =
                if let [one] = target[..] { Target::Scalar(one) } else { Target::PerChannel(target.clone()) };
        }
        config.spacing = self.spacing(config.spacing)?;
        config.build()
    }

    /// The spacing of the preset with the flags' numbers put in; a number of another schedule is an error.
    fn spacing(&self, preset: Spacing) -> Result<Spacing> {
        let mut spacing = match (self.schedule, preset) {
            (None, _)
            | (Some(Schedule::Constant), Spacing::Constant { .. })
            | (Some(Schedule::Linear), Spacing::Linear { .. }) => preset,
            (Some(Schedule::Constant), _) => Spacing::Constant {
                total_time: self
                    .total_time
                    .ok_or_else(|| Error::Usage("--schedule constant needs --total-time".into()))?,
            },
            (Some(Schedule::Linear), _) => Spacing::Linear { beta_start: 1e-4, beta_end: 0.02 },
            (Some(Schedule::Cosine), _) => Spacing::Cosine {},
        };
        let (time, betas) = (self.total_time, (self.beta_start, self.beta_end));
        match &mut spacing {
            Spacing::Constant { total_time } if betas == (None, None) => *total_time = time.unwrap_or(*total_time),
            Spacing::Linear { beta_start, beta_end } if time.is_none() => {
                *beta_start = betas.0.unwrap_or(*beta_start);
                *beta_end = betas.1.unwrap_or(*beta_end);
            }
            Spacing::Cosine {} if time.is_none() && betas == (None, None) => {}
            _ => {
                return Err(Error::Usage(
                    "--total-time goes with --schedule constant, --beta-start and --beta-end with linear".into(),
                ));
            }
        }
        Ok(spacing)
    }

    fn run(&self) -> Result<()> {
        schedule::run(&self.bridge()?, self.allow_bad_terminal, self.json)
    }
}
