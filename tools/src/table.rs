//! `cargo xtask conformance-table`: reports of several machines as one Markdown page.

use crate::Result;
use crate::process::{self, cargo};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// What to merge, and where to.
#[derive(Debug, Default, PartialEq)]
pub struct Options {
    /// Reports that `dbvq-wgpu conformance --report` wrote.
    pub files: Vec<PathBuf>,
    /// The page; the terminal if there is none.
    pub out: Option<PathBuf>,
}

/// Has the program merge the reports; it alone knows their form.
pub fn run(options: &Options) -> Result<()> {
    if options.files.is_empty() {
        return Err("conformance-table needs reports, which `dbvq-wgpu conformance --report FILE` writes".to_owned());
    }
    let mut command = cargo(["run", "--quiet", "--bin", "dbvq-wgpu", "--", "conformance", "--merge"]);
    for file in &options.files {
        command.arg(absolute(file)?);
    }
    let page = process::capture(command.stderr(Stdio::inherit()))?;
    if !page.status.success() {
        return Err(format!("`{}` failed ({})", process::shown(&command), page.status));
    }
    match &options.out {
        Some(file) => fs::write(file, &page.stdout).map_err(|e| format!("cannot write {}: {e}", file.display())),
        None => {
            print!("{}", String::from_utf8_lossy(&page.stdout));
            Ok(())
        }
    }
}

/// Cargo runs in the folder of the workspace, the person at the terminal perhaps elsewhere.
fn absolute(file: &Path) -> Result<PathBuf> {
    std::path::absolute(file).map_err(|e| format!("{}: {e}", file.display()))
}
