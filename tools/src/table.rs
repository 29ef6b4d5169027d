//! `cargo xtask conformance-table`: reports of several machines, or of this one, as one Markdown
//! page.

use crate::process::{self, cargo, heading};
use crate::{Result, check};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What to merge, and where to.
#[derive(Debug, Default, PartialEq)]
pub struct Options {
    /// Reports that `dbvq-wgpu conformance --report` wrote; without any, every adapter of this
    /// machine is tested.
    pub files: Vec<PathBuf>,
    /// Where the page goes; the terminal if `None`.
    pub out: Option<PathBuf>,
}

/// Merges the reports, or tests this machine first where there are none.
pub fn run(options: &Options) -> Result<()> {
    if !options.files.is_empty() {
        let files = options
            .files
            .iter()
            .map(|file| absolute(file))
            .collect::<Result<Vec<_>>>()?;
        return merge(conformance(), &files, options.out.as_deref());
    }
    heading("what the suite needs");
    let tools = check::prepare()?;
    let report = check::target()?.join("conformance.json");
    match fs::remove_file(&report) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            return Err(format!("cannot remove {}: {e}", report.display()));
        }
        _ => {}
    }
    // The same revision both times, or the program would be rebuilt in between.
    let revision = revision();
    let mut suite = conformance();
    suite
        .args(["--all", "--report"])
        .arg(&report)
        .env("DBVQ_REVISION", &revision)
        .envs(tools.variables);
    heading(&process::shown(&suite));
    let outcome = process::run(&mut suite);
    // Failures are what the page is for; only without a report is there nothing to show.
    if report.is_file() {
        heading("the table");
        let mut program = conformance();
        program.env("DBVQ_REVISION", &revision);
        merge(program, &[report], options.out.as_deref())?;
    }
    outcome
}

/// The program's conformance command, built as the tests build it.
fn conformance() -> Command {
    cargo(["run", "--quiet", "--bin", "dbvq-wgpu", "--", "conformance"])
}

/// The commit that the program is built from, with `-dirty` if files differ from it. Passed to the
/// build for this task only, because each change of it recompiles the crate.
fn revision() -> String {
    let git = |arguments: &[&str]| {
        let output = process::capture(
            Command::new("git")
                .args(arguments)
                .current_dir(crate::root()),
        )
        .ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    match (
        git(&["rev-parse", "--short=12", "HEAD"]),
        git(&["status", "--porcelain"]),
    ) {
        (Some(commit), Some(changes)) if changes.is_empty() => commit,
        (Some(commit), _) => format!("{commit}-dirty"),
        (None, _) => "unknown".to_owned(),
    }
}

/// Has the program merge the reports, as only it knows their format, and writes the page.
fn merge(mut program: Command, files: &[PathBuf], out: Option<&Path>) -> Result<()> {
    let command = program.arg("--merge").args(files).stderr(Stdio::inherit());
    let page = process::capture(command)?;
    if !page.status.success() {
        return Err(format!(
            "`{}` failed ({})",
            process::shown(command),
            page.status
        ));
    }
    match out {
        Some(file) => fs::write(file, &page.stdout)
            .map_err(|e| format!("cannot write {}: {e}", file.display())),
        None => {
            print!("{}", String::from_utf8_lossy(&page.stdout));
            Ok(())
        }
    }
}

/// Cargo runs in the workspace folder, but the person at the terminal may be elsewhere.
fn absolute(file: &Path) -> Result<PathBuf> {
    std::path::absolute(file).map_err(|e| format!("{}: {e}", file.display()))
}
