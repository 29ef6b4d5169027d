//! Training of the image models, stage by stage; section 4.2 of the paper.

mod pictures;
mod pixelcnn;
mod prior;
pub(super) mod rehearsal;
mod vqvae;

use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use super::progress::Progress;
use super::run_dir::{self, RunDir};
use super::session::{self, Session, Task};
use super::train::{TrainArgs, agree};
use super::{keep_pipelines, memory};
use crate::config::{ImagesConfig, Stage};
use crate::data::{self, Batch, Held, ImageSet, Loader, LoaderOptions, Reading};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::models::vqvae::VqVae;
use crate::nn::Module;
use crate::nn::checkpoint::{self, Checkpoint};
use crate::nn::init::Init;
use crate::philox::Stream;
use crate::tensor::Tensor;

/// The frozen VQ-VAE in the directory of a run that builds on it.
const VQVAE_FILE: &str = "vqvae.safetensors";
/// Images side by side through a network in evaluations.
const CHUNK: usize = 32;
/// Share of the pictures held out where a data set has no split of its own.
const HELD_OUT: f64 = 0.1;

/// Pictures to train on and to look at, and where they come from.
struct Pictures {
    train: Arc<ImageSet>,
    held_out: ImageSet,
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
        let count = self.config.stages.evaluate_images.min(self.pictures.held_out.len()) as u32;
        let chunk = |indices: &[u32]| tensor(&self.gpu, &self.pictures.held_out, indices);
        (0..count).collect::<Vec<_>>().chunks(CHUNK).map(chunk).collect()
    }

    /// The images of a batch on the GPU, [n, h, w, 3].
    fn images(&self, batch: &Batch) -> Tensor {
        let size = self.config.vqvae.size;
        Tensor::from_slice(&self.gpu, &batch.images, [batch.labels.len(), size, size, 3])
    }

    /// Whether `stage` looks at held-out images after `step` steps.
    fn evaluates(&self, stage: Stage, step: u64) -> bool {
        let every = self.config.stages.evaluate_every;
        every > 0 && (step.is_multiple_of(every) || step == self.config.stage(stage).steps)
    }

    fn stream(&self, step: u64, stream: u32) -> Stream {
        Stream { seed: self.config.seed, step: step as u32, stream }
    }
}

/// The pictures `indices` of a set on the GPU, [n, h, w, 3].
fn tensor(gpu: &Gpu, set: &ImageSet, indices: &[u32]) -> Tensor {
    Tensor::from_slice(gpu, &set.floats(indices), [indices.len(), set.height, set.width, 3])
}

/// `dbvq-wgpu train` of an image preset.
///
/// # Errors
/// Whatever the outside world does; see [`Error`].
pub fn train(args: &TrainArgs, config: &ImagesConfig) -> Result<()> {
    let usage = |what: &str| Error::Usage(format!("{} is an image preset: {what}", args.preset));
    let stage = args.stage.ok_or_else(|| usage("choose what to train with --stage vqvae, prior or pixelcnn"))?;
    let folder = args.data.as_ref().ok_or_else(|| usage("name the folder of the images with --data"))?;
    if stage == Stage::VqVae && args.from.is_some() {
        return Err(usage("--stage vqvae starts from nothing, without --from"));
    }
    let resumes = args.resume && checkpoint::exists(&args.out);
    let source = args.out.join(VQVAE_FILE);
    let from = match (&args.from, stage) {
        (_, Stage::VqVae) => None,
        (Some(run), _) => Some(checkpoint::path(run)),
        (None, _) if resumes && source.exists() => Some(source.clone()),
        (None, _) => return Err(usage("this stage builds on a trained VQ-VAE; name its run with --from")),
    };
    // Before anything slow: does the VQ-VAE fit?
    let frozen = from.map(|file| frozen_checkpoint(&file, config)).transpose()?;
    let pictures = read(folder, args, config)?;
    let dir = RunDir::open(&args.out)?;
    let text = format!("stage = \"{}\"\n{}", stage.name(), config.to_toml());
    if args.resume && args.out.join("config.toml").exists() {
        agree(&run_dir::text(&args.out)?, &text)?;
    }
    let gpu = args.device.open()?;
    memory::check(&gpu, config, stage)?;
    dir.write_config(&text)?;
    if let Some(found) = &frozen
        && found.path != source
    {
        let bytes = std::fs::read(&found.path).map_err(Error::io(&found.path))?;
        run_dir::write(&source, &bytes)?;
    }
    let frozen = || load_frozen(&gpu, config, frozen.as_ref().expect("these stages have a VQ-VAE"));
    let setting = Rc::new(Setting { gpu: gpu.clone(), config: config.clone(), pictures });
    match stage {
        Stage::VqVae => go(args, &setting, dir, stage, vqvae::VqVaeTask::new(setting.clone())?),
        Stage::Prior => go(args, &setting, dir, stage, prior::PriorTask::new(setting.clone(), frozen()?)?),
        Stage::PixelCnn => go(args, &setting, dir, stage, pixelcnn::PixelCnnTask::new(setting.clone(), frozen()?)?),
    }
}

fn go<T: Task>(args: &TrainArgs, setting: &Setting, dir: RunDir, stage: Stage, task: T) -> Result<()> {
    let (gpu, config) = (setting.gpu.clone(), &setting.config);
    let (train, model, stop) = (config.stage(stage).clone(), config.model_text(stage), session::stop_flag(&dir)?);
    let mut session = Session { gpu, task, train, dir, seed: config.seed, model, step: 0, stop };
    session.begin(args.resume)?;
    memory::explain(&setting.gpu, config, stage, || session.run())?;
    keep_pipelines(&session.gpu);
    Ok(())
}

/// Reads the data set, which must have the preset's image size.
fn read(folder: &Path, args: &TrainArgs, config: &ImagesConfig) -> Result<Pictures> {
    let progress = Arc::new(Mutex::new(None::<Progress>));
    let shared = progress.clone();
    let report = move |done: u64, of: u64| {
        let mut progress = shared.lock().unwrap_or_else(|e| e.into_inner());
        progress.get_or_insert_with(|| Progress::new("reading", 0, of)).at(done, String::new);
    };
    let size = args.resize.then_some([config.vqvae.size; 2]);
    let reading = Reading { size, broken: args.broken, progress: Some(&report), ..Reading::default() };
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
    splits.skipped.iter().for_each(|what| eprintln!("left out: {what}"));
    let (train, held_out) = match splits.test.or(splits.val) {
        Some(held_out) => (splits.train, held_out),
        None => {
            let [train, held_out] = data::hold_out(&splits.train, Held::Share(HELD_OUT))?;
            (train, held_out)
        }
    };
    eprintln!("{} images to train on, {} held out", train.len(), held_out.len());
    Ok(Pictures { train: Arc::new(train), held_out })
}

/// The checkpoint of a VQ-VAE, which must be one of this configuration.
fn frozen_checkpoint(file: &Path, config: &ImagesConfig) -> Result<Checkpoint> {
    let found = checkpoint::load(file)?;
    if found.model != config.model_text(Stage::VqVae) {
        let what = "is no VQ-VAE of this preset; name the run of its stage vqvae with --from";
        return Err(Error::checkpoint(file, what));
    }
    Ok(found)
}

/// A VQ-VAE with the averaged weights of `found`. Its parameters are no leaves of the tape: nothing moves them.
fn load_frozen(gpu: &Gpu, config: &ImagesConfig, found: &Checkpoint) -> Result<VqVae> {
    let mut model = VqVae::new(&mut Init::blank(gpu), &config.vqvae);
    let mut outcome = Ok(());
    model.visit(&mut |path, tensor| match found.tensor(&format!("ema.{path}"), tensor.shape()) {
        Ok(values) => *tensor = Tensor::from_slice(gpu, &values, tensor.shape()),
        Err(error) => outcome = Err(error),
    });
    outcome?;
    vqvae::restore_codebook(&model.codebook, found)?;
    Ok(model)
}
