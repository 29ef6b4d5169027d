//! A hand-written command line: four tasks with a handful of options.

use crate::{Result, check, peers, quickstart, table};
use std::ffi::OsString;

/// Printed by `cargo xtask` without a task, or for help.
pub const HELP: &str = "\
A first run and all checks, each in one command.

Usage: cargo xtask TASK [OPTIONS]

cargo xtask quickstart   install a software GPU where there is none (Linux), build, train a shortened
                         toy run, sample, inpaint, draw the figures, show what was reached
    --out DIR            folder of the run, an interrupted one goes on [default: runs/quickstart]
    --adapter A          GPU to use: index, part of its name or backend [default: the fastest kind]
    --no-install         never call the package manager

cargo xtask test         fetch what the tests need, then formatting, lints, documentation, all tests and, where there
                         is Python, ONNX's cases, TensorBoard's reading of a training, and the image models'
                         twin in PyTorch
    --fast               leave out lints, documentation and PyTorch (of which pip fetches 3 GB on Linux)

cargo xtask conformance-table [FILE...]
                         merge reports of `dbvq-wgpu conformance --report FILE` into one Markdown page; without FILE
                         fetch what the tests need, run the suite on every adapter here, and show that page
    --out FILE           the page [default: the terminal]

cargo xtask peers        the work of `dbvq-wgpu bench` on this engine and, in turn, on burn, meganeura, candle and
                         PyTorch (built or installed below target/, which takes long the first time): a table of ratios
    --filter TEXT        only work with TEXT in its line
    --only A,B           only these of burn, meganeura, candle, torch
    --adapter A          GPU of this engine: index, part of its name or backend [default: the fastest kind]
    --limit S            longest wait for an answer, seconds [default: 600]
    --json               for programs

Environment: DBVQ_SWIFTSHADER names the driver file of a SwiftShader (vk_swiftshader_icd.json) for the tests,
DBVQ_TORCH_PYTHON a Python that has PyTorch, for `peers`.";

/// What to do.
#[derive(Debug, PartialEq)]
pub enum Task {
    /// Print [`HELP`].
    Help,
    /// See [`quickstart::run`].
    Quickstart(quickstart::Options),
    /// See [`check::run`].
    Test(check::Options),
    /// See [`table::run`].
    ConformanceTable(table::Options),
    /// See [`peers::run`].
    Peers(peers::Options),
}

/// Reads the words after `cargo xtask`.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Task> {
    let mut words = words.into_iter().map(|word| {
        word.into_string()
            .map_err(|word| format!("`{}` is not valid Unicode", word.to_string_lossy()))
    });
    let task = match words.next().transpose()?.as_deref() {
        None | Some("help" | "--help" | "-h") => return Ok(Task::Help),
        Some("quickstart") => Task::Quickstart(quickstart::Options::default()),
        Some("test") => Task::Test(check::Options::default()),
        Some("conformance-table") => Task::ConformanceTable(table::Options::default()),
        Some("peers") => Task::Peers(peers::Options::default()),
        Some(other) => {
            let tasks = "quickstart, test, conformance-table and peers are";
            return Err(format!(
                "there is no task `{other}`: {tasks} (cargo xtask --help)"
            ));
        }
    };
    options(task, words)
}

/// Reads the options of a task, both `--out DIR` and `--out=DIR`.
fn options(mut task: Task, mut words: impl Iterator<Item = Result<String>>) -> Result<Task> {
    while let Some(word) = words.next().transpose()? {
        let (name, inline) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        if inline.is_none() && matches!(name, "--help" | "-h") {
            return Ok(Task::Help);
        }
        let mut value = || {
            inline.clone().map_or_else(
                || words.next().unwrap_or(Err(format!("{name} needs a value"))),
                Ok,
            )
        };
        match (&mut task, name) {
            (Task::Quickstart(options), "--out") => options.out = Some(value()?.into()),
            (Task::Quickstart(options), "--adapter") => options.adapter = Some(value()?),
            (Task::Quickstart(options), "--no-install") if inline.is_none() => {
                options.no_install = true
            }
            (Task::Test(options), "--fast") if inline.is_none() => options.fast = true,
            (Task::ConformanceTable(options), "--out") => options.out = Some(value()?.into()),
            (Task::ConformanceTable(options), _) if !word.starts_with('-') => {
                options.files.push(word.into())
            }
            (Task::Peers(options), "--filter") => options.filter = Some(value()?),
            (Task::Peers(options), "--only") => options.only = Some(value()?),
            (Task::Peers(options), "--adapter") => options.adapter = Some(value()?),
            (Task::Peers(options), "--limit") => options.limit = Some(value()?),
            (Task::Peers(options), "--json") if inline.is_none() => options.json = true,
            _ => {
                return Err(format!(
                    "`{word}` is not an option here (cargo xtask --help)"
                ));
            }
        }
    }
    Ok(task)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Task> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn tasks_and_options_are_read() {
        assert_eq!(read(""), Ok(Task::Help));
        assert_eq!(read("test --help"), Ok(Task::Help));
        assert_eq!(
            read("test --fast"),
            Ok(Task::Test(check::Options { fast: true }))
        );
        let wanted = quickstart::Options {
            out: Some("a".into()),
            adapter: Some("llvmpipe".into()),
            no_install: true,
        };
        assert_eq!(
            read("quickstart --out a --adapter=llvmpipe --no-install"),
            Ok(Task::Quickstart(wanted))
        );
        let wanted = table::Options {
            files: vec!["a=1.json".into(), "b.json".into()],
            out: Some("t.md".into()),
        };
        assert_eq!(
            read("conformance-table a=1.json --out t.md b.json"),
            Ok(Task::ConformanceTable(wanted))
        );
        let wanted = peers::Options {
            json: true,
            only: Some("burn,torch".into()),
            ..peers::Options::default()
        };
        assert_eq!(
            read("peers --json --only burn,torch"),
            Ok(Task::Peers(wanted))
        );
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(
            read("quickstart --out"),
            Err("--out needs a value".to_owned())
        );
        assert_eq!(
            read("conformance-table"),
            Ok(Task::ConformanceTable(table::Options::default()))
        );
        for line in [
            "tset",
            "test --out a",
            "test --fast=1",
            "quickstart x",
            "conformance-table --in",
        ] {
            let wrong = line.split_whitespace().nth(1).unwrap_or(line);
            assert!(
                read(line).is_err_and(|message| message.contains(&format!("`{wrong}`"))),
                "{line}"
            );
        }
    }
}
