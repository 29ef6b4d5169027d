//! The image models of section 4.2: trained stage by stage, and what a trained run is good for.

pub mod chain;
mod closing;
pub mod dataset;
pub mod inpaint;
mod joint;
mod keeper;
mod known;
mod latents;
mod learner;
pub mod mask;
mod output;
pub(crate) mod pictures;
mod pixelcnn;
mod prior;
pub mod reconstruct;
pub(crate) mod rehearsal;
pub mod sample;
pub(crate) mod sources;
mod standard;
pub mod told;
pub(crate) mod trained;
pub(crate) mod vqvae;

use std::rc::Rc;

pub(crate) use self::dataset::Pictures;
pub(crate) use self::latents::count_filled;
use self::learner::Part;
use self::sources::{Sources, freeze};
pub(crate) use self::trained::configuration;
use super::device::keep_caches;
use super::memory;
use super::run_dir::RunDir;
use super::session;
use super::session::{Session, Task};
use super::train::TrainArgs;
use crate::config::{ImagesConfig, Stage, Stored};
use crate::data::{Batch, ImageSet, Loader, LoaderOptions};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::philox::Stream;
use crate::tensor::{Codes, Tensor};

/// Images side by side through a network in evaluations.
pub(crate) const CHUNK: usize = 32;
/// Philox stream of the classes that training drops.
const DROP_CLASS: u32 = 0x112;

/// What every stage is made from.
struct Setting {
    gpu: Gpu,
    config: ImagesConfig,
    pictures: Pictures,
}

impl Setting {
    /// Batches of `stage` from `step` on.
    fn loader(&self, stage: Stage, step: u64) -> Result<Loader> {
        let batch = self.config.stage(stage).batch;
        let seed = self.config.seed;
        Loader::start(
            self.pictures.train.clone(),
            LoaderOptions {
                batch,
                seed,
                flip: true,
                first_step: step,
            },
        )
    }

    /// Held-out images that evaluations look at, in [−1, 1], in chunks.
    fn held_out(&self) -> Result<Vec<Tensor>> {
        let chunk = |indices: &[u32]| tensor(&self.gpu, &self.pictures.held_out, indices);
        self.held_out_indices().chunks(CHUNK).map(chunk).collect()
    }

    /// Their classes, in the same chunks.
    fn held_out_classes(&self) -> Vec<Option<Codes>> {
        let labels = &self.pictures.held_out.labels;
        let chunk =
            |indices: &[u32]| self.classes(indices.iter().map(|&i| labels[i as usize]).collect());
        self.held_out_indices().chunks(CHUNK).map(chunk).collect()
    }

    fn held_out_indices(&self) -> Vec<u32> {
        (0..self
            .config
            .stages
            .evaluate_images
            .min(self.pictures.held_out.len()) as u32)
            .collect()
    }

    /// Classes as a model is told them, `[n]`; `None` for models that know of none.
    fn classes(&self, labels: Vec<u32>) -> Option<Codes> {
        (self.config.classes > 0).then(|| Codes::from_slice(&self.gpu, &labels, [labels.len()]))
    }

    /// The classes of a part in the training of the U-Net: a share of them becomes the number of
    /// classes, which is none.
    fn dropped_classes(&self, part: &Part) -> Option<Codes> {
        let stream = Stream {
            stream: DROP_CLASS,
            ..part.stream
        };
        let dropped =
            |i: u32| f64::from(stream.uniform(stream.first + i)) < self.config.class_dropout;
        let told = |(i, &label): (u32, &u32)| {
            if dropped(i) {
                self.config.classes as u32
            } else {
                label
            }
        };
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
        Stream {
            seed: self.config.seed,
            step: step as u32,
            stream,
            first: 0,
        }
    }
}

/// The pictures `indices` of a set on the GPU, [n, h, w, 3].
fn tensor(gpu: &Gpu, set: &ImageSet, indices: &[u32]) -> Result<Tensor> {
    Ok(Tensor::from_slice(
        gpu,
        &set.floats(indices)?,
        [indices.len(), set.height, set.width, 3],
    ))
}

fn usage(args: &TrainArgs, what: &str) -> Error {
    Error::Usage(format!("{} is an image preset: {what}", args.preset))
}

/// The error of an image preset without --stage.
pub(super) fn no_stage(args: &TrainArgs) -> Error {
    usage(
        args,
        "choose what to train with --stage vqvae, prior, pixelcnn or joint",
    )
}

/// `dbvq-wgpu train` of `stage` of an image preset.
///
/// # Errors
/// Whatever the outside world does; see [`Error`].
pub fn train(args: &TrainArgs, config: &ImagesConfig, stage: Stage) -> Result<()> {
    let folder = args
        .data
        .as_ref()
        .ok_or_else(|| usage(args, "name the folder of the images with --data"))?;
    let sources = Sources::find(args, config, stage)?;
    dataset::keep_apart(&args.out, folder)?;
    let mut dir = RunDir::open(&args.out)?;
    let gpu = args.device.open()?;
    memory::check(&gpu, config, stage)?;
    // Last, as it may take long.
    let pictures = Pictures::read(folder, config, &args.reading)?;
    if args.resume {
        pictures.are_those_of(&args.out, folder)?;
    }
    dir.write_config(&Stored::Images(stage, Box::new(config.clone())))?;
    pictures.keep_facts(&args.out, folder)?;
    let setting = Rc::new(Setting {
        gpu,
        config: config.clone(),
        pictures,
    });
    match stage {
        Stage::VqVae => go(
            args,
            &setting,
            dir,
            stage,
            vqvae::VqVaeTask::new(setting.clone(), &sources)?,
        ),
        Stage::Prior => {
            let frozen = freeze(&setting, sources, &args.out)?;
            go(
                args,
                &setting,
                dir,
                stage,
                prior::PriorTask::new(setting.clone(), frozen)?,
            )
        }
        Stage::PixelCnn => {
            let frozen = freeze(&setting, sources, &args.out)?;
            go(
                args,
                &setting,
                dir,
                stage,
                pixelcnn::PixelCnnTask::new(setting.clone(), frozen)?,
            )
        }
        Stage::Joint => go(
            args,
            &setting,
            dir,
            stage,
            joint::JointTask::new(setting.clone(), sources)?,
        ),
    }
}

fn go<T: Task>(
    args: &TrainArgs,
    setting: &Setting,
    dir: RunDir,
    stage: Stage,
    task: T,
) -> Result<()> {
    let gpu = setting.gpu.clone();
    let config = &setting.config;
    let train = config.stage(stage).clone();
    let model = config.model_text(stage);
    let stop = session::stop_flag(&dir.path)?;
    let seed = config.seed;
    let evaluation = None;
    let mut session = Session {
        gpu,
        task,
        train,
        dir,
        seed,
        model,
        step: 0,
        seconds: 0.0,
        stop,
        evaluation,
    };
    session.begin(args.resume)?;
    let ended = memory::explain(&setting.gpu, config, stage, || session.run());
    keep_caches(&session.gpu);
    ended?;
    closing::say(args, config, stage, session.evaluation.as_ref());
    Ok(())
}
