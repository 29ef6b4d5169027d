//! The command line: its commands, and the checks that several of them share.

pub mod adapters;
pub mod bench;
mod chain;
mod conformance;
pub mod data;
mod device;
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
mod train;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::conformance::worker;
use crate::error::{Error, Result};
use crate::philox::Draw;
use bench::{startup, worker as peer};
use conformance::ConformanceFlags;
use device::DeviceFlags;

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
    Train(train::TrainFlags),
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
    Figures(toy_figures::FigureFlags),
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
            Command::Train(flags) => flags.run(),
            Command::Sample(flags) => flags.run(),
            Command::Reconstruct(flags) => flags.run(),
            Command::Inpaint(flags) => flags.run(),
            Command::Chain(flags) => flags.run(),
            Command::Reproduce(flags) => flags.run(),
            Command::Evaluate(flags) => flags.run(),
            Command::Export(flags) => export::run(&flags),
            Command::Figures(flags) => flags.run(),
            Command::Conformance(flags) => flags.run(),
            Command::Bench(flags) => flags.run(),
            Command::BenchStartup { adapter, cache } => startup::child(&adapter, &cache),
            Command::BenchWorker { device } => peer::run(&device.into()),
            Command::ConformanceWorker { adapter } => worker::run(&adapter),
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
