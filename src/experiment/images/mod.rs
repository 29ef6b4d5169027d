//! The image models of section 4.2: trained stage by stage, and what a trained run is good for.

pub mod asked;
pub mod chain;
mod closing;
mod codebook_tracker;
pub(crate) mod context;
pub mod dataset;
pub mod inpaint;
mod joint;
mod known;
mod latents;
mod learner;
pub mod mask;
mod output;
pub(crate) mod part;
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
pub(crate) mod usage;
pub(crate) mod vqvae;

use std::rc::Rc;

use self::sources::{Sources, freeze};
use super::device::keep_caches;
use super::images::context::StageContext;
use super::memory;
use super::run_dir::RunDir;
use super::session::{Session, Task};
use super::train_args::{TrainArgs, usage};
use crate::config::{ImagesConfig, Stage, Stored};
use crate::error::{Error, Result};

pub(crate) use self::dataset::Pictures;
pub(crate) use self::latents::count_filled;
pub(crate) use self::trained::configuration;

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
    let context = Rc::new(StageContext {
        gpu,
        config: config.clone(),
        pictures,
    });
    match stage {
        Stage::VqVae => go(
            args,
            &context,
            dir,
            stage,
            vqvae::VqVaeTask::new(context.clone(), &sources)?,
        ),
        Stage::Prior => {
            let frozen = freeze(&context, sources, &args.out)?;
            go(
                args,
                &context,
                dir,
                stage,
                prior::PriorTask::new(context.clone(), frozen)?,
            )
        }
        Stage::PixelCnn => {
            let frozen = freeze(&context, sources, &args.out)?;
            go(
                args,
                &context,
                dir,
                stage,
                pixelcnn::PixelCnnTask::new(context.clone(), frozen)?,
            )
        }
        Stage::Joint => go(
            args,
            &context,
            dir,
            stage,
            joint::JointTask::new(context.clone(), sources)?,
        ),
    }
}

fn go<T: Task>(
    args: &TrainArgs,
    context: &StageContext,
    dir: RunDir,
    stage: Stage,
    task: T,
) -> Result<()> {
    let config = &context.config;
    let train = config.stage(stage).clone();
    let model = config.model_text(stage);
    let gpu = context.gpu.clone();
    let mut session = Session::new(gpu, task, train, dir, config.seed, model)?;
    session.begin(args.resume)?;
    let ended = memory::explain(&context.gpu, config, stage, || session.run());
    keep_caches(&session.gpu);
    ended?;
    closing::say(args, config, stage, session.evaluation.as_ref());
    Ok(())
}
