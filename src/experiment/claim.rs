//! Decides whether a training may write into a directory, and whether a run there may be resumed,
//! before anything slow or any write.

use std::path::{Path, PathBuf};

use toml::Table;

use super::learning_rate::learning_rate;
use super::run_dir::{self, CONFIG, LOCK, SAVED};
use crate::config::{Stored, TrainConfig, table};
use crate::error::{Error, Result};
use crate::nn::checkpoint;

/// Files that a training writes, beside pictures and event files.
const FILES: [&str; 9] = [
    CONFIG,
    "data.txt",
    "metrics.jsonl",
    "sessions.jsonl",
    "checkpoint.safetensors",
    "checkpoint.previous.safetensors",
    "codebook.safetensors",
    "vqvae.safetensors",
    LOCK,
];
/// Prefixes of its pictures `NAME-STEP.png`.
const PICTURES: [&str; 2] = ["reconstructions-", "samples-"];

/// Error text for a checkpoint of another configuration.
pub const OTHER: &str = "has a different configuration; give the same preset and --set";

/// Contents of a directory.
enum Found {
    /// Nothing that a training would replace.
    Nothing,
    /// A file that it would replace and that belongs to no run.
    Foreign(PathBuf),
    /// A run that has not saved a checkpoint yet.
    Begun,
    /// A run whose checkpoint is gone, and the last step of its log.
    Lost(u64),
    /// A run with a checkpoint.
    Saved,
}

fn look(out: &Path) -> Result<Found> {
    if !is_run(out)? {
        return Ok(foreign(out)?.map_or(Found::Nothing, Found::Foreign));
    }
    if checkpoint::exists(out) {
        return Ok(Found::Saved);
    }
    let logged = last_logged(out);
    let train = run_dir::stored(out)?.train().clone();
    let saved = std::fs::read(out.join(LOCK)).is_ok_and(|text| text == SAVED);
    // Older lock files do not say so, but a log past the first checkpoint step implies it.
    let lost = saved || logged > train.checkpoint_every.min(train.steps);
    Ok(if lost {
        Found::Lost(logged)
    } else {
        Found::Begun
    })
}

/// Whether `out` is a run directory: it has a checkpoint, or a lock and a configuration. A
/// configuration must be that of a run.
///
/// # Errors
/// Errors of the configuration.
fn is_run(out: &Path) -> Result<bool> {
    if !out.join(CONFIG).is_file() {
        return Ok(checkpoint::step(out).is_some());
    }
    if !out.join(LOCK).is_file() && checkpoint::step(out).is_none() {
        return Ok(false);
    }
    run_dir::stored(out).map(|_| true)
}

/// A file in `out`, no run directory, that a training would replace. Empty files do not count.
fn foreign(out: &Path) -> Result<Option<PathBuf>> {
    let entries = match std::fs::read_dir(out) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(out)(e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let file = entry.map_err(Error::io(out))?.path();
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let holds = std::fs::metadata(&file).is_ok_and(|about| about.is_dir() || about.len() > 0);
        if holds && (FILES.contains(&name.as_str()) || is_picture(&name)) {
            found.push(file);
        }
    }
    found.sort();
    Ok(found.into_iter().next())
}

/// Whether `name` is the name of a training's picture.
fn is_picture(name: &str) -> bool {
    let step = PICTURES
        .iter()
        .find_map(|begin| name.strip_prefix(begin)?.strip_suffix(".png"));
    step.is_some_and(|step| step.len() >= 6 && step.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The last step of the log, 0 without one.
fn last_logged(out: &Path) -> u64 {
    let lines = run_dir::metrics(out).unwrap_or_default();
    lines
        .iter()
        .filter_map(|line| line.get("step")?.as_u64())
        .max()
        .unwrap_or(0)
}

/// Where a training starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At step 0.
    New,
    /// At the step of the checkpoint.
    Checkpoint,
    /// Nowhere: all its steps are done, as many as given.
    Complete(u64),
}

/// Checks that the training `wanted`, whose configuration was read from `input`, may write into
/// `out`, and returns where it starts. `resume` continues an existing run.
///
/// # Errors
/// [`Error::Usage`] if `out` already holds a run or files of another origin; with `resume`
/// [`Error::Checkpoint`] if `out` is no directory or the run's checkpoint is gone, and
/// [`Error::Config`] if the run is not the wanted one or has done more steps.
pub fn claim(out: &Path, wanted: &Stored, input: &str, resume: bool) -> Result<Start> {
    let shown = out.display();
    if resume && !out.is_dir() {
        return Err(Error::checkpoint(
            out,
            "there is no run to resume; check --out",
        ));
    }
    match (look(out)?, resume) {
        (Found::Foreign(file), _) => Err(Error::Usage(of_others(&file, input))),
        (Found::Saved, false) => Err(Error::Usage(format!(
            "{shown} holds a run already; continue it with --resume, or choose another --out"
        ))),
        (Found::Lost(step), _) => {
            let what = format!("the log reaches step {step}, but the checkpoint is gone");
            let what =
                format!("{what}; put checkpoint.safetensors back, or start over in another --out");
            Err(if resume {
                Error::checkpoint(out, what)
            } else {
                Error::Usage(format!("{shown}: {what}"))
            })
        }
        (Found::Begun, false) if is_same(&out.join(CONFIG), input) => {
            Err(Error::Usage(of_others(&out.join(CONFIG), input)))
        }
        (Found::Nothing | Found::Begun, false) => Ok(Start::New),
        (Found::Nothing, true) => {
            note!("note: {shown} holds no run yet; it begins at step 0");
            Ok(Start::New)
        }
        (Found::Begun, true) => {
            agree(&run_dir::stored(out)?, wanted)?;
            note!("note: the run in {shown} has saved nothing yet; it begins at step 0");
            Ok(Start::New)
        }
        (Found::Saved, true) => resumed(out, wanted),
    }
}

/// The error text for a file that belongs to no run.
fn of_others(file: &Path, input: &str) -> String {
    let shown = file.display();
    if is_same(file, input) {
        format!(
            "--out would replace {shown}, the configuration of this training; choose another --out"
        )
    } else {
        format!("--out would replace {shown}, which does not belong to a run; choose another --out")
    }
}

/// Whether `file` is the configuration file `input`.
fn is_same(file: &Path, input: &str) -> bool {
    file.canonicalize()
        .ok()
        .is_some_and(|file| Path::new(input).canonicalize().ok() == Some(file))
}

/// Checks a run to resume: it must be the same run, with no fewer steps than it has done.
fn resumed(out: &Path, wanted: &Stored) -> Result<Start> {
    // Without a configuration, the checkpoint itself identifies its model.
    let stored = if out.join(CONFIG).is_file() {
        run_dir::stored(out)?
    } else {
        wanted.clone()
    };
    agree(&stored, wanted)?;
    let (steps, Some(mut done)) = (wanted.train().steps, checkpoint::step(out)) else {
        return Ok(Start::Checkpoint);
    };
    if done >= steps {
        // The header of a damaged checkpoint may overstate the step.
        let found = run_dir::newest(out)?;
        if found.model != wanted.model_text() {
            return Err(Error::checkpoint(&found.path, OTHER));
        }
        done = found.step;
    }
    let section = wanted.section();
    let shown = out.display();
    if done > steps {
        let what = format!("has done {done} steps already, but {section}.steps = {steps} is less");
        return Err(Error::Config(format!(
            "--resume: the run in {shown} {what}; ask for more than {done} with --steps"
        )));
    }
    if done == steps {
        return Ok(Start::Complete(done));
    }
    let before = stored.train().steps;
    if before != steps {
        note!("{}", stretched(&section, wanted.train(), before, done));
    }
    Ok(Start::Checkpoint)
}

/// A note on the learning rate of a training whose number of steps was `before` and that has `done`
/// some.
fn stretched(section: &str, train: &TrainConfig, before: u64, done: u64) -> String {
    let steps = train.steps;
    let share = learning_rate(
        &TrainConfig {
            lr: 1.0,
            ..train.clone()
        },
        done,
    );
    format!(
        "{section}.steps is {steps} now, was {before}: the learning rate continues at {:.0} % of its peak and falls to 0 at step \
         {steps}; weights will differ from those of {steps} steps in one go",
        100.0 * share
    )
}

/// Checks that a resumed run is the same run.
fn agree(stored: &Stored, wanted: &Stored) -> Result<()> {
    let Some((has, wants)) = difference(&stored.decisive(), &wanted.decisive()) else {
        return Ok(());
    };
    let advice = "give the same preset and --set, or choose another --out";
    Err(Error::Config(format!(
        "--resume: the run has `{has}`, this command `{wants}`; {advice}"
    )))
}

/// The first values in which two configurations differ; `None` if they are the same.
pub fn difference(stored: &Table, wanted: &Table) -> Option<(String, String)> {
    let (path, has, wants) = table::differences(stored, wanted).into_iter().next()?;
    Some((
        table::line(&path, has.as_ref()),
        table::line(&path, wants.as_ref()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Experiment, Stage};

    fn of(preset: &str, stage: Option<Stage>, sets: &[&str]) -> Stored {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_string()).collect();
        Stored::new(Experiment::load(preset, &sets).expect("valid"), stage).expect("a stage")
    }

    #[test]
    fn only_what_reaches_the_weights_must_agree() {
        let prior = |set: &str| of("cifar10-small", Some(Stage::Prior), &[set]);
        let plain = prior("seed=0");
        for free in [
            "stages.prior.log_every=7",
            "stages.prior.checkpoint_every=7",
            "stages.evaluate_every=7",
            "stages.evaluate_images=7",
            "stages.latent_cache=false",
            "stages.vqvae.lr=0.5",
            "pixelcnn.layers=3",
            "joint.scale=2.0",
            "activations=recompute",
            "class_dropout=0.5",
            "prior.sharpen=1.3",
        ] {
            assert!(agree(&plain, &prior(free)).is_ok(), "{free}");
        }
        for fixed in [
            "seed=1",
            "activations=recompute-f16",
            "stages.prior.lr=0.5",
            "stages.prior.batch=4",
            "prior.known_share=0.3",
            "prior.diffuse=data",
            "stages.prior.accumulate=2",
            "unet.base=64",
            "vqvae.codes=64",
            "bridge.eta=1.0",
            "classes=3",
        ] {
            let error = agree(&plain, &prior(fixed)).expect_err(fixed);
            let key = fixed.split('=').next().unwrap_or_default();
            assert!(
                error.exit_code() == 3 && error.to_string().contains(key),
                "{error}"
            );
        }
        let toy = |set: &str| of("toy", None, &[set]);
        assert!(agree(&toy("seed=0"), &toy("train.log_every=3")).is_ok());
        assert!(
            agree(&toy("seed=0"), &toy("train.clip=0")).is_err()
                && agree(&toy("seed=0"), &plain).is_err()
        );
    }

    #[test]
    fn pictures_of_trainings_are_known_by_their_names() {
        assert!(is_picture("samples-000300.png") && is_picture("reconstructions-1000000.png"));
        assert!(
            !is_picture("samples.png")
                && !is_picture("samples-3.png")
                && !is_picture("holiday-000300.png")
        );
    }
}
