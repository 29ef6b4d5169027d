//! `dbvq-wgpu reproduce`: the paper's tables and figures from scratch, in a directory from which an
//! interrupted reproduction can be resumed.

mod flags;
mod paper;

mod at_quality;
mod compared;
mod curves;
mod evaluated;
mod image_figures;
mod images;
mod images_report;
mod lines;
mod measure;
mod model;
mod pipeline;
mod plan;
mod published;
mod report;
mod reproduction;
mod toy;
mod toy_findings;
mod toy_report;
mod training;
mod verdicts;
mod wording;

pub(super) use pipeline::is_kept;

pub(crate) use flags::ReproduceFlags;

use std::path::PathBuf;

use crate::config::Stage;
use crate::error::{Error, Result};
use crate::experiment::dataset::ReadingFlags;
use crate::experiment::device::Device;
use crate::experiment::train_args::TrainArgs;

/// An experiment of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Section 4.1.
    Toy,
    /// Section 4.2, CIFAR-10.
    Cifar10,
    /// Section 4.2, mini-ImageNet.
    MiniImageNet,
}

/// Arguments of `reproduce`.
#[derive(Clone, Debug)]
pub struct ReproduceArgs {
    /// Which experiment.
    pub which: Which,
    /// Use a size for machines without a GPU.
    pub small: bool,
    /// Folder of the images.
    pub data: Option<PathBuf>,
    /// How they are read.
    pub reading: ReadingFlags,
    /// Number of seeds to train the toy, or each image prior, with; `None`: the default.
    pub seeds: Option<u64>,
    /// Training cost of each image prior in units of 1e12 floating-point operations; `None`: that
    /// of the presets' steps.
    pub budget: Option<f64>,
    /// Samples of each image prior; `None`: the default.
    pub samples: Option<usize>,
    /// Samples per point of the quality-against-steps curve; `None`: the default.
    pub steps_samples: Option<usize>,
    /// Images for the likelihoods, and fillings of each; `None`: the default.
    pub nll: [Option<usize>; 2],
    /// Weights of Inception-v3.
    pub inception: Option<PathBuf>,
    /// Approximate seconds spent on timing one sampler; `None`: the default.
    pub time_budget: Option<f64>,
    /// `key.path=value` settings that override the presets.
    pub sets: Vec<String>,
    /// Directory for runs, report and figures.
    pub out: PathBuf,
    /// The adapter.
    pub device: Device,
}

/// Reproduces an experiment.
///
/// # Errors
/// Any error of training, evaluating or writing files; see [`Error`].
pub fn run(args: &ReproduceArgs) -> Result<()> {
    args.check()?;
    match (args.which, &args.data) {
        (Which::Toy, None) => toy::run(args),
        (Which::Toy, Some(_)) => Err(Error::Usage(
            "the toy makes its own data; omit --data".into(),
        )),
        (_, Some(data)) => images::run(args, data),
        (_, None) => Err(Error::Usage(
            "name the folder of the images with --data".into(),
        )),
    }
}

/// Maximum number of seeds.
const MOST_SEEDS: u64 = 1000;

impl ReproduceArgs {
    /// Rejects arguments that are invalid in any case.
    fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::Usage(what));
        if let Some(budget) = self.budget {
            if self.which == Which::Toy {
                return wrong(
                    "--budget is for the priors of images, not for the toy; omit it".into(),
                );
            }
            if !(budget > 0.0 && budget.is_finite()) {
                return wrong(format!(
                    "--budget {budget} must be a finite number of TFLOP above 0"
                ));
            }
        }
        match self.seeds() {
            0 => wrong("--seeds must be at least 1".into()),
            seeds if seeds > MOST_SEEDS => wrong(format!("--seeds {seeds} is over {MOST_SEEDS}")),
            _ => Ok(()),
        }
    }

    /// Number of seeds.
    fn seeds(&self) -> u64 {
        let suits = match self.which {
            Which::Toy => 3,
            _ if self.small => 2,
            _ => 1,
        };
        self.seeds.unwrap_or(suits)
    }

    /// The preset.
    fn preset(&self) -> &'static str {
        match (self.which, self.small) {
            (Which::Toy, false) => "toy",
            (Which::Toy, true) => "toy-quick",
            (Which::Cifar10, false) => "cifar10",
            (Which::Cifar10, true) => "cifar10-small",
            (Which::MiniImageNet, false) => "mini-imagenet",
            (Which::MiniImageNet, true) => "mini-imagenet-small",
        }
    }

    /// `amounts` with the user's settings applied.
    pub(crate) fn amounts(&self, amounts: reproduction::Amounts) -> reproduction::Amounts {
        let samples = self.samples.unwrap_or(amounts.samples);
        let steps = self.steps_samples.unwrap_or(amounts.steps);
        let end_to_end = self.samples.unwrap_or(amounts.end_to_end);
        let [images, fillings] = self.nll;
        let mut nll = amounts.nll;
        (nll.images, nll.samples) = (
            images.unwrap_or(nll.images),
            fillings.unwrap_or(nll.samples),
        );
        reproduction::Amounts {
            samples,
            end_to_end,
            steps,
            nll,
            time: self.time_budget.unwrap_or(amounts.time),
        }
    }

    /// Arguments for training a preset with `sets` applied.
    fn training(
        &self,
        preset: &str,
        sets: Vec<String>,
        stage: Option<Stage>,
        from: Option<PathBuf>,
    ) -> TrainArgs {
        TrainArgs {
            preset: preset.into(),
            out: PathBuf::new(),
            steps: None,
            seed: None,
            sets,
            resume: false,
            allow_bad_terminal: false,
            stage,
            data: self.data.clone(),
            reading: self.reading,
            size: None,
            from,
            advise: false,
            device: self.device.clone(),
        }
    }
}
