//! Run directories and results as a user sees them: other files are never replaced, a run resumes
//! or says why not, and refusals leave nothing behind. Needs a GPU adapter.

#[path = "../common/mod.rs"]
mod common;
mod going_on;
#[path = "../common/pictures.rs"]
mod pictures;
mod writing;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use assert_cmd::assert::OutputAssertExt;
use common::{checkpoint, logged_steps, program, training};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Runs, and expects exit code `code` and a message with each of `words`. Returns the message.
fn says(mut command: Command, code: i32, words: &[&str]) -> String {
    let output = command.output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{command:?}: {said}");
    assert!(
        words.iter().all(|word| said.contains(word)) && !said.contains("panicked"),
        "{words:?}: {said}"
    );
    said
}

fn add(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    command
}

/// Names and bytes of the files in a folder.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(dir)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path());
    entries
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), std::fs::read(path).expect("a file")))
        .collect()
}

fn write(file: &Path, text: &str) {
    std::fs::create_dir_all(file.parent().expect("it has one")).expect("a folder");
    std::fs::write(file, text).expect("a file");
}
