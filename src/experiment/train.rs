//! `dbvq-wgpu train`: Algorithm 1, with crash-safe checkpoints.

use super::claim::{self, Start};
use super::device::keep_caches;
use super::inherited::Inherited;
use super::session::Session;
use super::stages::{closing, toy};
use super::train_args::TrainArgs;
use super::{codebook, memory, run_dir, stages, terminal};
use crate::config::{Kind, Resize, Source, Stage, Stored};
use crate::data::codes::CodeSet;
use crate::error::Result;

/// Runs a training.
///
/// # Errors
/// Usage, configuration, data, file and GPU errors; see [`Error`](crate::error::Error).
pub fn run(args: &TrainArgs) -> Result<()> {
    let source = Source::open(&args.preset)?;
    let stage = match source.kind {
        Kind::Toy => None,
        kind @ (Kind::Images | Kind::Codes) => Some(stages::stage_of(args, kind, source.stage)?),
    };
    let codes = match source.kind {
        Kind::Codes => Some(stages::read_codes(args, &source)?),
        Kind::Toy | Kind::Images => None,
    };
    let wanted = wanted(args, &source, stage, codes.as_ref())?;
    let bridge = match &wanted {
        Stored::Toy(config) => &config.bridge,
        Stored::Grid(_, config) => &config.bridge,
    };
    terminal::check_terminal(&bridge.build()?, args.allow_bad_terminal)?;
    if let Start::Complete(steps) = claim::claim(&args.out, &wanted, &args.preset, args.resume)? {
        let out = args.out.display();
        note!("{out}: complete at step {steps}; to continue, use --steps N above {steps}");
        return Ok(());
    }
    source.note.iter().for_each(|note| note!("note: {note}"));
    let (gpu, task, dir) = match &wanted {
        Stored::Toy(config) => toy::prepare(args, config)?,
        Stored::Grid(stage, config) => stages::prepare(args, config, *stage, codes.as_ref())?,
    };
    let mut session = Session::new(gpu.clone(), task, &wanted, dir)?;
    session.begin(args.resume)?;
    let ended = memory::explain(&gpu, &wanted, || session.run());
    keep_caches(&gpu);
    ended?;
    closing::say(args, &wanted, session.evaluation.as_ref());
    Ok(())
}

/// The resolved configuration: that of `source`, overridden by the run that it starts from and by
/// the user's settings.
fn wanted(
    args: &TrainArgs,
    source: &Source,
    stage: Option<Stage>,
    codes: Option<&CodeSet>,
) -> Result<Stored> {
    let section = stage.map_or("train".to_string(), |stage| {
        format!("stages.{}", stage.name())
    });
    let mut sets = args.sets.clone();
    sets.extend(args.steps.map(|steps| format!("{section}.steps={steps}")));
    sets.extend(codes.into_iter().flat_map(codebook::sets));
    if source.kind == Kind::Images {
        sets.extend(args.size.map(|size| format!("vqvae.size={size}")));
        // With --size, images are squashed by default.
        let resize = args.reading.resize.or(args.size.map(|_| Resize::Squash));
        sets.extend(resize.map(|resize| format!("data.resize={}", resize.name())));
        sets.extend(
            args.reading
                .skip_broken
                .then(|| "data.skip_broken=true".to_string()),
        );
    }
    let before = if args.resume {
        run_dir::stored(&args.out).ok()
    } else {
        None
    };
    // A resumed training keeps its original warm-up, even if its number of steps changes.
    let warmup = format!("{section}.warmup");
    if let Some(before) = before
        .as_ref()
        .filter(|before| before.section() == section && !source.says(&sets, &warmup))
    {
        sets.push(format!("{warmup}={}", before.train().warmup));
    }
    let inherited = Inherited::of(args, before, stage)?;
    let experiment = source.experiment(&sets, inherited.values())?;
    inherited.explain(source, &sets, &experiment)?;
    Ok(Stored::new(experiment, stage).expect("images have a stage here"))
}
