//! The toy's training, on points sampled afresh at every step.

use crate::config::{Config, Stored};
use crate::data::toy;
use crate::error::{Error, Result};
use crate::experiment::learning_rate::{averaging, half_cosine, learning_rate};
use crate::experiment::levels::LevelLaw;
use crate::experiment::run_dir;
use crate::experiment::run_dir::RunDir;
use crate::experiment::session::{Report, Task};
use crate::experiment::train_args::TrainArgs;
use crate::gpu::Gpu;
use crate::models::toy::Toy;
use crate::nn::Module;
use crate::nn::checkpoint::{Checkpoint, Entry};
use crate::nn::optim::{Group, GroupedAdam, Moments};
use crate::philox::{Draw, Stream};
use crate::tensor::Codes;

/// Creates the toy's task and its run directory with the configuration.
///
/// # Errors
/// [`Error::Usage`] for image flags, and errors of the run that it starts from.
pub(in crate::experiment) fn prepare(
    args: &TrainArgs,
    config: &Config,
) -> Result<(Gpu, Box<dyn Task>, RunDir)> {
    if args.stage.is_some()
        || args.data.is_some()
        || args.size.is_some()
        || args.reading.are_given()
    {
        let what = "is a toy: it takes no --stage, --data, --size, --resize, --crop, --skip-broken or --memory";
        return Err(Error::Usage(format!("{} {what}", args.preset)));
    }
    let start = match &args.from {
        Some(run) => {
            run_dir::config(run)?;
            Some(run_dir::newest(run)?)
        }
        None => None,
    };
    let mut dir = RunDir::open(&args.out)?;
    let gpu = args.device.open()?;
    let task = ToyTask::from(&gpu, config, start.as_ref())?;
    dir.write_config(&Stored::Toy(Box::new(config.clone())))?;
    Ok((gpu, Box::new(task), dir))
}

/// Algorithm 1 on the toy.
pub(crate) struct ToyTask {
    config: Config,
    gpu: Gpu,
    model: Toy,
    adam: GroupedAdam,
    levels: LevelLaw,
}

impl ToyTask {
    pub fn new(gpu: &Gpu, config: &Config) -> Result<ToyTask> {
        ToyTask::from(gpu, config, None)
    }

    /// Starts from the averaged weights of `start`, if given.
    fn from(gpu: &Gpu, config: &Config, start: Option<&Checkpoint>) -> Result<ToyTask> {
        let mut model = Toy::new(gpu, config)?;
        start.map_or(Ok(()), |found| found.weights(gpu, &mut model, "ema."))?;
        // Codes have their own learning rate and are excluded from the denoiser's clipping.
        let adam = GroupedAdam::new(gpu, &mut model, Moments::from(&config.train), |path| {
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
