//! `dbvq-wgpu train`: Algorithm 1, with checkpoints that survive anything.

use std::path::Path;

use super::claim::{self, Start};
use super::device::keep_caches;
use super::inherited::Inherited;
use super::learning_rate::{averaging, half_cosine, learning_rate};
use super::levels::LevelLaw;
use super::run_dir::{self, RunDir};
use super::session::{Report, Session, Task};
use super::train_args::{TrainArgs, quoted};
use super::{images, terminal};
use crate::config::{Config, Kind, Resize, Source, Stage, Stored};
use crate::data::toy;
use crate::error::{Error, Result};
use crate::gpu::{self, Gpu};
use crate::models::toy::Toy;
use crate::nn::Module;
use crate::nn::checkpoint::{Checkpoint, Entry};
use crate::nn::optim::{Adam, AdamOptions, Group};
use crate::philox::{Draw, Stream};
use crate::report::product::PROGRAM;
use crate::tensor::Codes;

/// Trains.
///
/// # Errors
/// Whatever the outside world does; see [`Error`].
pub fn run(args: &TrainArgs) -> Result<()> {
    let source = Source::open(&args.preset)?;
    let stage = match source.kind {
        Kind::Toy => None,
        kind @ (Kind::Images | Kind::Codes) => Some(images::stage_of(args, kind, source.stage)?),
    };
    let wanted = wanted(args, &source, stage)?;
    let bridge = match &wanted {
        Stored::Toy(config) => &config.bridge,
        Stored::Grid(_, config) => &config.bridge,
    };
    terminal::check_terminal(&bridge.build()?, args.allow_bad_terminal)?;
    if let Start::Complete(steps) = claim::claim(&args.out, &wanted, &args.preset, args.resume)? {
        let out = args.out.display();
        note!("{out}: complete at step {steps}; --steps N with more than {steps} goes on with it");
        return Ok(());
    }
    source.note.iter().for_each(|note| note!("note: {note}"));
    match wanted {
        Stored::Toy(config) => run_toy(args, *config),
        Stored::Grid(stage, config) => images::train(args, &config, stage),
    }
}

/// The configuration of the training: that of `source`, with what the run that it starts from has,
/// and the user's changes.
fn wanted(args: &TrainArgs, source: &Source, stage: Option<Stage>) -> Result<Stored> {
    let section = stage.map_or("train".to_string(), |stage| {
        format!("stages.{}", stage.name())
    });
    let mut sets = args.sets.clone();
    sets.extend(args.steps.map(|steps| format!("{section}.steps={steps}")));
    if source.kind == Kind::Codes {
        sets.extend(images::sizes(args, source, &sets)?);
    }
    if source.kind == Kind::Images {
        sets.extend(args.size.map(|size| format!("vqvae.size={size}")));
        // At another size images are squashed, unless they are to be cut.
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
    // A training that was made shorter, or goes on longer, keeps the warm-up that it began with.
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

fn run_toy(args: &TrainArgs, config: Config) -> Result<()> {
    if args.stage.is_some()
        || args.data.is_some()
        || args.size.is_some()
        || args.reading.are_given()
    {
        let what = "is a toy: it has no --stage, --data, --size, --resize, --crop, --skip-broken nor --memory";
        return Err(Error::Usage(format!("{} {what}", args.preset)));
    }
    let start = args.from.as_deref().map(start_of_toy).transpose()?;
    let mut dir = RunDir::open(&args.out)?;
    let gpu = args.device.open()?;
    let task = ToyTask::from(&gpu, &config, start.as_ref())?;
    let train = config.train.clone();
    let seed = config.seed;
    let model = config.model_text();
    dir.write_config(&Stored::Toy(Box::new(config)))?;
    let mut session = Session::new(gpu, task, train, dir, seed, model)?;
    session.begin(args.resume)?;
    let ended = gpu::catch(|| session.run());
    keep_caches(&session.gpu);
    ended?;
    if args.advise {
        note!(
            "next: {PROGRAM} sample {} --out {}",
            quoted(&args.out),
            quoted(&args.out.join("samples"))
        );
    }
    Ok(())
}

/// The newest checkpoint of the toy's run `run`, to start another one from.
fn start_of_toy(run: &Path) -> Result<Checkpoint> {
    run_dir::config(run)?;
    run_dir::newest(run)
}

/// Algorithm 1 on the toy.
pub(crate) struct ToyTask {
    config: Config,
    gpu: Gpu,
    model: Toy,
    adam: Adam,
    levels: LevelLaw,
}

impl ToyTask {
    pub fn new(gpu: &Gpu, config: &Config) -> Result<ToyTask> {
        ToyTask::from(gpu, config, None)
    }

    /// With the averaged weights of `start`.
    fn from(gpu: &Gpu, config: &Config, start: Option<&Checkpoint>) -> Result<ToyTask> {
        let mut model = Toy::new(gpu, config)?;
        start.map_or(Ok(()), |found| found.weights(gpu, &mut model, "ema."))?;
        // Codes have a learning rate of their own, and stay out of the denoiser's clipping.
        let adam = Adam::new(gpu, &mut model, AdamOptions::from(&config.train), |path| {
            usize::from(path == "codebook")
        });
        let levels = LevelLaw::new(config.train.levels, model.prior.bridge.steps());
        Ok(ToyTask {
            config: config.clone(),
            gpu: gpu.clone(),
            model,
            adam,
            levels,
        })
    }

    /// Learning rates of the denoiser and of the codes.
    fn groups(&self, step: u64) -> [Group; 2] {
        let t = &self.config.train;
        let codes = self.config.codes.as_ref().map_or(0.0, |c| {
            c.lr * (0.01 + 0.99 * half_cosine(step as f64 / c.anneal_steps as f64))
        });
        [
            Group {
                lr: learning_rate(t, step),
                clip: t.clip,
            },
            Group {
                lr: codes,
                clip: 0.0,
            },
        ]
    }
}

impl Task for ToyTask {
    fn model(&mut self) -> &mut dyn Module {
        &mut self.model
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        let t = &self.config.train;
        let i = step as u32;
        let stream = Stream {
            seed: self.config.seed,
            step: i,
            stream: 0,
            first: 0,
        };
        let q = toy::sequences(
            Stream {
                stream: Draw::ToySequences.stream(),
                ..stream
            },
            t.batch,
        );
        let q = Codes::from_slice(&self.gpu, &q, [t.batch, 1, toy::LENGTH]);
        let drawn = self.levels.draw(t.batch, stream);
        let levels = Codes::from_slice(&self.gpu, &drawn, [t.batch]);
        let losses = self.model.losses(&q, &levels, stream);
        let grads = losses.total.backward();
        let norm = self
            .adam
            .step(&grads, &self.groups(step), i + 1, averaging(t.ema, step));
        if let Some(each) = losses.each {
            self.levels.note(drawn, each);
            self.levels.follow(step + 1);
        }
        Ok(Report {
            total: losses.total,
            parts: losses.parts,
            norm,
        })
    }

    fn export(&self) -> Vec<Entry> {
        let mut entries = self.adam.export();
        entries.extend(self.levels.export());
        entries
    }

    fn import(&mut self, found: &Checkpoint) -> Result<()> {
        self.adam.import(|name, shape| found.tensor(name, shape))?;
        self.levels.import(&self.gpu, found)
    }
}
