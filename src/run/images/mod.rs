//! The image models of section 4.2: trained stage by stage, and what a trained run is good for.

pub mod chain;
mod closing;
pub mod evaluate;
pub mod inpaint;
mod joint;
mod keeper;
mod known;
mod latents;
mod learner;
pub mod mask;
mod output;
pub(super) mod paper;
mod pictures;
mod pixelcnn;
mod prior;
pub mod reconstruct;
pub(super) mod rehearsal;
pub mod sample;
pub(super) mod sources;
mod trained;
mod vqvae;

use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use self::learner::Part;
use self::sources::{Sources, freeze};
use super::progress::Progress;
use super::run_dir::{self, RunDir};
use super::session::{self, Session, Task};
use super::train::TrainArgs;
use super::{keep_caches, memory};
use crate::config::{ImagesConfig, Stage, Stored};
use crate::data::{self, Batch, Broken, Held, ImageSet, Kind, Loader, LoaderOptions, Reading};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::philox::Stream;
use crate::tensor::{Codes, Tensor};

/// Images side by side through a network in evaluations.
const CHUNK: usize = 32;
/// Philox stream of the classes that training drops.
const DROP_CLASS: u32 = 0x112;
/// Share of the pictures held out where a data set has no split of its own.
const HELD_OUT: f64 = 0.1;

/// Pictures to train on and to look at, and where they come from.
struct Pictures {
    train: Arc<ImageSet>,
    held_out: ImageSet,
}

/// What the run directory keeps of the pictures: how many there are, and their checksums.
const DATA_FILE: &str = "data.txt";

impl Pictures {
    /// The text of [`DATA_FILE`].
    fn facts(&self) -> String {
        let line = |what: &str, set: &ImageSet| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&set.images).update(bytemuck::cast_slice(&set.labels));
            format!("{what}: {} pictures of {}x{}, blake3 {}\n", set.len(), set.width, set.height, hasher.finalize())
        };
        line("train", &self.train) + &line("held out", &self.held_out)
    }
}

/// What every stage is made from.
struct Setting {
    gpu: Gpu,
    config: ImagesConfig,
    pictures: Pictures,
}

impl Setting {
    /// Batches of `stage` from `step` on.
    fn loader(&self, stage: Stage, step: u64) -> Result<Loader> {
        let (batch, seed) = (self.config.stage(stage).batch, self.config.seed);
        Loader::start(self.pictures.train.clone(), LoaderOptions { batch, seed, flip: true, first_step: step })
    }

    /// Held-out images that evaluations look at, in [−1, 1], in chunks.
    fn held_out(&self) -> Vec<Tensor> {
        let chunk = |indices: &[u32]| tensor(&self.gpu, &self.pictures.held_out, indices);
        self.held_out_indices().chunks(CHUNK).map(chunk).collect()
    }

    /// Their classes, in the same chunks.
    fn held_out_classes(&self) -> Vec<Option<Codes>> {
        let labels = &self.pictures.held_out.labels;
        let chunk = |indices: &[u32]| self.classes(indices.iter().map(|&i| labels[i as usize]).collect());
        self.held_out_indices().chunks(CHUNK).map(chunk).collect()
    }

    fn held_out_indices(&self) -> Vec<u32> {
        (0..self.config.stages.evaluate_images.min(self.pictures.held_out.len()) as u32).collect()
    }

    /// Classes as a model is told them, `[n]`; `None` for models that know of none.
    fn classes(&self, labels: Vec<u32>) -> Option<Codes> {
        (self.config.classes > 0).then(|| Codes::from_slice(&self.gpu, &labels, [labels.len()]))
    }

    /// The classes of a part in the training of the U-Net: a share of them becomes the number of classes, which is none.
    fn dropped_classes(&self, part: &Part) -> Option<Codes> {
        let stream = Stream { stream: DROP_CLASS, ..part.stream };
        let dropped = |i: u32| f64::from(stream.uniform(stream.first + i)) < self.config.class_dropout;
        let told = |(i, &label): (u32, &u32)| if dropped(i) { self.config.classes as u32 } else { label };
        self.classes((0..).zip(&part.batch.labels).map(told).collect())
    }

    /// Classes of `n` samples on a grid: each column has one.
    fn shown_classes(&self, n: usize) -> Option<Codes> {
        let column = |i: usize| (i % pictures::COLUMNS % self.config.classes.max(1)) as u32;
        self.classes((0..n).map(column).collect())
    }

    /// The images of a batch on the GPU, [n, h, w, 3].
    fn images(&self, batch: &Batch) -> Tensor {
        let size = self.config.vqvae.size;
        Tensor::from_slice(&self.gpu, &batch.images, [batch.len(), size, size, 3])
    }

    /// Whether `stage` looks at held-out images after `step` steps.
    fn evaluates(&self, stage: Stage, step: u64) -> bool {
        let every = self.config.stages.evaluate_every;
        every > 0 && (step.is_multiple_of(every) || step == self.config.stage(stage).steps)
    }

    fn stream(&self, step: u64, stream: u32) -> Stream {
        Stream { seed: self.config.seed, step: step as u32, stream, first: 0 }
    }
}

/// The pictures `indices` of a set on the GPU, [n, h, w, 3].
fn tensor(gpu: &Gpu, set: &ImageSet, indices: &[u32]) -> Tensor {
    Tensor::from_slice(gpu, &set.floats(indices), [indices.len(), set.height, set.width, 3])
}

fn usage(args: &TrainArgs, what: &str) -> Error {
    Error::Usage(format!("{} is an image preset: {what}", args.preset))
}

/// The error of an image preset without --stage.
pub(super) fn no_stage(args: &TrainArgs) -> Error {
    usage(args, "choose what to train with --stage vqvae, prior, pixelcnn or joint")
}

/// `dbvq-wgpu train` of `stage` of an image preset.
///
/// # Errors
/// Whatever the outside world does; see [`Error`].
pub fn train(args: &TrainArgs, config: &ImagesConfig, stage: Stage) -> Result<()> {
    let folder = args.data.as_ref().ok_or_else(|| usage(args, "name the folder of the images with --data"))?;
    let sources = Sources::find(args, config, stage)?;
    keep_apart(&args.out, folder)?;
    let mut dir = RunDir::open(&args.out)?;
    let gpu = args.device.open()?;
    memory::check(&gpu, config, stage)?;
    // Last, as it may take long.
    let pictures = read(folder, args.broken, args.resize, config)?;
    let data = pictures.facts();
    if args.resume {
        same_data(&args.out, folder, &data)?;
    }
    dir.write_config(&Stored::Images(stage, Box::new(config.clone())))?;
    run_dir::write(&args.out.join(DATA_FILE), data.as_bytes())?;
    let setting = Rc::new(Setting { gpu, config: config.clone(), pictures });
    match stage {
        Stage::VqVae => go(args, &setting, dir, stage, vqvae::VqVaeTask::new(setting.clone(), &sources)?),
        Stage::Prior => {
            let frozen = freeze(&setting, sources, &args.out)?;
            go(args, &setting, dir, stage, prior::PriorTask::new(setting.clone(), frozen)?)
        }
        Stage::PixelCnn => {
            let frozen = freeze(&setting, sources, &args.out)?;
            go(args, &setting, dir, stage, pixelcnn::PixelCnnTask::new(setting.clone(), frozen)?)
        }
        Stage::Joint => go(args, &setting, dir, stage, joint::JointTask::new(setting.clone(), sources)?),
    }
}

/// An error if the run directory `out` lies in a folder of pictures, which would take the run's for its own.
fn keep_apart(out: &Path, folder: &Path) -> Result<()> {
    // Of what is not there yet, the nearest folder that is; `ancestors` of `run` ends with the empty path.
    let there = |path: &Path| if path == Path::new("") { Path::new(".") } else { path }.canonicalize().ok();
    let (Some(nearest), Some(folder)) = (out.ancestors().find_map(there), there(folder)) else { return Ok(()) };
    if !nearest.starts_with(&folder) || data::find(&folder) == Kind::Cifar10 {
        return Ok(());
    }
    let what =
        format!("--out {} lies in --data {}, which would read the run's pictures", out.display(), folder.display());
    Err(Error::Usage(format!("{what}; choose another --out")))
}

/// An error if the run at `out` was begun on other pictures than those of `facts`.
fn same_data(out: &Path, folder: &Path, facts: &str) -> Result<()> {
    let file = out.join(DATA_FILE);
    match std::fs::read_to_string(&file) {
        Ok(before) if before != facts => Err(Error::Data(format!(
            "{}: these are not the pictures that the run began with, as {} knows them; --resume needs the same --data and flags \
             (--skip-broken, --resize), other pictures another --out",
            folder.display(),
            file.display()
        ))),
        // Runs from before there was the file have none.
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(&file)(e)),
        _ => Ok(()),
    }
}

fn go<T: Task>(args: &TrainArgs, setting: &Setting, dir: RunDir, stage: Stage, task: T) -> Result<()> {
    let (gpu, config) = (setting.gpu.clone(), &setting.config);
    let (train, model, stop) = (config.stage(stage).clone(), config.model_text(stage), session::stop_flag(&dir.path)?);
    let (seed, evaluation) = (config.seed, None);
    let mut session = Session { gpu, task, train, dir, seed, model, step: 0, seconds: 0.0, stop, evaluation };
    session.begin(args.resume)?;
    let ended = memory::explain(&setting.gpu, config, stage, || session.run());
    keep_caches(&session.gpu);
    ended?;
    closing::say(args, config, stage, session.evaluation.as_ref());
    Ok(())
}

/// Reads the data set, which must have the preset's image size.
fn read(folder: &Path, broken: Broken, resize: bool, config: &ImagesConfig) -> Result<Pictures> {
    let progress = Arc::new(Mutex::new(None::<Progress>));
    let shared = progress.clone();
    let report = move |done: u64, of: u64| {
        let mut progress = shared.lock().unwrap_or_else(|e| e.into_inner());
        progress.get_or_insert_with(|| Progress::new("reading", 0, of)).at(done, String::new);
    };
    let size = resize.then_some([config.vqvae.size; 2]);
    let reading = Reading { size, broken, progress: Some(&report), ..Reading::default() };
    let splits = data::open(folder, None, &reading)?;
    if let Some(progress) = progress.lock().unwrap_or_else(|e| e.into_inner()).as_ref() {
        progress.finish();
    }
    let (h, w, size) = (splits.train.height, splits.train.width, config.vqvae.size);
    if [h, w] != [size, size] {
        return Err(Error::Data(format!(
            "{}: its images are {h} x {w}, the preset wants {size} x {size}; choose another preset, --resize or --set vqvae.size={h}",
            folder.display()
        )));
    }
    splits.skipped.iter().for_each(|what| note!("left out: {what}"));
    let (classes, found) = (config.classes, splits.train.classes.len());
    if classes > 0 && classes != found {
        let what = format!("its pictures are of {found} classes, the preset says {classes}; --set classes={found}");
        return Err(Error::Data(format!("{}: {what}", folder.display())));
    }
    // A model that is told classes knows only those it has learnt: mini-ImageNet's splits have others.
    let fits = |set: &ImageSet| classes == 0 || set.classes == splits.train.classes;
    let split = [splits.test, splits.val].into_iter().flatten().find(fits);
    let (train, held_out) = match split {
        Some(held_out) => (splits.train, held_out),
        None => {
            let [train, held_out] = data::hold_out(&splits.train, Held::Share(HELD_OUT))?;
            (train, held_out)
        }
    };
    note!("{} images to train on, {} held out", train.len(), held_out.len());
    Ok(Pictures { train: Arc::new(train), held_out })
}
