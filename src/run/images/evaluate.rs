//! `dbvq-wgpu evaluate`: how near to the data the samples of image runs are; `docs/metrics.md` defines every figure.

mod codes;
mod draws;
mod fid;
mod kl;
mod nll;
mod reconstruction;
mod tables;
mod time;

pub use codes::CodesRow;
pub(in crate::run) use draws::parse as parse_draws;
pub use fid::FidRow;
pub use kl::KlRow;
pub(in crate::run) use nll::holes;
pub use nll::{Law, NllRow, NllSettings};
pub use reconstruction::ReconstructionRow;
pub use time::TimeRow;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use self::draws::{DataCodes, Draws};
use super::dataset::{Pictures, ReadingFlags, keep_out_of_images};
use super::trained::{Prior, Trained};
use crate::config::Stage;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::models::sampler::Sampler;
use crate::run::fid::{FeatureNetwork, NO_WEIGHTS, cache_folder};
use crate::run::product::{self, Folder, Form};
use crate::run::{Device, print_document};

/// What is written, beside samples.
const FILES: [(&str, Form); 2] = [("evaluation.json", Form::Json), ("kl.png", Form::Picture)];

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// MSE, PSNR and SSIM of the VQ-VAE on held-out pictures.
    Reconstruction,
    /// Distances between laws of codes and of pairs of neighbours.
    Codes,
    /// KL of code histograms position by position.
    Kl,
    /// Negative log-likelihood of a masked patch.
    Nll,
    /// FID and KID, where there are weights.
    Fid,
    /// Seconds a sample.
    Time,
}

impl Metric {
    /// All of them, cheap ones first.
    pub const ALL: [Metric; 6] =
        [Metric::Reconstruction, Metric::Codes, Metric::Kl, Metric::Nll, Metric::Fid, Metric::Time];
}

/// Arguments of `evaluate`.
#[derive(Clone, Debug)]
pub struct EvaluateArgs {
    /// Run directories.
    pub runs: Vec<PathBuf>,
    /// Folder of the data set.
    pub data: PathBuf,
    /// How it is read.
    pub reading: ReadingFlags,
    /// What is measured.
    pub metrics: Vec<Metric>,
    /// Samples of each run, and encodings of held-out pictures.
    pub count: usize,
    /// Sampler of diffusion priors, and its steps; `None`: as `sample` does.
    pub sampler: Option<Sampler>,
    /// Steps of the sampler.
    pub steps: Option<usize>,
    /// How likelihoods are estimated.
    pub nll: NllSettings,
    /// Weights of Inception-v3.
    pub inception: Option<PathBuf>,
    /// Wall seconds that the time of one sampler may take, about.
    pub time_budget: f64,
    /// Seed of the samples.
    pub seed: u64,
    /// Where files go; samples are kept there, so that a stopped evaluation goes on.
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
    /// Training steps behind it.
    pub step: u64,
    /// Whether its VQ-VAE encodes the pictures as the first run's does: only then are codes of one kind.
    pub first_runs_codes: bool,
}

/// All results; `evaluation.json`. A metric that was not asked for is `None`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Evaluation {
    /// Adapter and driver.
    pub adapter: String,
    /// Folder of the data set.
    pub data: String,
    /// Seed of the samples.
    pub seed: u64,
    /// Where the second draw of the data comes from, on which floors and fitted temperatures rest.
    pub second_draw: String,
    /// The runs, in the order of the command line.
    pub runs: Vec<RunFacts>,
    /// The VQ-VAEs.
    pub reconstruction: Option<Vec<ReconstructionRow>>,
    /// Laws of codes.
    pub codes: Option<Vec<CodesRow>>,
    /// KL maps.
    pub kl: Option<Vec<KlRow>>,
    /// Likelihoods.
    pub nll: Option<Vec<NllRow>>,
    /// FID and KID.
    #[serde(default)]
    pub fid: Option<Vec<FidRow>>,
    /// Speed of sampling.
    pub time: Option<Vec<TimeRow>>,
}

/// Evaluates, prints tables, and writes `evaluation.json` and `kl.png`; with `json` the results go to standard output too.
///
/// # Errors
/// As [`evaluate`], and [`Error::Io`] for the files.
pub fn run(args: &EvaluateArgs, json: bool) -> Result<()> {
    args.runs.iter().try_for_each(|run| keep_out_of_images(&args.out, run))?;
    let _folder = Folder::open(&args.out, &FILES, None)?;
    let evaluation = evaluate(args)?;
    let text = serde_json::to_string_pretty(&evaluation).expect("plain data") + "\n";
    product::write(&args.out.join("evaluation.json"), Form::Json, text.as_bytes())?;
    if let Some(rows) = evaluation.kl.as_deref().filter(|rows| !rows.is_empty()) {
        kl::draw(rows, &args.out.join("kl.png"), args)?;
    }
    print_document(&if json { text } else { tables::text(&evaluation) })?;
    note!("wrote evaluation.json{} to {}", if evaluation.kl.is_some() { ", kl.png" } else { "" }, args.out.display());
    Ok(())
}

/// Evaluates. Samples are kept in `args.out`, which exists.
///
/// # Errors
/// [`Error::Checkpoint`] for runs that cannot be loaded, [`Error::Usage`] for those that cannot do what is asked,
/// [`Error::Data`] for the pictures, [`Error::Io`] for the samples.
pub fn evaluate(args: &EvaluateArgs) -> Result<Evaluation> {
    let mut runs = Vec::new();
    for run in &args.runs {
        runs.push(Trained::load(run, &args.device)?);
    }
    let Some(first) = runs.first() else { return Err(Error::Usage("name a run to evaluate".into())) };
    let sizes = |trained: &Trained| (trained.config.vqvae.size, trained.config.classes);
    if let Some(other) = runs.iter().find(|other| sizes(other) != sizes(first)) {
        return Err(other.unfit(&format!("its pictures and classes are not those of {}", first.run.display())));
    }
    let pictures = Pictures::read(&args.data, &first.config, &args.reading)?;
    let wants = |metric: Metric| args.metrics.contains(&metric);
    // Before anything slow.
    let unlikely = runs.iter().filter(|run| wants(Metric::Nll) && !matches!(run.prior, Prior::None));
    if let Some(error) = unlikely.filter_map(|run| nll::obstacle(run, pictures.held_out.len())).next() {
        return Err(error);
    }
    let network = feature_network(&first.gpu, args)?;
    if network.is_some() && args.count < 2 {
        return Err(Error::Usage("--count 1: fid needs two samples at least; leave fid away or draw more".into()));
    }
    let mut codes: Vec<DataCodes> = Vec::new();
    for trained in &runs {
        codes.push(DataCodes::new(trained, &pictures, args)?);
    }
    let facts = |(trained, data): (&Trained, &DataCodes)| RunFacts {
        path: trained.run.display().to_string(),
        stage: trained.stage,
        step: trained.step,
        first_runs_codes: data.first == codes[0].first,
    };
    let mut evaluation = Evaluation {
        adapter: first.gpu.facts().name.clone(),
        data: args.data.display().to_string(),
        seed: args.seed,
        second_draw: codes[0].second_name.to_string(),
        runs: runs.iter().zip(&codes).map(facts).collect(),
        reconstruction: wants(Metric::Reconstruction).then(Vec::new),
        codes: wants(Metric::Codes).then(Vec::new),
        kl: wants(Metric::Kl).then(Vec::new),
        nll: wants(Metric::Nll).then(Vec::new),
        fid: network.is_some().then(Vec::new),
        time: wants(Metric::Time).then(Vec::new),
    };
    for (i, (trained, data)) in runs.iter().zip(&codes).enumerate() {
        if let Some(rows) =
            evaluation.reconstruction.as_mut().filter(|_| !codes[..i].iter().any(|c| c.first == data.first))
        {
            rows.push(reconstruction::row(trained, &pictures.held_out, args)?);
        }
        if matches!(trained.prior, Prior::None) {
            continue;
        }
        if evaluation.codes.is_some() || evaluation.kl.is_some() || network.is_some() {
            let drawn = Draws::of(trained, args)?;
            if let (Some(rows), Some(network)) = (&mut evaluation.fid, &network) {
                rows.push(fid::row(trained, network, &pictures.held_out, &drawn, args)?);
            }
            evaluation.codes.iter_mut().for_each(|rows| rows.push(codes::row(trained, data, &drawn)));
            evaluation.kl.iter_mut().for_each(|rows| rows.push(kl::row(trained, data, &drawn)));
        }
        if let Some(rows) = &mut evaluation.nll {
            rows.extend(nll::rows(trained, &pictures, args)?);
        }
        if let Some(rows) = &mut evaluation.time {
            rows.extend(time::rows(trained, args)?);
        }
    }
    Ok(evaluation)
}

/// Inception-v3, if it is wanted and there are weights.
fn feature_network(gpu: &Gpu, args: &EvaluateArgs) -> Result<Option<FeatureNetwork>> {
    match &args.inception {
        _ if !args.metrics.contains(&Metric::Fid) => Ok(None),
        Some(weights) => FeatureNetwork::open(gpu, weights, cache_folder().as_deref()).map(Some),
        None => {
            note!("{NO_WEIGHTS}");
            Ok(None)
        }
    }
}
