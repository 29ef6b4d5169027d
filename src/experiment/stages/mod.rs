//! The training stages: the task of each, and how its run directory is prepared.

pub(crate) mod closing;
mod codebook_tracker;
pub(crate) mod context;
mod joint;
pub(crate) mod latents;
mod learner;
pub(crate) mod part;
mod pixelcnn;
mod prior;
pub(crate) mod rehearsal;
pub(crate) mod sources;
pub(crate) mod standard;
pub mod told;
pub(crate) mod toy;
pub(crate) mod vqvae;

use std::path::Path;
use std::rc::Rc;

use self::context::StageContext;
use self::sources::{Sources, freeze};
use super::codebook;
use super::dataset::{self, Pictures};
use super::memory;
use super::run_dir::RunDir;
use super::session::Task;
use super::train_args::{TrainArgs, usage};
use crate::config::{
    CodebookConfig, Experiment, GridConfig, Kind, Overrides, Source, Stage, Stored,
};
use crate::data::codes::CodeSet;
use crate::error::Result;
use crate::gpu::Gpu;

/// The stage named by `args`, or else by the configuration (`stage`), if `kind` has that stage.
///
/// # Errors
/// [`Error::Usage`] listing the valid stages.
pub(super) fn stage_of(args: &TrainArgs, kind: Kind, stage: Option<Stage>) -> Result<Stage> {
    let stages = GridConfig::stages_of(kind);
    let names: Vec<&str> = stages.iter().map(|stage| stage.name()).collect();
    let names = match &names[..] {
        [all @ .., last] => format!("{} or {last}", all.join(", ")),
        [] => String::new(),
    };
    match args.stage.or(stage) {
        None => Err(usage(
            args,
            &format!("choose what to train with --stage {names}"),
        )),
        Some(stage) if !stages.contains(&stage) => Err(usage(
            args,
            &format!(
                "its data are already codes, so there is no stage {}; choose --stage {names}",
                stage.name()
            ),
        )),
        Some(stage) => Ok(stage),
    }
}

/// Reads the data set of a training on codes, which decides the model's sizes.
///
/// # Errors
/// [`Error::Data`](crate::error::Error::Data) and [`Error::Io`](crate::error::Error::Io) for the
/// file.
pub(super) fn read_codes(args: &TrainArgs, source: &Source) -> Result<CodeSet> {
    if args.size.is_some() || args.reading.are_given() {
        let what = "its data are codes; --size, --resize, --crop, --skip-broken and --memory are for images";
        return Err(usage(args, what));
    }
    if args.from.is_some() {
        let what = "it builds on the codes of the data set; omit --from";
        return Err(usage(args, what));
    }
    let file = data_of(args, Kind::Codes)?;
    let config = match source.experiment(&Overrides::of_sets(&args.sets))? {
        Experiment::Grid(config) => config.codebook.unwrap_or_default(),
        Experiment::Toy(_) => CodebookConfig::default(),
    };
    codebook::open(file, &config, None)
}

/// The data path in `args`.
fn data_of(args: &TrainArgs, kind: Kind) -> Result<&Path> {
    let what = if kind == Kind::Codes {
        "name the file of codes (.npz, .safetensors or text) with --data"
    } else {
        "name the folder of the images with --data"
    };
    args.data.as_deref().ok_or_else(|| usage(args, what))
}

/// Creates the task of `stage` and its run directory with the configuration and the facts about its
/// data.
///
/// # Errors
/// Usage, data, file and GPU errors; see [`Error`](crate::error::Error).
pub(super) fn prepare(
    args: &TrainArgs,
    config: &GridConfig,
    stage: Stage,
    codes: Option<&CodeSet>,
) -> Result<(Gpu, Box<dyn Task>, RunDir)> {
    let folder = data_of(args, config.kind())?;
    let sources = Sources::find(args, config, stage)?;
    dataset::keep_apart(&args.out, folder)?;
    let mut dir = RunDir::open(&args.out)?;
    let gpu = args.device.open()?;
    memory::check(&gpu, config, stage)?;
    // Last, as it may take long.
    let pictures = match codes {
        Some(codes) => Pictures::of_codes(codes, &folder.display().to_string())?,
        None => Pictures::read(folder, config, &args.reading)?,
    };
    if args.resume {
        pictures.are_those_of(&args.out, folder)?;
    }
    dir.write_config(&Stored::Grid(stage, Box::new(config.clone())))?;
    pictures.keep_facts(&args.out, folder)?;
    if let (Some(codes), Some(codebook)) = (codes, &config.codebook)
        && !codebook::is_kept(&args.out)
    {
        codebook::keep(&args.out, codes, codebook, config.seed)?;
    }
    let context = Rc::new(StageContext {
        gpu: gpu.clone(),
        config: config.clone(),
        pictures,
    });
    let task: Box<dyn Task> = match stage {
        Stage::VqVae => Box::new(vqvae::VqVaeTask::new(context, &sources)?),
        Stage::Prior => {
            let frozen = freeze(&context, sources, &args.out)?;
            Box::new(prior::PriorTask::new(context, frozen)?)
        }
        Stage::PixelCnn => {
            let frozen = freeze(&context, sources, &args.out)?;
            Box::new(pixelcnn::PixelCnnTask::new(context, frozen)?)
        }
        Stage::Joint => Box::new(joint::JointTask::new(context, sources)?),
    };
    Ok((gpu, task, dir))
}
