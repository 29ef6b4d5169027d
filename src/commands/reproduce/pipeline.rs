//! The stages of a reproduction, run in order: prints numbered lines, reuses or resumes trainings,
//! and keeps results.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::report::FILES;
use super::training::Training;
use crate::config::Stored;
use crate::error::{Error, Result};
use crate::experiment::train_args::TrainArgs;
use crate::experiment::{claim, run_dir, session, train};
use crate::nn::checkpoint;
use crate::report::product::{self, Folder, Form};

/// Folder of kept results in the directory of a reproduction.
const KEPT: &str = "kept";
/// Figures of a reproduction whose names do not begin with `figure-`.
const OTHER_FIGURES: [&str; 5] = [
    "samples.png",
    "steps.png",
    "training.png",
    "training-joint.png",
    "end-to-end-samples.png",
];

/// A required training.
pub struct Wanted {
    /// Its name in `runs/`.
    pub name: String,
    /// How to train it; the pipeline sets `out` and `resume`.
    pub args: TrainArgs,
    /// Its configuration.
    pub config: Stored,
}

/// The kept result of a stage.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Fingerprint of its inputs; if that differs, the stage runs again.
    from: String,
    /// Files that the stage wrote.
    files: Vec<String>,
    result: Value,
}

/// The stages.
pub struct Pipeline {
    out: PathBuf,
    stage: usize,
    /// Total number of stages.
    pub stages: usize,
    begin: Instant,
    /// Whether a signal may end the process immediately.
    idle: Arc<AtomicBool>,
    /// Removed at the end if empty.
    _folders: [Folder; 2],
}

impl Pipeline {
    /// A pipeline in the directory `out`; the caller sets `stages` afterwards.
    ///
    /// # Errors
    /// [`Error::Usage`] if files of the user would be replaced, [`Error::Io`] if `out` cannot be
    /// created.
    pub fn new(out: &Path) -> Result<Pipeline> {
        let folder = Folder::open(out, &FILES, None)?;
        // The inner folder is removed first.
        let folders = [Folder::make(&out.join(KEPT))?, folder];
        pictures_are_ours(out)?;
        session::stop_flag(out)?;
        let idle = Arc::new(AtomicBool::new(true));
        for (signal, code) in session::signals() {
            // Files are written atomically, so only a training has to save something before it
            // stops.
            signal_hook::flag::register_conditional_shutdown(signal, code as i32, idle.clone())
                .map_err(Error::io(out))?;
        }
        Ok(Pipeline {
            out: out.into(),
            stage: 0,
            stages: 0,
            begin: Instant::now(),
            idle,
            _folders: folders,
        })
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.begin.elapsed().as_secs_f64()
    }

    /// Starts the next stage.
    pub fn next(&mut self, name: &str, what: &str) {
        self.stage += 1;
        note!("{}/{} {name}: {what}", self.stage, self.stages);
    }

    /// The run directory `name`.
    pub fn run(&self, name: &str) -> PathBuf {
        self.out.join("runs").join(name)
    }

    /// Trains `wanted`, resuming an interrupted run, unless it is finished already.
    ///
    /// # Errors
    /// [`Error::Config`] if a run with another configuration exists there, and those of
    /// [`train::run`].
    pub fn train(&mut self, wanted: Wanted) -> Result<Training> {
        let Wanted {
            name,
            mut args,
            config,
        } = wanted;
        let steps = config.train().steps;
        let run = self.run(&name);
        let mut step = 0;
        if run.join("config.toml").exists() {
            agree(&run, &run_dir::stored(&run)?, &config)?;
            if checkpoint::exists(&run) {
                step = checkpoint::newest(&run)?.0.step;
            }
        }
        if step >= steps {
            self.next(&name, &format!("exists ({step} steps), used as it is"));
        } else {
            let from = if step > 0 {
                format!(", continuing at {step}")
            } else {
                String::new()
            };
            self.next(&name, &format!("training {steps} steps{from}"));
            (args.resume, args.out) = (run.is_dir(), run.clone());
            self.idle.store(false, Ordering::SeqCst);
            let done = train::run(&args);
            self.idle.store(true, Ordering::SeqCst);
            done.map_err(|error| match error {
                Error::Interrupted { code, .. } => {
                    let what = format!(
                        "stopped while training {name}, saved; repeat the command to continue"
                    );
                    Error::Interrupted { code, what }
                }
                error => error,
            })?;
        }
        let seconds = run_dir::wall_seconds(&run_dir::metrics(&run)?);
        Ok(Training {
            name,
            steps,
            seconds,
            work: None,
        })
    }

    /// The result of `make`, or the kept one if it was made from the same `from` and the `files` it
    /// wrote still exist.
    ///
    /// # Errors
    /// Those of `make`, and [`Error::Io`].
    pub fn keep<T: Serialize + DeserializeOwned>(
        &mut self,
        name: &str,
        what: &str,
        from: &str,
        files: &[String],
        make: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let file = self
            .out
            .join(KEPT)
            .join(format!("{}.json", name.replace(' ', "-")));
        if let Some(kept) = read(&file).filter(|kept| kept.from == from && self.has(&kept.files))
            && let Ok(result) = serde_json::from_value(kept.result)
        {
            self.next(name, "exists, kept");
            return Ok(result);
        }
        self.next(name, what);
        let begin = Instant::now();
        let result = make()?;
        let kept = Kept {
            from: from.into(),
            files: files.to_vec(),
            result: json!(result),
        };
        let text = serde_json::to_string_pretty(&kept).expect("plain data");
        product::write(&file, Form::Json, text.as_bytes())?;
        note!(
            "{}/{} {name}: done in {:.0} s",
            self.stage,
            self.stages,
            begin.elapsed().as_secs_f64()
        );
        Ok(result)
    }

    fn has(&self, files: &[String]) -> bool {
        files.iter().all(|file| self.out.join(file).exists())
    }
}

/// Fails if a figure of a reproduction would replace a picture of the user.
fn pictures_are_ours(out: &Path) -> Result<()> {
    for entry in std::fs::read_dir(out).map_err(Error::io(out))? {
        let file = entry.map_err(Error::io(out))?.path();
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.ends_with(".png")
            && (name.starts_with("figure-") || OTHER_FIGURES.contains(&name.as_str()))
        {
            product::check(&file, Form::Picture)?;
        }
    }
    Ok(())
}

fn read(file: &Path) -> Option<Kept> {
    parse(&std::fs::read(file).ok()?)
}

fn parse(bytes: &[u8]) -> Option<Kept> {
    serde_json::from_slice(bytes).ok()
}

/// Whether `bytes` are a kept result of type `T`.
pub(crate) fn is_kept<T: DeserializeOwned>(bytes: &[u8]) -> bool {
    parse(bytes).is_some_and(|kept| serde_json::from_value::<T>(kept.result).is_ok())
}

/// Fails if the run at `run` has another configuration than `wanted`.
fn agree(run: &Path, stored: &Stored, wanted: &Stored) -> Result<()> {
    let [stored, wanted] = [stored, wanted].map(|of| {
        let mut table = of.decisive();
        table.insert(
            format!("{}.steps", of.section()),
            (of.train().steps as i64).into(),
        );
        table
    });
    match claim::difference(&stored, &wanted) {
        None => Ok(()),
        Some((has, wants)) => Err(Error::Config(format!(
            "{}: this run has another configuration (it has `{has}`, this command `{wants}`); pass the --set it was \
             trained with, move it away, or choose another --out",
            run.display()
        ))),
    }
}
