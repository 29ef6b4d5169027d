//! `dbvq-wgpu train`: Algorithm 1, with crash-safe checkpoints.

use super::claim::{self, Start};
use super::device::keep_caches;
use super::inherited::Inherited;
use super::session::Session;
use super::stages::{closing, toy};
use super::train_args::TrainArgs;
use super::{memory, run_dir, stages, terminal};
use crate::config::{Kind, Overrides, Resize, Source, Stage, Stored};
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

/// The resolved configuration: that of `source`, overridden by the run that it starts from, by the
/// user's settings and by the sizes of the data set `codes`.
fn wanted(
    args: &TrainArgs,
    source: &Source,
    stage: Option<Stage>,
    codes: Option<&CodeSet>,
) -> Result<Stored> {
    let before = if args.resume {
        run_dir::stored(&args.out).ok()
    } else {
        None
    };
    // A resumed training keeps its original warm-up, even if its number of steps changes.
    let resumed = before.as_ref().filter(|before| before.stage() == stage);
    let warmup = resumed.map(|before| before.train().warmup);
    let inherited = Inherited::of(args, before, stage)?;
    // With --size, images are squashed by default.
    let resize = args.reading.resize.or(args.size.map(|_| Resize::Squash));
    let vectors = codes.and_then(|codes| codes.codebook.as_ref());
    let over = Overrides {
        inherited: inherited.values().clone(),
        sets: &args.sets,
        seed: args.seed,
        stage,
        steps: args.steps,
        warmup,
        size: args.size,
        resize,
        skip_broken: args.reading.skip_broken,
        codes: codes.map(|codes| codes.count),
        grid: codes.map(|codes| codes.grid),
        dim: vectors.map(|(_, dim)| *dim),
    };
    let experiment = source.experiment(&over)?;
    inherited.explain(source, &over, &experiment)?;
    Ok(Stored::new(experiment, stage).expect("images have a stage here"))
}
