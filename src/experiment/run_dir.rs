//! A run directory: `config.toml`, `checkpoint.safetensors`, `metrics.jsonl`, `sessions.jsonl`,
//! `data.txt` for image runs, TensorBoard event files, and a lock that keeps two runs apart.
//! `experiment::claim` decides which directories may be trained into.

use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::config::{Config, Stored, decode};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::nn::checkpoint::{self, Checkpoint};
use crate::report::console::REVISION;
use crate::report::product::Folder;
use crate::report::tensorboard::Events;
use crate::report::{console, file};

/// A run directory, locked until dropped.
pub struct RunDir {
    /// Its path.
    pub path: PathBuf,
    metrics: File,
    /// `None` until [`RunDir::rewind`].
    events: Option<Events>,
    lock: File,
    /// What [`RunDir::open`] created, to be removed if no configuration is written.
    empty: Option<Empty>,
}

/// Files and folders created by opening a run; removed on drop.
struct Empty {
    files: Vec<PathBuf>,
    _folder: Folder,
}

/// The lock file.
pub const LOCK: &str = "run.lock";
/// Its content once a checkpoint was saved: a run without a checkpoint has then lost it.
pub const SAVED: &[u8] = b"saved\n";

/// Hash of the checkpoints of `runs`, of `settings` and of this program's version.
///
/// # Errors
/// [`Error::Io`] if a checkpoint cannot be read.
pub fn fingerprint(runs: &[impl AsRef<Path>], settings: &dyn std::fmt::Display) -> Result<String> {
    let mut hash = blake3::Hasher::new();
    for run in runs {
        let file = checkpoint::path(run.as_ref());
        hash.update_reader(File::open(&file).map_err(Error::io(&file))?)
            .map_err(Error::io(&file))?;
    }
    hash.update(settings.to_string().as_bytes())
        .update(env!("CARGO_PKG_VERSION").as_bytes());
    Ok(hash.finalize().to_hex().to_string())
}

impl Drop for Empty {
    fn drop(&mut self) {
        self.files
            .iter()
            .for_each(|file| _ = std::fs::remove_file(file));
    }
}

impl RunDir {
    /// Creates or opens `path` and locks it. What it created is removed on drop unless a
    /// configuration is written.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process holds the lock, [`Error::Io`] if it cannot be written.
    pub fn open(path: &Path) -> Result<RunDir> {
        let folder = Folder::make(path)?;
        let missing = |name: &str| Some(path.join(name)).filter(|file| !file.exists());
        let files = [LOCK, "metrics.jsonl"]
            .into_iter()
            .filter_map(missing)
            .collect();
        let empty = Some(Empty {
            files,
            _folder: folder,
        });
        let file = path.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&file)
            .map_err(Error::io(&file))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(Error::Locked(path.to_path_buf()));
            }
            Err(std::fs::TryLockError::Error(e)) => return Err(Error::io(&file)(e)),
        }
        let file = path.join("metrics.jsonl");
        let metrics = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&file)
            .map_err(Error::io(&file))?;
        Ok(RunDir {
            path: path.to_path_buf(),
            metrics,
            events: None,
            lock,
            empty,
        })
    }

    /// Writes the resolved configuration as TOML, unless it is there already.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_config(&mut self, config: &Stored) -> Result<()> {
        let text = config.to_toml();
        if !stored(&self.path).is_ok_and(|stored| stored.to_toml() == text) {
            file::write(&self.path.join(CONFIG), text.as_bytes())?;
        }
        self.empty.iter_mut().for_each(|empty| empty.files.clear());
        Ok(())
    }

    /// Records in the lock file that a checkpoint was saved. Only a hint: write errors are ignored.
    pub fn note_saved(&mut self) {
        let _ = self
            .lock
            .seek(std::io::SeekFrom::Start(0))
            .and_then(|_| self.lock.write_all(SAVED));
    }

    /// Appends a line to `sessions.jsonl`: program, command, adapter and precision of the training
    /// from `step` to `steps`. A training started over appends too.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn log_session(&self, step: u64, steps: u64, gpu: &Gpu) -> Result<()> {
        let facts = gpu.facts();
        let command: Vec<String> = std::env::args_os()
            .skip(1)
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect();
        let line = json!({
            "step": step,
            "steps": steps,
            "date": console::now(),
            "command": command,
            "program": format!("{} {REVISION}", env!("CARGO_PKG_VERSION")),
            "adapter": facts.name,
            "driver": facts.driver_version(),
            "precision": if gpu.cooperative().is_some() { "f16" } else { "f32" },
        });
        let file = self.path.join("sessions.jsonl");
        let mut out = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&file)
            .map_err(Error::io(&file))?;
        out.write_all(format!("{line}\n").as_bytes())
            .map_err(Error::io(&file))
    }

    /// Appends a line to `metrics.jsonl`, and its numbers to the event file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn log(&mut self, line: Map<String, Value>) -> Result<()> {
        if let Some(events) = &mut self.events {
            let numbers = line.iter().filter(|(name, _)| *name != "step");
            let numbers =
                numbers.filter_map(|(name, value)| Some((name.as_str(), value.as_f64()?)));
            events.scalars(step_of(&line), numbers)?;
        }
        let text = format!("{}\n", Value::Object(line));
        self.metrics
            .write_all(text.as_bytes())
            .map_err(Error::io(self.path.join("metrics.jsonl")))
    }

    /// Copies the pictures `NAME-STEP.png` of the evaluation after `step` steps into the event
    /// file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn log_pictures(&mut self, step: u64) -> Result<()> {
        let Some(events) = &mut self.events else {
            return Ok(());
        };
        for entry in std::fs::read_dir(&self.path).map_err(Error::io(&self.path))? {
            let file = entry.map_err(Error::io(&self.path))?.path();
            let name = file
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if let Some(name) = name.strip_suffix(&format!("-{step:06}.png")) {
                let png = std::fs::read(&file).map_err(Error::io(&file))?;
                let (width, height) = image::image_dimensions(&file)
                    .map_err(|e| Error::io(&file)(std::io::Error::other(e)))?;
                events.picture(step, name, &png, [width, height])?;
            }
        }
        Ok(())
    }

    /// Drops the lines of `metrics.jsonl` after `step`, and starts an event file that invalidates
    /// later events in older files, since those steps are repeated.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn rewind(&mut self, step: u64) -> Result<()> {
        let file = self.path.join("metrics.jsonl");
        let kept: Vec<String> = metrics(&self.path)?
            .into_iter()
            .filter(|m| step_of(m) <= step)
            .map(|m| format!("{}\n", Value::Object(m)))
            .collect();
        file::write(&file, kept.concat().as_bytes())?;
        self.metrics = OpenOptions::new()
            .append(true)
            .open(&file)
            .map_err(Error::io(&file))?;
        self.events = Some(Events::begin(&self.path, step)?);
        Ok(())
    }
}

fn step_of(line: &Map<String, Value>) -> u64 {
    line.get("step").and_then(Value::as_u64).unwrap_or(u64::MAX)
}

/// The file of a run's configuration.
pub const CONFIG: &str = "config.toml";

/// The configuration of the toy's run at `path`.
///
/// # Errors
/// [`Error::Checkpoint`] if this is no run directory, [`Error::Usage`] if it is a run on images or
/// codes, else as [`Stored::parse`].
pub fn config(path: &Path) -> Result<Config> {
    match stored(path)? {
        Stored::Toy(config) => Ok(*config),
        Stored::Grid(..) => {
            let what = "is not a run of the toy, and this command serves the toy; see sample, inpaint and chain";
            Err(Error::Usage(format!("{} {what}", path.display())))
        }
    }
}

/// The configuration of the run at `path`.
///
/// # Errors
/// [`Error::Checkpoint`] if this is no run directory, else as [`Stored::parse`].
pub fn stored(path: &Path) -> Result<Stored> {
    Stored::parse(&text(path)?, &path.join(CONFIG).display().to_string())
}

/// The text of the configuration of the run at `path`.
///
/// # Errors
/// [`Error::Checkpoint`] if this is no run directory, [`Error::Config`] if it is not in UTF-8.
pub fn text(path: &Path) -> Result<String> {
    let file = path.join(CONFIG);
    match std::fs::read(&file) {
        Ok(bytes) => decode(&bytes, &file.display().to_string()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(Error::checkpoint(
            path,
            "is not a run directory (it has no config.toml); name the --out of a training",
        )),
        Err(e) => Err(Error::io(&file)(e)),
    }
}

/// The intact lines of `metrics.jsonl` in the run `path`; truncated or damaged ones are skipped.
///
/// # Errors
/// [`Error::Io`].
pub fn metrics(path: &Path) -> Result<Vec<Map<String, Value>>> {
    let file = path.join("metrics.jsonl");
    Ok(lines(&std::fs::read(&file).map_err(Error::io(&file))?))
}

/// The intact lines of a log's `bytes`.
pub(crate) fn lines(bytes: &[u8]) -> Vec<Map<String, Value>> {
    bytes
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect()
}

/// The newest intact checkpoint of `run`.
///
/// # Errors
/// [`Error::Checkpoint`] if there is none.
pub fn newest(run: &Path) -> Result<Checkpoint> {
    let (found, note) = checkpoint::newest(run)?;
    if let Some(note) = note {
        note!("warning: {note}");
    }
    Ok(found)
}

/// As [`newest`], for a checkpoint of the model described by `model`.
///
/// # Errors
/// [`Error::Checkpoint`] if there is none, or if it is of another model.
pub fn newest_of(run: &Path, model: &str) -> Result<Checkpoint> {
    let found = newest(run)?;
    if found.model == model {
        return Ok(found);
    }
    let what = "does not match the config.toml beside it";
    Err(Error::checkpoint(&found.path, what))
}

/// The series of (step, value) of the metric `name`, from the log lines that have it.
pub fn series(lines: &[Map<String, Value>], name: &str) -> Vec<(f64, f64)> {
    let point = |m: &Map<String, Value>| Some((m.get("step")?.as_f64()?, m.get(name)?.as_f64()?));
    lines.iter().filter_map(point).collect()
}

/// Wall-clock seconds of the training that wrote `lines`, over all parts of a resumed one,
/// including data loading, evaluations and checkpoints. `None` if nothing was logged.
///
/// Older lines lack `seconds` and have only the rate since their part began. A new part is
/// recognised where the elapsed time by the rate is less than at the line before.
pub fn wall_seconds(lines: &[Map<String, Value>]) -> Option<f64> {
    let number = |line: &Map<String, Value>, name: &str| line.get(name).and_then(Value::as_f64);
    let mut before = 0.0;
    let mut first = 0.0;
    let mut last = None::<(f64, f64)>;
    for line in lines {
        let Some(step) = number(line, "step") else {
            continue;
        };
        if let Some(seconds) = number(line, "seconds") {
            (before, first, last) = (0.0, step, Some((step, seconds)));
        } else if let Some(rate) = number(line, "steps_per_second").filter(|&rate| rate > 0.0) {
            let mut took = before + (step - first) / rate;
            if let Some((at, so_far)) = last.filter(|&(_, so_far)| took < so_far) {
                (before, first) = (so_far, at);
                took = before + (step - first) / rate;
            }
            last = Some((step, took));
        }
    }
    last.map(|(_, seconds)| seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: u64, name: &str, value: f64) -> Map<String, Value> {
        Map::from_iter([
            ("step".to_string(), json!(step)),
            (name.to_string(), json!(value)),
        ])
    }

    #[test]
    fn wall_time_is_that_of_all_parts() {
        assert_eq!(wall_seconds(&[]), None);
        assert_eq!(wall_seconds(&[line(5, "held_out_psnr", 3.0)]), None);
        assert_eq!(
            wall_seconds(&[line(10, "seconds", 4.0), line(20, "seconds", 9.0)]),
            Some(9.0)
        );
        // 10 steps in 5 s, 20 in 10 s; then a new part with 5 steps in 1 s.
        let rates = [
            line(10, "steps_per_second", 2.0),
            line(20, "steps_per_second", 2.0),
        ];
        assert_eq!(wall_seconds(&rates), Some(10.0));
        let resumed = [
            &rates[..],
            &[
                line(25, "steps_per_second", 5.0),
                line(30, "steps_per_second", 5.0),
            ],
        ]
        .concat();
        assert_eq!(wall_seconds(&resumed), Some(12.0));
    }
}
