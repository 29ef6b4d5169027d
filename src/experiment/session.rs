//! The training loop shared by all tasks: steps, log, crash-safe checkpoints, stopping, resuming.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::claim;
use super::device::keep_answers;
use super::learning_rate::learning_rate;
use super::run_dir::{self, RunDir};
use crate::config::{Stored, TrainConfig};
use crate::error::{Error, Result};
use crate::gpu::{Counters, Gpu};
use crate::nn::Module;
use crate::nn::checkpoint::{self, Checkpoint, Entry};
use crate::report::progress::Progress;
use crate::tensor::Tensor;

/// Results of a step, still on the GPU.
pub struct Report {
    /// The loss that is minimised.
    pub total: Tensor,
    /// Its parts, by their names in `metrics.jsonl`.
    pub parts: Vec<(&'static str, Tensor)>,
    /// The gradient norm before clipping is its first element.
    pub norm: Tensor,
}

/// One kind of training, run by the loop.
pub trait Task {
    /// The model being trained.
    fn model(&mut self) -> &mut dyn Module;

    /// Number of trained parameters.
    fn parameters(&mut self) -> usize {
        self.model().parameters()
    }

    /// Prepares what a new training needs and a resumed one restores from its checkpoint.
    ///
    /// # Errors
    /// Trouble with the data.
    fn start(&mut self) -> Result<()> {
        Ok(())
    }

    /// Runs step number `step`, from 0, without waiting for the GPU.
    ///
    /// # Errors
    /// Trouble with the data.
    fn step(&mut self, step: u64) -> Result<Report>;

    /// Everything a checkpoint needs. Waits for the GPU.
    fn export(&self) -> Vec<Entry>;

    /// Restores the state from [`Task::export`]; training continues after `found.step` steps.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if a tensor is missing.
    fn import(&mut self, found: &Checkpoint) -> Result<()>;

    /// Adds further metrics to a line of `metrics.jsonl`.
    fn metrics(&mut self, _line: &mut Map<String, Value>) {}

    /// Evaluates on held-out data after `step` steps, if due; pictures go to `dir`.
    ///
    /// # Errors
    /// [`Error::Io`] for the pictures.
    fn evaluate(&mut self, _step: u64, _dir: &Path) -> Result<Option<Map<String, Value>>> {
        Ok(None)
    }
}

/// A training and its progress.
pub struct Session {
    /// The device.
    pub gpu: Gpu,
    /// The task.
    pub task: Box<dyn Task>,
    /// Optimisation settings.
    pub train: TrainConfig,
    /// The run directory.
    pub dir: RunDir,
    /// The run's seed.
    pub seed: u64,
    /// Description of the model, which a checkpoint must match.
    pub model: String,
    /// Steps done.
    pub step: u64,
    /// Wall-clock seconds of the earlier parts of a resumed run.
    pub seconds: f64,
    /// Set to the exit code by signals; 0 until then.
    pub stop: Arc<AtomicUsize>,
    /// Metrics of the last evaluation on held-out data.
    pub evaluation: Option<Map<String, Value>>,
}

/// The signals that stop a program, and the exit code of each.
pub fn signals() -> Vec<(i32, usize)> {
    #[cfg(unix)]
    let hangup = (!hangup_is_ignored()).then_some((signal_hook::consts::SIGHUP, 129));
    #[cfg(not(unix))]
    let hangup = None;
    [
        (signal_hook::consts::SIGINT, 130),
        (signal_hook::consts::SIGTERM, 143),
    ]
    .into_iter()
    .chain(hangup)
    .collect()
}

/// Whether SIGHUP is ignored, as under `nohup`.
#[cfg(unix)]
#[expect(
    unsafe_code,
    reason = "no library in use asks what is done about a signal without changing it"
)]
fn hangup_is_ignored() -> bool {
    // SAFETY: an all-zero `sigaction` is a valid one, and with a null action the call only writes
    // the old one there.
    unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGHUP, std::ptr::null(), &raw mut old) == 0
            && old.sa_sigaction == libc::SIG_IGN
    }
}

/// The process-wide flag that SIGINT, SIGTERM and SIGHUP set to the exit code. Errors name `dir`.
///
/// # Errors
/// [`Error::Io`] if the handlers cannot be installed.
pub fn stop_flag(dir: &Path) -> Result<Arc<AtomicUsize>> {
    static FLAG: OnceLock<Arc<AtomicUsize>> = OnceLock::new();
    if let Some(flag) = FLAG.get() {
        return Ok(flag.clone());
    }
    let flag = FLAG.get_or_init(Arc::default).clone();
    for (signal, code) in signals() {
        signal_hook::flag::register_usize(signal, flag.clone(), code).map_err(Error::io(dir))?;
    }
    Ok(flag)
}

impl Session {
    /// Creates a training that has not begun.
    ///
    /// # Errors
    /// Errors of [`stop_flag`].
    pub fn new(gpu: Gpu, task: Box<dyn Task>, config: &Stored, dir: RunDir) -> Result<Session> {
        let stop = stop_flag(&dir.path)?;
        Ok(Session {
            gpu,
            task,
            train: config.train().clone(),
            dir,
            seed: config.seed(),
            model: config.model_text(),
            step: 0,
            seconds: 0.0,
            stop,
            evaluation: None,
        })
    }

    /// Starts from step 0, or with `resume` from the checkpoint in the run directory, if any.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the checkpoint does not fit.
    pub fn begin(&mut self, resume: bool) -> Result<()> {
        if resume && checkpoint::exists(&self.dir.path) {
            self.restore()?;
            self.dir.note_saved();
            return Ok(());
        }
        self.task.start()?;
        self.dir.rewind(0)
    }

    fn restore(&mut self) -> Result<()> {
        let found = run_dir::newest(&self.dir.path)?;
        if found.model != self.model || found.seed != self.seed {
            return Err(Error::checkpoint(&found.path, claim::OTHER));
        }
        if found.path != checkpoint::path(&self.dir.path) {
            checkpoint::fall_back(&self.dir.path)?;
        }
        self.task.import(&found)?;
        self.step = found.step;
        self.dir.rewind(self.step)?;
        self.seconds = run_dir::wall_seconds(&run_dir::metrics(&self.dir.path)?).unwrap_or(0.0);
        Ok(())
    }

    /// Writes a checkpoint unless it would hold NaN or infinity: the last good one must stay.
    fn save(&mut self) -> Result<()> {
        let entries = self.task.export();
        if let Some((name, ..)) = entries
            .iter()
            .find(|(_, _, values)| values.iter().any(|v| !v.is_finite()))
        {
            return Err(self.diverged(&format!("{name} is not finite")));
        }
        // Before the checkpoint, so that a run resumed from it after a kill uses the same kernels.
        keep_answers(&self.gpu);
        checkpoint::save(&self.dir.path, self.step, self.seed, &self.model, &entries)?;
        self.dir.note_saved();
        Ok(())
    }

    /// Trains to the last step.
    ///
    /// # Errors
    /// [`Error::Diverged`], [`Error::Interrupted`] on a signal, or errors of the data and files.
    pub fn run(&mut self) -> Result<()> {
        let steps = self.train.steps;
        let first = self.step;
        if first >= steps {
            return Ok(());
        }
        let parameters = self.task.parameters();
        note!(
            "training {parameters} parameters on {} into {}",
            self.gpu.facts().name,
            self.dir.path.display()
        );
        self.dir.log_session(first, steps, &self.gpu)?;
        warn_of_warmup(&self.train);
        let mut progress = Progress::new("train", first, steps);
        let begin = Instant::now();
        let mut steady: Option<(u64, Counters, Instant)> = None;
        while self.step < steps {
            let report = self.task.step(self.step)?;
            self.gpu.submit();
            self.step += 1;
            let every = |n: u64| self.step.is_multiple_of(n) || self.step == steps;
            let log = every(self.train.log_every);
            let save = every(self.train.checkpoint_every);
            let stop = self.stop.load(Ordering::Relaxed);
            if log || save || stop != 0 {
                let loss = self.report(&report, log, first, begin)?;
                progress.at(self.step, || format!("loss {loss:.4}"));
            }
            // Before the checkpoint: a kill in between repeats the evaluation, not skips it.
            if let Some(mut line) = self.task.evaluate(self.step, &self.dir.path)? {
                line.insert("step".into(), json!(self.step));
                self.evaluation = Some(line.clone());
                self.dir.log(line)?;
                self.dir.log_pictures(self.step)?;
            }
            if save || stop != 0 {
                self.save()?;
            }
            if stop != 0 {
                let what = format!(
                    "stopped at step {}, saved; continue with --resume",
                    self.step
                );
                return Err(Error::Interrupted {
                    code: stop as u8,
                    what,
                });
            }
            // After two log intervals, every kind of step has occurred once.
            if steady.is_none() && self.step >= first + 2 * self.train.log_every {
                self.gpu.reset_profile();
                steady = Some((self.step, self.gpu.counters(), Instant::now()));
            }
        }
        progress.finish();
        let seconds = begin.elapsed().as_secs_f64();
        note!(
            "{} steps in {seconds:.1} s, {:.2} ms each",
            steps - first,
            1e3 * seconds / (steps - first) as f64
        );
        self.print_steady(steady);
        Ok(())
    }

    /// The error for a run with NaN or infinite values.
    fn diverged(&self, what: &str) -> Error {
        let step = self.step;
        let every = self.train.log_every;
        let dir = self.dir.path.display();
        let kept = if checkpoint::exists(&self.dir.path) {
            format!("the last good checkpoint in {dir} is kept; ")
        } else {
            String::new()
        };
        let advice = "train with a smaller learning rate (train.lr, or stages.STAGE.lr of an image preset) into another --out";
        Error::Diverged(format!(
            "{what}, found at step {step} (checked every {every} steps); {kept}{advice}"
        ))
    }

    /// Reads back the losses, logs them if `log`, and fails if loss or gradient norm is not finite.
    fn report(&mut self, report: &Report, log: bool, first: u64, begin: Instant) -> Result<f32> {
        let total = report.total.item();
        let norm = report.norm.to_vec()[0];
        if !total.is_finite() || !norm.is_finite() {
            return Err(self.diverged(&format!(
                "the loss is {total} and its gradient's norm {norm}"
            )));
        }
        if log {
            let mut line = Map::from_iter([
                ("step".to_string(), json!(self.step)),
                ("loss".to_string(), json!(total)),
            ]);
            for (name, part) in &report.parts {
                line.insert((*name).to_string(), json!(part.item()));
            }
            line.insert("grad_norm".into(), json!(norm));
            line.insert(
                "lr".into(),
                json!(learning_rate(&self.train, self.step - 1)),
            );
            let seconds = begin.elapsed().as_secs_f64();
            line.insert(
                "steps_per_second".into(),
                json!((self.step - first) as f64 / seconds),
            );
            line.insert("seconds".into(), json!(self.seconds + seconds));
            self.task.metrics(&mut line);
            self.dir.log(line)?;
        }
        Ok(total)
    }

    /// Prints the steady-state cost of a step, if profiling is on (`DBVQ_PROFILE=1`).
    fn print_steady(&self, steady: Option<(u64, Counters, Instant)>) {
        let (Some(kernels), Some((from, before, begin))) = (self.gpu.profile(), steady) else {
            return;
        };
        let now = self.gpu.counters();
        let steps = self.step - from;
        if steps == 0 {
            return;
        }
        let wall = begin.elapsed().as_secs_f64() * 1e3 / steps as f64;
        let gpu = kernels.values().map(|k| k.time.as_secs_f64()).sum::<f64>() * 1e3 / steps as f64;
        note!(
            "steady state over {steps} steps: {:.1} dispatches a step",
            (now.dispatches - before.dispatches) as f64 / steps as f64
        );
        note!(
            "created meanwhile: {} buffers, {} bind groups, {} pipelines; {} submits, {} waits",
            now.buffers - before.buffers,
            now.bind_groups - before.bind_groups,
            now.pipelines - before.pipelines,
            now.submits - before.submits,
            now.waits - before.waits
        );
        note!(
            "{wall:.2} ms a step, {gpu:.2} ms of it in kernels ({:.0} %); {} KiB of GPU memory",
            100.0 * gpu / wall,
            now.peak_bytes >> 10
        );
        crate::experiment::device::print_profile(&self.gpu);
    }
}

/// Warns of a training that ends before its learning rate has reached the peak.
fn warn_of_warmup(t: &TrainConfig) {
    if t.steps <= t.warmup && t.warmup > 1 {
        note!(
            "warning: the warm-up takes {} steps, the training {}: the learning rate never reaches lr = {}; train longer, or \
             set a shorter warmup",
            t.warmup,
            t.steps,
            t.lr
        );
    }
}
