//! The command line: every flag with its default and help text, and the command that it configures.

pub mod adapters;
pub mod bench;
mod chain;
mod conformance;
pub mod data;
mod download;
mod evaluate;
mod export;
mod inpaint;
pub mod presets;
#[doc(hidden)]
pub mod readers;
mod reading;
mod reconstruct;
pub mod reproduce;
mod sample;
pub mod schedule;
pub mod summary;
pub mod toy_figures;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Stage;
use crate::conformance::worker;
use crate::error::{Error, Result};
use crate::experiment::device::Device;
use crate::experiment::train;
use crate::experiment::train_args::TrainArgs;
use crate::gpu::{Precision, Prefer};
use crate::philox::Draw;
use bench::{startup, worker as peer};
use conformance::ConformanceFlags;
use reading::ReadingFlags;
use toy_figures::FigureArgs;

/// Exit codes, printed below the help.
const EXIT_CODES: &str = "Exit codes: 0 done, 2 wrong usage, or --out would replace files of others, \
3 wrong configuration, 4 no such adapter, 5 device lost, 6 out of GPU memory, 7 checkpoint missing or unfit, 8 data missing or damaged, 9 file not readable or writable, \
10 loss or samples not finite, 11 run directory in use, 12 not conformant, 101 a bug, 129, 130 and 143 interrupted after saving.\n\
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
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the presets, or print one preset or the full configuration of a TOML file.
    Presets {
        /// The preset or TOML file to print.
        name: Option<String>,
        /// Print the layers, shapes, parameters, FLOPs per step and GPU memory of every stage
        /// instead.
        #[arg(long, requires = "name")]
        summary: bool,
        /// Override one value before printing; may be repeated.
        #[arg(long = "set", value_name = "KEY.PATH=VALUE", requires = "name")]
        sets: Vec<String>,
    },
    /// Print the bridge's schedule: levels, coefficients, variances, loss weights, terminal KL.
    Schedule(schedule::ScheduleFlags),
    /// Check a data set: counts, checksums, broken files; fetch CIFAR-10; draw a contact sheet.
    Data(data::DataFlags),
    /// Train a preset or a configuration file.
    Train(TrainFlags),
    /// Draw samples from a trained run: the toy, a diffusion prior or a PixelCNN.
    Sample(sample::SampleFlags),
    /// Show images above their reconstructions by a run's VQ-VAE.
    Reconstruct(reconstruct::ReconstructFlags),
    /// Fill in what is missing: a hole in images, or the rest of sequences.
    Inpaint(inpaint::InpaintFlags),
    /// Show how a diffusion prior turns noise into images, step by step.
    Chain(chain::ChainFlags),
    /// Reproduce the paper's tables and figures: train what is missing, evaluate, write a report.
    Reproduce(reproduce::ReproduceFlags),
    /// Measure how close the samples of runs are to the data, and how fast sampling is.
    Evaluate(evaluate::EvaluateFlags),
    /// Export a run's weights with PyTorch's names and layouts.
    Export(export::ExportFlags),
    /// Draw the paper's toy figures from a trained run.
    Figures(FigureFlags),
    /// Check every kernel against an f64 reference with derived error bounds, and probe the driver.
    Conformance(ConformanceFlags),
    /// Measure this adapter's peak rates, how close each kernel comes to them, and training steps.
    Bench(bench::BenchFlags),
    /// The child of `bench` whose launch is timed.
    #[command(hide = true)]
    BenchStartup {
        /// Index of the adapter.
        adapter: String,
        /// Folder for compiled kernels.
        cache: PathBuf,
    },
    /// This engine's side of `cargo xtask peers`.
    #[command(hide = true)]
    BenchWorker {
        #[command(flatten)]
        device: DeviceFlags,
    },
    /// The child of `conformance` that runs the cases and may crash on them.
    #[command(hide = true)]
    ConformanceWorker {
        /// Index of the adapter.
        adapter: String,
    },
}

#[derive(Args, Clone, Debug)]
struct DeviceFlags {
    /// The GPU: index, part of its name, or backend (see `adapters`).
    #[arg(long, env = "DBVQ_ADAPTER")]
    adapter: Option<String>,
    /// Maximum GPU memory to use, MiB.
    #[arg(long, value_name = "MIB", allow_negative_numbers = true)]
    gpu_memory: Option<u64>,
    /// Choose matmul and convolution kernels by measuring them on a CPU adapter too; GPUs do so by
    /// default, at the first use of a shape.
    #[arg(long)]
    tune: bool,
    /// Choose kernels by fixed rules instead of measuring.
    #[arg(long, conflicts_with = "tune")]
    no_tune: bool,
    /// Precision of matmuls and convolutions: f16 rounds both inputs, accumulates in f32, and needs
    /// cooperative matrices.
    #[arg(long, value_enum, default_value_t)]
    precision: PrecisionFlag,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum PrecisionFlag {
    #[default]
    F32,
    F16,
}

impl From<DeviceFlags> for Device {
    fn from(flags: DeviceFlags) -> Device {
        let DeviceFlags {
            adapter,
            gpu_memory,
            tune,
            no_tune,
            precision,
        } = flags;
        let prefer = match (tune, no_tune) {
            (true, _) => Prefer::Measured,
            (_, true) => Prefer::Rule,
            _ => Prefer::MeasuredOnGpus,
        };
        let precision = match precision {
            PrecisionFlag::F32 => Precision::F32,
            PrecisionFlag::F16 => Precision::F16,
        };
        Device {
            adapter,
            memory_mib: gpu_memory,
            profile: false,
            prefer,
            precision,
        }
    }
}

#[derive(Args, Debug)]
struct TrainFlags {
    /// A preset (see `presets`) or a TOML file, such as the config.toml of a run.
    preset: String,
    /// Run directory: gets config.toml, checkpoint.safetensors, metrics.jsonl and event files for
    /// TensorBoard; with images or codes also data.txt and codebook.safetensors.
    #[arg(long)]
    out: PathBuf,
    /// What to train: any of these on images, prior or pixelcnn on codes.
    #[arg(long, value_enum)]
    stage: Option<StageName>,
    /// A folder of images, CIFAR-10 or mini-ImageNet; the kind is detected. For codes, a file:
    /// .npz, .safetensors or text.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Image presets: train on images of N×N; every image is squashed to that, or cropped with
    /// --crop.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    size: Option<u32>,
    #[command(flatten)]
    reading: ReadingFlags,
    /// The run to start from: prior and pixelcnn build on its VQ-VAE, joint starts from a VQ-VAE or
    /// a prior, vqvae and the toy from its weights. Sizes and image reading are taken from that
    /// run.
    #[arg(long, value_name = "RUN")]
    from: Option<PathBuf>,
    /// Training steps, short for --set stages.STAGE.steps=N (for the toy, train.steps).
    #[arg(long, allow_negative_numbers = true)]
    steps: Option<u64>,
    /// Seed, short for --set seed=N.
    #[arg(long, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Override one value of the configuration; may be repeated.
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    sets: Vec<String>,
    /// Continue from the run directory's checkpoint, bit-identical to an uninterrupted run. A
    /// larger --steps extends a finished run (the learning rate follows the cosine over all steps).
    #[arg(long)]
    resume: bool,
    /// Train even if the schedule ends far from the prior.
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
    /// VQ-VAE and prior together.
    Joint,
}

impl From<StageName> for Stage {
    fn from(name: StageName) -> Stage {
        match name {
            StageName::Vqvae => Stage::VqVae,
            StageName::Prior => Stage::Prior,
            StageName::Pixelcnn => Stage::PixelCnn,
            StageName::Joint => Stage::Joint,
        }
    }
}

#[derive(Args, Debug)]
struct FigureFlags {
    /// A run directory.
    run: PathBuf,
    /// Directory for the figures.
    #[arg(long)]
    out: PathBuf,
    /// Seed of the samples.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
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
            Command::Presets {
                name: Some(name),
                summary: true,
                sets,
            } => summary::run(&name, &sets),
            Command::Presets { name, sets, .. } => presets::run(name.as_deref(), &sets),
            Command::Schedule(flags) => flags.run(),
            Command::Data(flags) => flags.run(),
            Command::Train(flags) => train::run(&flags.into()),
            Command::Sample(flags) => flags.run(),
            Command::Reconstruct(flags) => flags.run(),
            Command::Inpaint(flags) => flags.run(),
            Command::Chain(flags) => flags.run(),
            Command::Reproduce(flags) => flags.run(),
            Command::Evaluate(flags) => flags.run(),
            Command::Export(flags) => export::run(&flags),
            Command::Figures(FigureFlags {
                run,
                out,
                seed,
                device,
            }) => toy_figures::run(&FigureArgs {
                run,
                out,
                seed,
                device: device.into(),
            }),
            Command::Conformance(flags) => flags.run(),
            Command::Bench(flags) => flags.run(),
            Command::BenchStartup { adapter, cache } => startup::child(&adapter, &cache),
            Command::BenchWorker { device } => peer::run(&device.into()),
            Command::ConformanceWorker { adapter } => worker::run(&adapter),
        }
    }
}

impl From<TrainFlags> for TrainArgs {
    fn from(flags: TrainFlags) -> TrainArgs {
        let TrainFlags {
            preset,
            out,
            steps,
            seed,
            sets,
            resume,
            allow_bad_terminal,
            stage,
            data,
            size,
            reading,
            from,
            device,
        } = flags;
        TrainArgs {
            preset,
            out,
            steps,
            seed,
            sets,
            resume,
            allow_bad_terminal,
            stage: stage.map(Stage::from),
            data,
            reading: reading.into(),
            size,
            from,
            advise: true,
            device: device.into(),
        }
    }
}

/// Maximum number of samples per command.
const MOST: usize = 10_000_000;

/// Checks `--count` of samples or fillings.
fn count_of(value: Option<usize>) -> Result<Option<usize>> {
    if let Some(count) = value.filter(|&count| count > MOST) {
        return Err(Error::Usage(format!(
            "--count {count}: at most {MOST} at once; for more, run again with another --seed"
        )));
    }
    at_least_one("--count", value)
}

/// Checks a number of passes over each level; every pass has its own noise stream.
fn passes(flag: &str, value: Option<usize>) -> Result<Option<usize>> {
    if value.is_some_and(|passes| passes > Draw::PARTS as usize) {
        return Err(Error::Usage(format!(
            "{flag} must be at most {}",
            Draw::PARTS
        )));
    }
    at_least_one(flag, value)
}

fn at_least_one(flag: &str, value: Option<usize>) -> Result<Option<usize>> {
    if value == Some(0) {
        Err(Error::Usage(format!("{flag} must be at least 1")))
    } else {
        Ok(value)
    }
}
