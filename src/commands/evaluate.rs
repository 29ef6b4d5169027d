//! Flags of `evaluate`.

use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use super::DeviceFlags;
use super::reading::ReadingFlags;
use super::sample::{SamplerName, sharpen_of};
use crate::error::{Error, Result};
use crate::evaluate::{self, EvaluateArgs, Metric, NllSettings};

impl ValueEnum for Metric {
    fn value_variants<'a>() -> &'a [Metric] {
        Metric::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()).help(self.about()))
    }
}

#[derive(Args, Debug)]
pub(super) struct EvaluateFlags {
    /// Run directories, of runs on images or on codes.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// The data set: a folder of images, or a file of codes.
    #[arg(long, value_name = "DATA")]
    data: PathBuf,
    #[command(flatten)]
    reading: ReadingFlags,
    /// The metrics to compute; all by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    metrics: Vec<Metric>,
    /// Samples of each run, and held-out images to encode (M of section 4.3): 1000 by default, or
    /// all held-out images if there are fewer.
    #[arg(long, value_name = "M", allow_negative_numbers = true)]
    count: Option<usize>,
    /// Diffusion priors: the sampler; dpmpp2m by default.
    #[arg(long, value_enum)]
    sampler: Option<SamplerName>,
    /// Diffusion priors: sampling steps; by default 20 for dpmpp2m, all T for the others.
    #[arg(long, allow_negative_numbers = true)]
    sampling_steps: Option<usize>,
    /// Diffusion priors that predict codes: factor on the network's logits in sampling; by default
    /// the run's `prior.sharpen`.
    #[arg(long, value_name = "G", allow_negative_numbers = true)]
    sharpen: Option<f64>,
    /// nll: number of held-out images.
    #[arg(long, default_value_t = NllSettings::default().images, value_name = "N", allow_negative_numbers = true)]
    nll_images: usize,
    /// nll: number of other held-out images, on which the temperature is fitted.
    #[arg(long, default_value_t = NllSettings::default().fit, value_name = "N", allow_negative_numbers = true)]
    nll_fit: usize,
    /// nll: number of fillings per hole.
    #[arg(long, default_value_t = NllSettings::default().samples, value_name = "S", allow_negative_numbers = true)]
    nll_samples: usize,
    /// nll: ancestral steps per filling by a diffusion prior.
    #[arg(long, default_value_t = NllSettings::default().steps, value_name = "N", allow_negative_numbers = true)]
    nll_steps: usize,
    /// nll: passes over each level.
    #[arg(long, default_value_t = NllSettings::default().resample, value_name = "U", allow_negative_numbers = true)]
    nll_resample: usize,
    /// fid: weights of Inception-v3, made by tools/inception_weights.py.
    #[arg(long, value_name = "FILE")]
    inception: Option<PathBuf>,
    /// fid: statistics in pytorch-fid's format (.npz with mu and sigma) to compare samples with in
    /// addition.
    #[arg(long, value_name = "FILE", requires = "inception")]
    reference: Option<PathBuf>,
    /// fid: write the statistics of the held-out images to this .npz file, for --reference or
    /// pytorch-fid.
    #[arg(long, value_name = "FILE", requires = "inception")]
    save_stats: Option<PathBuf>,
    /// time: approximate seconds per sampler; longer ones are extrapolated from fewer steps.
    #[arg(
        long,
        default_value_t = 8.0,
        value_name = "SECONDS",
        allow_negative_numbers = true
    )]
    time_budget: f64,
    /// Seed of the samples.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    seed: u64,
    /// Print evaluation.json instead of tables.
    #[arg(long)]
    json: bool,
    /// Directory for evaluation.json, kl.png and samples/, from which an interrupted evaluation
    /// continues.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    device: DeviceFlags,
}

impl EvaluateFlags {
    pub(super) fn run(self) -> Result<()> {
        let json = self.json;
        evaluate::run(&self.check()?, json)
    }

    fn check(self) -> Result<EvaluateArgs> {
        let numbers = [
            ("--nll-images", self.nll_images),
            ("--nll-fit", self.nll_fit),
            ("--nll-samples", self.nll_samples),
            ("--nll-steps", self.nll_steps),
        ];
        crate::commands::passes("--nll-resample", Some(self.nll_resample))?;
        let count = crate::commands::count_of(self.count)?;
        for (flag, value) in numbers {
            crate::commands::at_least_one(flag, Some(value))?;
        }
        if !(self.time_budget > 0.0 && self.time_budget.is_finite()) {
            return Err(Error::Usage(format!(
                "--time-budget {} must be a finite number above 0",
                self.time_budget
            )));
        }
        let metrics = if self.metrics.is_empty() {
            Metric::ALL.into()
        } else {
            self.metrics
        };
        if let Some(flag) = [
            ("--reference", &self.reference),
            ("--save-stats", &self.save_stats),
        ]
        .into_iter()
        .find_map(|(flag, file)| file.as_ref().map(|_| flag))
        .filter(|_| !metrics.contains(&Metric::Fid))
        {
            return Err(Error::Usage(format!(
                "{flag} needs the metric fid; add fid to --metrics"
            )));
        }
        Ok(EvaluateArgs {
            runs: self.runs,
            data: self.data,
            reading: self.reading.into(),
            metrics,
            count,
            sampler: self.sampler.map(|name| name.sampler(0.0)),
            steps: self.sampling_steps,
            sharpen: sharpen_of(self.sharpen)?,
            nll: NllSettings {
                images: self.nll_images,
                fit: self.nll_fit,
                samples: self.nll_samples,
                steps: self.nll_steps,
                resample: self.nll_resample,
            },
            inception: self.inception,
            reference: self.reference,
            save_stats: self.save_stats,
            time_budget: self.time_budget,
            seed: self.seed,
            out: self.out,
            device: self.device.into(),
        })
    }
}
