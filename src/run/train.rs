//! `dbvq-wgpu train`: Algorithm 1, with checkpoints that survive anything.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::progress::Progress;
use super::run_dir::{self, RunDir};
use super::{Device, keep_pipelines, schedule};
use crate::config::{Config, Levels, TrainConfig};
use crate::data::toy;
use crate::error::{Error, Result};
use crate::gpu::{Counters, Gpu};
use crate::models::dbvq::{Losses, Toy};
use crate::nn::Module;
use crate::nn::checkpoint;
use crate::nn::optim::{Adam, AdamOptions, Group};
use crate::philox::Stream;
use crate::tensor::{Codes, Tensor};

/// Arguments of `train`.
#[derive(Clone, Debug)]
pub struct TrainArgs {
    /// A preset's name or a TOML file.
    pub preset: String,
    /// The run directory.
    pub out: PathBuf,
    /// `key.path=value`, over the preset.
    pub sets: Vec<String>,
    /// Go on where the run directory's checkpoint stands.
    pub resume: bool,
    /// Train on a schedule whose end is far from the prior.
    pub allow_bad_terminal: bool,
    /// The adapter.
    pub device: Device,
}

/// Philox streams of a step's host draws; those on the GPU are in `models::dbvq`.
const SEQUENCES: u32 = 0x100;
const LEVELS: u32 = 0x101;

/// Trains.
///
/// # Errors
/// Whatever the outside world does; see [`Error`].
pub fn run(args: &TrainArgs) -> Result<()> {
    let config = Config::load(&args.preset, &args.sets)?;
    schedule::check_terminal(&config.bridge.build()?, args.allow_bad_terminal)?;
    if !args.resume && checkpoint::exists(&args.out) {
        let what = format!("{} holds a run already; go on with --resume, or choose another --out", args.out.display());
        return Err(Error::Usage(what));
    }
    if args.resume && !args.out.is_dir() {
        return Err(Error::checkpoint(&args.out, "there is no run to resume; check --out"));
    }
    let dir = RunDir::open(&args.out)?;
    if args.resume && args.out.join("config.toml").exists() {
        agree(&run_dir::config(&args.out)?, &config)?;
    }
    let gpu = args.device.open()?;
    let mut session = Session::new(gpu, config, dir)?;
    session.dir.write_config(&session.config)?;
    if args.resume && checkpoint::exists(&args.out) {
        session.restore()?;
    } else {
        session.dir.rewind(0)?;
    }
    session.train()?;
    keep_pipelines(&session.gpu);
    Ok(())
}

/// A resumed run must be the same run.
fn agree(stored: &Config, wanted: &Config) -> Result<()> {
    if stored == wanted {
        return Ok(());
    }
    let (stored, wanted) = (stored.to_toml(), wanted.to_toml());
    let differs = stored.lines().zip(wanted.lines()).find(|(a, b)| a != b);
    let (a, b) = differs.unwrap_or(("a section more or less", ""));
    Err(Error::Config(format!(
        "--resume: the run has `{a}`, this command `{b}`; give the same preset and --set, or choose another --out"
    )))
}

struct Session {
    config: Config,
    dir: RunDir,
    gpu: Gpu,
    model: Toy,
    adam: Adam,
    step: u64,
    stop: Arc<AtomicUsize>,
    levels: Vec<f64>,
}

impl Session {
    fn new(gpu: Gpu, config: Config, dir: RunDir) -> Result<Session> {
        let mut model = Toy::new(&gpu, &config)?;
        let t = &config.train;
        let options = AdamOptions { beta1: t.beta1, beta2: t.beta2, eps: t.eps, weight_decay: t.weight_decay };
        // Codes have a learning rate of their own, and stay out of the denoiser's clipping.
        let adam = Adam::new(&gpu, &mut model, options, |path| usize::from(path == "codebook"));
        let stop = Arc::new(AtomicUsize::new(0));
        for (signal, code) in [(signal_hook::consts::SIGINT, 130), (signal_hook::consts::SIGTERM, 143)] {
            signal_hook::flag::register_usize(signal, stop.clone(), code).map_err(Error::io(&dir.path))?;
        }
        let levels = cumulative(t.levels, model.bridge.steps());
        Ok(Session { gpu, model, adam, step: 0, stop, levels, config, dir })
    }

    fn restore(&mut self) -> Result<()> {
        let (found, note) = checkpoint::newest(&self.dir.path)?;
        if let Some(note) = note {
            eprintln!("warning: {note}");
        }
        if found.model != self.config.model_text() || found.seed != self.config.seed {
            return Err(Error::checkpoint(&found.path, "is of another configuration; give the same preset and --set"));
        }
        if found.path != checkpoint::path(&self.dir.path) {
            checkpoint::fall_back(&self.dir.path)?;
        }
        self.adam.import(|name, shape| found.tensor(name, shape))?;
        self.step = found.step;
        self.dir.rewind(self.step)
    }

    /// Writes a checkpoint, unless the update left the finite numbers: the last good one must stay.
    fn save(&self) -> Result<()> {
        let entries = self.adam.export();
        if let Some((name, ..)) = entries.iter().find(|(_, _, values)| values.iter().any(|v| !v.is_finite())) {
            return Err(self.diverged(&format!("{name} is not finite")));
        }
        checkpoint::save(&self.dir.path, self.step, self.config.seed, &self.config.model_text(), &entries)
    }

    fn train(&mut self) -> Result<()> {
        let (steps, first) = (self.config.train.steps, self.step);
        if first >= steps {
            eprintln!("{}: complete at step {first}", self.dir.path.display());
            return Ok(());
        }
        let parameters = self.model.parameters();
        eprintln!("training {parameters} parameters on {} into {}", self.gpu.facts().name, self.dir.path.display());
        let mut progress = Progress::new("train", first, steps);
        let begin = Instant::now();
        let mut steady: Option<(u64, Counters, Instant)> = None;
        while self.step < steps {
            let (losses, norm) = self.one_step();
            self.gpu.submit();
            self.step += 1;
            let every = |n: u64| self.step.is_multiple_of(n) || self.step == steps;
            let (log, save) = (every(self.config.train.log_every), every(self.config.train.checkpoint_every));
            let stop = self.stop.load(Ordering::Relaxed);
            if log || save || stop != 0 {
                let loss = self.report(&losses, &norm, log, first, begin)?;
                progress.at(self.step, || format!("loss {loss:.4}"));
            }
            if save || stop != 0 {
                self.save()?;
            }
            if stop != 0 {
                let what = format!("stopped at step {}, saved; go on with --resume", self.step);
                return Err(Error::Interrupted { code: stop as u8, what });
            }
            // Two log intervals in, every kind of step has been met once.
            if steady.is_none() && self.step >= first + 2 * self.config.train.log_every {
                self.gpu.reset_profile();
                steady = Some((self.step, self.gpu.counters(), Instant::now()));
            }
        }
        progress.finish();
        let seconds = begin.elapsed().as_secs_f64();
        eprintln!("{} steps in {seconds:.1} s, {:.2} ms each", steps - first, 1e3 * seconds / (steps - first) as f64);
        self.print_steady(steady);
        Ok(())
    }

    /// One step of Algorithm 1: recorded, not waited for. Returns the losses and the gradient's norm.
    fn one_step(&self) -> (Losses, Tensor) {
        let (t, i) = (&self.config.train, self.step as u32);
        let stream = Stream { seed: self.config.seed, step: i, stream: 0 };
        let q = toy::sequences(Stream { stream: SEQUENCES, ..stream }, t.batch);
        let q = Codes::from_slice(&self.gpu, &q, [t.batch, toy::LENGTH]);
        let levels = Codes::from_slice(&self.gpu, &self.draw_levels(stream), [t.batch]);
        let losses = self.model.losses(&q, &levels, stream);
        let grads = losses.total.backward();
        let ema = t.ema.min((1.0 + self.step as f64) / (10.0 + self.step as f64));
        let norm = self.adam.step(&grads, &self.groups(), i + 1, ema);
        (losses, norm)
    }

    /// Learning rates of the denoiser and of the codes.
    fn groups(&self) -> [Group; 2] {
        let t = &self.config.train;
        let codes = self
            .config
            .codes
            .as_ref()
            .map_or(0.0, |c| c.lr * (0.01 + 0.99 * half_cosine(self.step as f64 / c.anneal_steps as f64)));
        [Group { lr: learning_rate(t, self.step), clip: t.clip }, Group { lr: codes, clip: 0.0 }]
    }

    /// Levels of a batch, stratified: u_i = (u + i/n) mod 1 through the inverse distribution function.
    fn draw_levels(&self, stream: Stream) -> Vec<u32> {
        let n = self.config.train.batch;
        let u = f64::from(Stream { stream: LEVELS, ..stream }.uniform(0));
        let level = |i: usize| {
            let at = (u + i as f64 / n as f64).fract();
            self.levels.partition_point(|&c| c <= at).min(self.levels.len() - 1) as u32 + 1
        };
        (0..n).map(level).collect()
    }

    /// The end of a run that left the finite numbers.
    fn diverged(&self, what: &str) -> Error {
        let (step, every, dir) = (self.step, self.config.train.log_every, self.dir.path.display());
        let kept = match checkpoint::exists(&self.dir.path) {
            true => format!("the last good checkpoint in {dir} is kept; "),
            false => String::new(),
        };
        let advice = "train with a smaller train.lr into another --out";
        Error::Diverged(format!("{what}, found at step {step} (looked at every {every} steps); {kept}{advice}"))
    }

    /// Reads the losses back, logs them if `log`, and stops a run that left the finite numbers.
    fn report(&mut self, losses: &Losses, norm: &Tensor, log: bool, first: u64, begin: Instant) -> Result<f32> {
        let total = losses.total.item();
        let norm = norm.to_vec()[0];
        if !total.is_finite() || !norm.is_finite() {
            return Err(self.diverged(&format!("the loss is {total} and its gradient's norm {norm}")));
        }
        if log {
            let mut line = Map::from_iter([("step".to_string(), json!(self.step)), ("loss".to_string(), json!(total))]);
            for (name, part) in &losses.parts {
                line.insert((*name).to_string(), json!(part.item()));
            }
            line.insert("grad_norm".into(), json!(norm));
            line.insert("lr".into(), json!(learning_rate(&self.config.train, self.step - 1)));
            line.insert(
                "steps_per_second".into(),
                Value::from((self.step - first) as f64 / begin.elapsed().as_secs_f64()),
            );
            self.dir.log(line)?;
        }
        Ok(total)
    }

    /// What a step costs once everything has been met before; under `DBVQ_PROFILE=1`.
    fn print_steady(&self, steady: Option<(u64, Counters, Instant)>) {
        let (Some(kernels), Some((from, before, begin))) = (self.gpu.profile(), steady) else { return };
        let (now, steps) = (self.gpu.counters(), self.step - from);
        if steps == 0 {
            return;
        }
        let wall = begin.elapsed().as_secs_f64() * 1e3 / steps as f64;
        let gpu = kernels.values().map(|k| k.time.as_secs_f64()).sum::<f64>() * 1e3 / steps as f64;
        eprintln!(
            "steady state over {steps} steps: {:.1} dispatches a step",
            (now.dispatches - before.dispatches) as f64 / steps as f64
        );
        eprintln!(
            "created meanwhile: {} buffers, {} bind groups, {} pipelines; {} submits, {} waits",
            now.buffers - before.buffers,
            now.bind_groups - before.bind_groups,
            now.pipelines - before.pipelines,
            now.submits - before.submits,
            now.waits - before.waits
        );
        eprintln!(
            "{wall:.2} ms a step, {gpu:.2} ms of it in kernels ({:.0} %); {} KiB of GPU memory",
            100.0 * gpu / wall,
            now.peak_bytes >> 10
        );
        super::print_profile(&self.gpu);
    }
}

/// ½(1 + cos πx), 0 from x = 1 on.
fn half_cosine(x: f64) -> f64 {
    0.5 * (1.0 + (std::f64::consts::PI * x.min(1.0)).cos())
}

/// Linear warm-up, then a cosine to 0.
fn learning_rate(t: &TrainConfig, step: u64) -> f64 {
    let warm = ((step + 1) as f64 / t.warmup.max(1) as f64).min(1.0);
    t.lr * warm * half_cosine(step as f64 / t.steps as f64)
}

/// Cumulative law of t on 1..T.
fn cumulative(levels: Levels, steps: usize) -> Vec<f64> {
    let mass = |t: usize| match levels {
        Levels::Uniform {} => 1.0,
        Levels::Bump { centre, width, floor } => {
            (-0.5 * ((t as f64 / steps as f64 - centre) / width).powi(2)).exp() + floor
        }
    };
    let total: f64 = (1..=steps).map(mass).sum();
    let mut sum = 0.0;
    (1..=steps)
        .map(|t| {
            sum += mass(t) / total;
            sum
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_warms_up_and_falls_to_nothing() {
        let t = TrainConfig { lr: 1.0, warmup: 10, steps: 100, ..TrainConfig::default() };
        assert!((learning_rate(&t, 0) - 0.1).abs() < 1e-9);
        assert!(learning_rate(&t, 12) > 0.9 && learning_rate(&t, 99) < 1e-3);
    }

    #[test]
    fn the_law_of_levels_is_a_law() {
        for levels in [Levels::Uniform {}, TrainConfig::default().levels] {
            let law = cumulative(levels, 50);
            assert!((law[49] - 1.0).abs() < 1e-12 && law.is_sorted());
        }
    }
}
