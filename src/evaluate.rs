//! `dbvq-wgpu evaluate`: how close the samples of runs are to the data; `docs/metrics.md` defines
//! every metric.

pub mod features;

mod codes;
mod draws;
mod fid;
mod kl;
mod likelihood;
mod measure;
mod metrics;
mod missing;
mod nll;
mod obstacles;
mod reconstruction;
mod tables;
mod time;

pub use codes::CodesRow;
pub(crate) use draws::parse as parse_draws;
pub use fid::FidRow;
pub use kl::KlRow;
pub use likelihood::LikelihoodRow;
pub use metrics::{Metric, Results};
pub use missing::Missing;
pub(crate) use missing::sentences;
pub(crate) use nll::holes;
pub use nll::{Law, NllRow, NllSettings};
pub use reconstruction::ReconstructionRow;
pub use time::TimeRow;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use self::draws::DataCodes;
use self::features::Features;
use self::fid::Distances;
use self::measure::{Given, Run};
use crate::config::Stage;
use crate::error::{Error, Result};
use crate::experiment::dataset::{Pictures, ReadingFlags, keep_out_of_images};
use crate::experiment::device::Device;
use crate::experiment::trained::{Prior, Trained};
use crate::models::sampler::Sampler;
use crate::report::console::print_document;
use crate::report::product::{self, Folder, Form};

/// Files written besides the samples.
const FILES: [(&str, Form); 2] = [("evaluation.json", Form::Json), ("kl.png", Form::Picture)];

/// Default number of samples and of held-out images to encode; fewer if there are fewer images.
const COUNT: usize = 1000;

/// Arguments of `evaluate`.
#[derive(Clone, Debug)]
pub struct EvaluateArgs {
    /// Run directories.
    pub runs: Vec<PathBuf>,
    /// Folder of the data set.
    pub data: PathBuf,
    /// How images are read.
    pub reading: ReadingFlags,
    /// Metrics to measure.
    pub metrics: Vec<Metric>,
    /// Samples of each run, and held-out images to encode; `None`: 1000, or all of them if there
    /// are fewer.
    pub count: Option<usize>,
    /// Sampler of diffusion priors; `None`: the default of `sample`.
    pub sampler: Option<Sampler>,
    /// Steps of the sampler; `None`: the default of `sample`.
    pub steps: Option<usize>,
    /// Factor on the logits of priors that predict codes; `None`: that of their configurations.
    pub sharpen: Option<f64>,
    /// How likelihoods are estimated.
    pub nll: NllSettings,
    /// Weights of Inception-v3.
    pub inception: Option<PathBuf>,
    /// File of feature statistics to compare samples with, in addition to the data's.
    pub reference: Option<PathBuf>,
    /// Output file for the feature statistics of the held-out images.
    pub save_stats: Option<PathBuf>,
    /// Approximate wall seconds spent on timing one sampler.
    pub time_budget: f64,
    /// Seed of the samples.
    pub seed: u64,
    /// Output directory; samples are kept there, so that an interrupted evaluation can continue.
    pub out: PathBuf,
    /// The adapter.
    pub device: Device,
}

/// A run that was evaluated.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunFacts {
    /// Its directory.
    pub path: String,
    /// Its stage.
    pub stage: Stage,
    /// Training steps taken.
    pub step: u64,
    /// Whether its VQ-VAE gives the images the same codes as the first run's; only then are codes
    /// comparable.
    pub first_runs_codes: bool,
}

/// All results; `evaluation.json`. What could not be measured for a run is listed in [`Missing`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Evaluation {
    /// Adapter and driver.
    pub adapter: String,
    /// Folder of the data set.
    pub data: String,
    /// Seed of the samples.
    pub seed: u64,
    /// Source of the second draw of the data, which the floors are computed from.
    pub second_draw: String,
    /// The runs, in the order of the command line.
    pub runs: Vec<RunFacts>,
    /// The results of each metric.
    #[serde(flatten)]
    pub results: Results,
    /// What could not be measured, and why.
    #[serde(default)]
    pub missing: Vec<Missing>,
}

/// Evaluates, prints tables, and writes `evaluation.json` and `kl.png`; with `json` the results go
/// to standard output too.
///
/// # Errors
/// Those of [`evaluate`], and [`Error::Io`] for the files.
pub fn run(args: &EvaluateArgs, json: bool) -> Result<()> {
    args.runs
        .iter()
        .try_for_each(|run| keep_out_of_images(&args.out, run))?;
    let _folder = Folder::open(&args.out, &FILES, None)?;
    let evaluation = evaluate(args)?;
    let text = serde_json::to_string_pretty(&evaluation).expect("plain data") + "\n";
    product::write(
        &args.out.join("evaluation.json"),
        Form::Json,
        text.as_bytes(),
    )?;
    let maps = evaluation.results.kl.as_deref().unwrap_or_default();
    let drawn = !maps.is_empty();
    if drawn {
        kl::draw(maps, &args.out.join("kl.png"), args.seed)?;
    }
    print_document(&if json {
        text
    } else {
        tables::text(&evaluation, metrics::sections(&evaluation))
    })?;
    note!(
        "wrote evaluation.json{} to {}",
        if drawn { ", kl.png" } else { "" },
        args.out.display()
    );
    Ok(())
}

/// Evaluates. Samples are kept in `args.out`.
///
/// # Errors
/// [`Error::Checkpoint`] for runs that cannot be loaded, [`Error::Usage`] for runs that cannot do
/// what is asked, [`Error::Data`] for the images, [`Error::Io`] for the samples.
pub fn evaluate(args: &EvaluateArgs) -> Result<Evaluation> {
    let runs = opened(args)?;
    let first = &runs[0];
    let distances = if args.metrics.contains(&Metric::Fid) {
        Distances::open(&first.gpu, args)?
    } else {
        None
    };
    let pictures = first.examples(&args.data, &args.reading)?;
    let count = count(args, pictures.held_out.len())?;
    let given = Given {
        args,
        count,
        held_out: pictures.held_out.len(),
    };
    let missing = obstacles::of(&runs, &given);
    missing::sentences(missing.iter())
        .iter()
        .for_each(|sentence| note!("{sentence}"));
    std::fs::create_dir_all(&args.out).map_err(Error::io(&args.out))?;
    let mut codes: Vec<DataCodes> = Vec::new();
    for trained in &runs {
        codes.push(DataCodes::new(trained, &pictures, count)?);
    }
    let mut evaluation = Evaluation::new(args, &runs, &codes);
    evaluation.missing = missing;
    // A covariance needs two images.
    let distances = distances.filter(|_| count > 1 && first.config.is_of_images());
    let material = Material {
        args,
        pictures: &pictures,
        count,
        distances: with_features(distances, args, &pictures, count)?,
    };
    for (i, (trained, data)) in runs.iter().zip(&codes).enumerate() {
        let repeats = codes[..i].iter().any(|before| before.first == data.first);
        let run = Run::new(trained, data, repeats, &material);
        let Evaluation {
            results, missing, ..
        } = &mut evaluation;
        results.measure(&run, missing)?;
    }
    Ok(evaluation)
}

/// `distances` with the features of the first `count` held-out images.
fn with_features(
    distances: Option<Distances>,
    args: &EvaluateArgs,
    pictures: &Pictures,
    count: usize,
) -> Result<Option<(Distances, Features)>> {
    let Some(distances) = distances else {
        return Ok(None);
    };
    let save = args.save_stats.as_deref();
    let of_data = distances.pictures(&pictures.held_out, count, save)?;
    Ok(Some((distances, of_data)))
}

/// Loads the runs; checks that they can be compared and support the requested sampler.
fn opened(args: &EvaluateArgs) -> Result<Vec<Trained>> {
    let mut runs = Vec::new();
    for run in &args.runs {
        runs.push(Trained::load_grid(run, &args.device)?);
    }
    let Some(first) = runs.first() else {
        return Err(Error::Usage("name a run to evaluate".into()));
    };
    let data = |trained: &Trained| {
        let config = &trained.config;
        (config.codebook.clone(), config.picture(), config.classes)
    };
    if let Some(other) = runs.iter().find(|other| data(other) != data(first)) {
        return Err(other.unfit(&format!(
            "its data and classes differ from those of {}",
            first.run.display()
        )));
    }
    for trained in &runs {
        if let Prior::Diffusion(model) = &trained.prior {
            trained.sampler(model, args.sampler, args.steps)?;
        }
    }
    Ok(runs)
}

/// Shared inputs of the measurements of all runs.
struct Material<'a> {
    args: &'a EvaluateArgs,
    pictures: &'a Pictures,
    count: usize,
    /// With the features of the held-out images.
    distances: Option<(Distances, Features)>,
}

impl Evaluation {
    /// An evaluation of `runs` with nothing measured yet.
    fn new(args: &EvaluateArgs, runs: &[Trained], codes: &[DataCodes]) -> Evaluation {
        let facts = |(trained, data): (&Trained, &DataCodes)| RunFacts {
            path: trained.run.display().to_string(),
            stage: trained.stage,
            step: trained.step,
            first_runs_codes: data.first == codes[0].first,
        };
        Evaluation {
            adapter: runs[0].gpu.facts().name.clone(),
            data: args.data.display().to_string(),
            seed: args.seed,
            second_draw: codes[0].second_name.to_string(),
            runs: runs.iter().zip(codes).map(facts).collect(),
            results: Results::new(&args.metrics),
            missing: Vec::new(),
        }
    }
}

/// Number of samples and images that `args` ask for, given `held_out` images.
fn count(args: &EvaluateArgs, held_out: usize) -> Result<usize> {
    let count = wanted(args, held_out)?;
    if args.save_stats.is_some() && count < 2 {
        return Err(Error::Usage(
            "--save-stats: one image has no covariance; at least two held-out images are needed"
                .into(),
        ));
    }
    Ok(count)
}

fn wanted(args: &EvaluateArgs, held_out: usize) -> Result<usize> {
    match args.count {
        Some(count) if count > held_out => Err(Error::Usage(format!(
            "--count {count}: {} has only {held_out} held-out images",
            args.data.display()
        ))),
        Some(count) => Ok(count),
        None if held_out < COUNT => {
            note!("--count {held_out}: all held-out images, fewer than {COUNT}");
            Ok(held_out)
        }
        None => Ok(COUNT),
    }
}
