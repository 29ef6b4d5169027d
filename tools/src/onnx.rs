//! ONNX's node test cases as vectors: `tools/onnx_vectors.py` makes them in a Python environment
//! below the target folder, and `dbvq-wgpu conformance` runs them on every adapter.

use crate::Result;
use crate::process::{self, cargo, heading};
use crate::python::Needs;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the script needs.
const NEEDS: Needs = Needs {
    oldest: (3, 10),
    requirements: "tools/requirements-onnx.txt",
    folder: "onnx-python",
    imports: "onnx, numpy",
};
/// Far fewer than the script makes today, and more than it would make of a package that it no
/// longer understands.
const LEAST: usize = 150;

/// Recreates the folder of vectors. Without Python or network there is none, and a line says so.
pub fn vectors(target: &Path) -> Result<Option<PathBuf>> {
    heading("ONNX's node cases");
    let python = match NEEDS.environment(target) {
        Ok(python) => python,
        Err(why) => {
            println!("{why}: the ONNX cases are left out");
            return Ok(None);
        }
    };
    let folder = target.join("onnx-vectors");
    let mut script = Command::new(python);
    script
        .arg("-B")
        .arg(crate::root().join("tools/onnx_vectors.py"))
        .arg(&folder);
    process::run(&mut script)?;
    enough(&folder, count(&folder)?).map(|()| Some(folder))
}

/// Files of vectors in a folder.
fn count(folder: &Path) -> Result<usize> {
    let unreadable = |e| format!("cannot read {}: {e}", folder.display());
    let entries = fs::read_dir(folder)
        .map_err(unreadable)?
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(unreadable)?;
    Ok(entries
        .iter()
        .filter(|entry| entry.path().extension().is_some_and(|e| e == "safetensors"))
        .count())
}

/// Fails if too few vectors were made: a handful that pass would look like all of them.
fn enough(folder: &Path, found: usize) -> Result<()> {
    if found >= LEAST {
        Ok(())
    } else {
        let place = folder.display();
        Err(format!(
            "tools/onnx_vectors.py made {found} vectors in {place}; there must be {LEAST} at least"
        ))
    }
}

/// Runs the vectors of a folder on all adapters.
pub fn conformance(folder: &Path) -> Command {
    let mut command = cargo([
        "run",
        "--quiet",
        "--bin",
        "dbvq-wgpu",
        "--",
        "conformance",
        "--vectors",
    ]);
    command.arg(folder).arg("--all");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handful_of_vectors_is_an_error() {
        let folder = Path::new("vectors");
        assert!(enough(folder, LEAST).is_ok());
        assert!(
            enough(folder, LEAST - 1).is_err_and(|what| what.contains("149 vectors in vectors"))
        );
        assert!(count(&crate::root().join("kernels_test/golden")).is_ok_and(|found| found > 10));
    }

    #[test]
    fn the_vectors_run_on_all_adapters() {
        let shown = process::shown(&conformance(Path::new("vectors")));
        assert_eq!(
            shown,
            "cargo run --quiet --bin dbvq-wgpu -- conformance --vectors vectors --all"
        );
    }
}
