//! `dbvq-wgpu train`: Algorithm 1, with checkpoints that survive anything.

use std::path::PathBuf;

use super::images::dataset::ReadingFlags;
use super::run_dir::{self, RunDir};
use super::session::{self, Report, Session, Task, averaging, cumulative, draw_levels, half_cosine, learning_rate};
use super::{Device, images, keep_caches, schedule};
use crate::config::{Config, Experiment, Resize, Stage};
use crate::data::toy;
use crate::error::{Error, Result};
use crate::gpu::{self, Gpu};
use crate::models::dbvq::Toy;
use crate::nn::Module;
use crate::nn::checkpoint::{self, Checkpoint, Entry};
use crate::nn::optim::{Adam, AdamOptions, Group};
use crate::philox::Stream;
use crate::tensor::Codes;

/// Arguments of `train`.
#[derive(Clone, Debug)]
pub struct TrainArgs {
    /// A preset's name or a TOML file.
    pub preset: String,
    /// The run directory.
    pub out: PathBuf,
    /// Training steps instead of the preset's.
    pub steps: Option<u64>,
    /// `key.path=value`, over the preset.
    pub sets: Vec<String>,
    /// Go on where the run directory's checkpoint stands.
    pub resume: bool,
    /// Train on a schedule whose end is far from the prior.
    pub allow_bad_terminal: bool,
    /// What to train of the image models.
    pub stage: Option<Stage>,
    /// Folder of the images.
    pub data: Option<PathBuf>,
    /// How they are read.
    pub reading: ReadingFlags,
    /// Side of the images, instead of the preset's.
    pub size: Option<u32>,
    /// The run whose weights this stage starts from.
    pub from: Option<PathBuf>,
    /// The adapter.
    pub device: Device,
}

/// Philox stream of a step's sequences; those on the GPU are in `models::dbvq`.
const SEQUENCES: u32 = 0x100;

/// Trains.
///
/// # Errors
/// Whatever the outside world does; see [`Error`].
pub fn run(args: &TrainArgs) -> Result<()> {
    let mut sets = args.sets.clone();
    if let Some(steps) = args.steps {
        let section = match (Experiment::is_of_images(&args.preset)?, args.stage) {
            (false, _) => "train".to_string(),
            (true, Some(stage)) => format!("stages.{}", stage.name()),
            (true, None) => return Err(images::no_stage(args)),
        };
        sets.push(format!("{section}.steps={steps}"));
    }
    if Experiment::is_of_images(&args.preset)? {
        sets.extend(args.size.map(|size| format!("vqvae.size={size}")));
        // At another size images are squashed, unless they are to be cut.
        let resize = args.reading.resize.or(args.size.map(|_| Resize::Squash));
        sets.extend(resize.map(|resize| format!("data.resize={}", resize.name())));
        sets.extend(args.reading.skip_broken.then(|| "data.skip_broken=true".to_string()));
    }
    let experiment = Experiment::load(&args.preset, &sets)?;
    schedule::check_terminal(&experiment.bridge().build()?, args.allow_bad_terminal)?;
    if !args.resume && checkpoint::exists(&args.out) {
        let what = format!("{} holds a run already; go on with --resume, or choose another --out", args.out.display());
        return Err(Error::Usage(what));
    }
    if args.resume && !args.out.is_dir() {
        return Err(Error::checkpoint(&args.out, "there is no run to resume; check --out"));
    }
    match experiment {
        Experiment::Toy(config) => run_toy(args, *config),
        Experiment::Images(config) => images::train(args, &config),
    }
}

fn run_toy(args: &TrainArgs, config: Config) -> Result<()> {
    let of_images = args.reading.are_given() || args.size.is_some() || args.data.is_some();
    if args.stage.is_some() || args.from.is_some() || of_images {
        let what = "is a toy: it has no --stage, --from, --data, --size, --resize, --crop, --skip-broken nor --memory";
        return Err(Error::Usage(format!("{} {what}", args.preset)));
    }
    let dir = RunDir::open(&args.out)?;
    if args.resume && args.out.join("config.toml").exists() {
        agree(&run_dir::config(&args.out)?.to_toml(), &config.to_toml())?;
    }
    let gpu = args.device.open()?;
    let task = ToyTask::new(&gpu, &config)?;
    dir.write_config(&config.to_toml())?;
    let (train, seed, model) = (config.train.clone(), config.seed, config.model_text());
    let stop = session::stop_flag(&dir.path)?;
    let mut session = Session { gpu, task, train, dir, seed, model, step: 0, seconds: 0.0, stop };
    session.begin(args.resume)?;
    let ended = gpu::catch(|| session.run());
    keep_caches(&session.gpu);
    ended
}

/// A resumed run must be the same run: `stored` and `wanted` are configurations as TOML.
pub fn agree(stored: &str, wanted: &str) -> Result<()> {
    match difference(stored, wanted) {
        None => Ok(()),
        Some((a, b)) => Err(Error::Config(format!(
            "--resume: the run has `{a}`, this command `{b}`; give the same preset and --set, or choose another --out"
        ))),
    }
}

/// The first lines in which two configurations as TOML differ, with their section; `None` if they are the same.
pub fn difference(stored: &str, wanted: &str) -> Option<(String, String)> {
    if stored == wanted {
        return None;
    }
    let mut section = String::new();
    for (a, b) in stored.lines().zip(wanted.lines()) {
        if a != b {
            return Some([a, b].map(|line| format!("{section}{line}")).into());
        }
        if let Some(name) = a.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            section = format!("{name}.");
        }
    }
    Some(("a section more or less".into(), String::new()))
}

/// Algorithm 1 on the toy.
pub(super) struct ToyTask {
    config: Config,
    gpu: Gpu,
    model: Toy,
    adam: Adam,
    levels: Vec<f64>,
}

impl ToyTask {
    pub fn new(gpu: &Gpu, config: &Config) -> Result<ToyTask> {
        let mut model = Toy::new(gpu, config)?;
        // Codes have a learning rate of their own, and stay out of the denoiser's clipping.
        let adam = Adam::new(gpu, &mut model, AdamOptions::from(&config.train), |path| usize::from(path == "codebook"));
        let levels = cumulative(config.train.levels, model.bridge.steps());
        Ok(ToyTask { config: config.clone(), gpu: gpu.clone(), model, adam, levels })
    }

    /// Learning rates of the denoiser and of the codes.
    fn groups(&self, step: u64) -> [Group; 2] {
        let t = &self.config.train;
        let codes = self
            .config
            .codes
            .as_ref()
            .map_or(0.0, |c| c.lr * (0.01 + 0.99 * half_cosine(step as f64 / c.anneal_steps as f64)));
        [Group { lr: learning_rate(t, step), clip: t.clip }, Group { lr: codes, clip: 0.0 }]
    }
}

impl Task for ToyTask {
    fn model(&mut self) -> &mut dyn Module {
        &mut self.model
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        let (t, i) = (&self.config.train, step as u32);
        let stream = Stream { seed: self.config.seed, step: i, stream: 0, first: 0 };
        let q = toy::sequences(Stream { stream: SEQUENCES, ..stream }, t.batch);
        let q = Codes::from_slice(&self.gpu, &q, [t.batch, toy::LENGTH]);
        let levels = Codes::from_slice(&self.gpu, &draw_levels(&self.levels, t.batch, stream), [t.batch]);
        let losses = self.model.losses(&q, &levels, stream);
        let grads = losses.total.backward();
        let norm = self.adam.step(&grads, &self.groups(step), i + 1, averaging(t.ema, step));
        Ok(Report { total: losses.total, parts: losses.parts, norm })
    }

    fn export(&self) -> Vec<Entry> {
        self.adam.export()
    }

    fn import(&mut self, found: &Checkpoint) -> Result<()> {
        self.adam.import(|name, shape| found.tensor(name, shape))
    }
}
