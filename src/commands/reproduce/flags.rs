//! Flags of `reproduce`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{ReproduceArgs, Which};
use crate::commands::reading::ReadingFlags;
use crate::commands::{DeviceFlags, at_least_one, reproduce};
use crate::error::{Error, Result};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum WhichName {
    /// Section 4.1 and appendix E: the toy on eight codes.
    Toy,
    /// Section 4.2 on CIFAR-10.
    Cifar10,
    /// Section 4.2 on mini-ImageNet.
    MiniImagenet,
}

#[derive(Args, Debug)]
pub(crate) struct ReproduceFlags {
    /// Which experiment.
    #[arg(value_enum)]
    which: WhichName,
    /// Use the smaller preset, for machines without a GPU, and fewer samples.
    #[arg(long)]
    small: bool,
    /// Images: the folder of the data set.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    reading: ReadingFlags,
    /// Directory for report.md, report.json, figures, and the run directories in runs/; existing
    /// results are reused, interrupted ones resumed.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of seeds. Toy: trainings with seeds 0, 1, …, 3 by default. Images: trainings of each
    /// prior on the same VQ-VAE, 1 by default, 2 with --small.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seeds: Option<u64>,
    /// Images: train each prior for this many TFLOP (10¹² operations) instead of the steps of its
    /// preset; the resulting steps are printed at the start.
    #[arg(long, value_name = "TFLOP", allow_negative_numbers = true)]
    budget: Option<f64>,
    /// Images: samples of each prior and encodings for the averaged KL; 1000 by default (256 for
    /// the end-to-end model with --small).
    #[arg(long, value_name = "M", allow_negative_numbers = true)]
    samples: Option<usize>,
    /// Images: samples of each sampler for quality against steps, including ancestral sampling at
    /// all T steps; 512 by default, 64 with --small.
    #[arg(long, value_name = "M", allow_negative_numbers = true)]
    steps_samples: Option<usize>,
    /// Images: held-out images for the likelihoods; 64 by default.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    nll_images: Option<usize>,
    /// Images: fillings of each hole; 32 by default, 8 with --small.
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    nll_samples: Option<usize>,
    /// Images: weights of Inception-v3 for FID and KID, made by tools/inception_weights.py.
    #[arg(long, value_name = "FILE")]
    inception: Option<PathBuf>,
    /// Images: approximate seconds spent on timing each sampler; 20 by default, 8 with --small.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    time_budget: Option<f64>,
    /// Override one configuration value of every training; may be repeated.
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    sets: Vec<String>,
    #[command(flatten)]
    device: DeviceFlags,
}

impl ReproduceFlags {
    pub(crate) fn run(self) -> Result<()> {
        let which = match self.which {
            WhichName::Toy => Which::Toy,
            WhichName::Cifar10 => Which::Cifar10,
            WhichName::MiniImagenet => Which::MiniImageNet,
        };
        let samples = at_least_one("--samples", self.samples)?;
        let steps_samples = at_least_one("--steps-samples", self.steps_samples)?;
        let nll = [
            at_least_one("--nll-images", self.nll_images)?,
            at_least_one("--nll-samples", self.nll_samples)?,
        ];
        if let Some(seconds) = self.time_budget.filter(|s| !(*s > 0.0 && s.is_finite())) {
            return Err(Error::Usage(format!(
                "--time-budget {seconds} must be a finite number above 0"
            )));
        }
        let ReproduceFlags {
            small,
            data,
            reading,
            seeds,
            budget,
            inception,
            time_budget,
            sets,
            out,
            device,
            ..
        } = self;
        let device = device.into();
        reproduce::run(&ReproduceArgs {
            which,
            small,
            data,
            reading: reading.into(),
            seeds,
            budget,
            samples,
            steps_samples,
            nll,
            inception,
            time_budget,
            sets,
            out,
            device,
        })
    }
}
