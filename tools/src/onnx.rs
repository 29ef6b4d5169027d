//! ONNX's node cases as vectors: `tools/onnx_vectors.py` makes them in a Python environment below the target folder, and
//! `dbvq-wgpu conformance` runs them on every adapter.

use crate::process::{self, cargo, find_program, heading};
use crate::{Result, packages};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest Python that the package `onnx` runs on.
const OLDEST: (u32, u32) = (3, 10);
/// Debian's package of the module `venv`, which its Python comes without.
const VENV: &str = "python3-venv";
/// What the script needs.
const REQUIREMENTS: &str = "tools/requirements-onnx.txt";
/// Far fewer than the script makes today, and more than it makes of a package that it no longer understands.
const LEAST: usize = 150;

/// The folder of the vectors, made anew. Without Python or network there is none, and a line says so.
pub fn vectors(target: &Path) -> Result<Option<PathBuf>> {
    heading("ONNX's node cases");
    let python = match environment(&target.join("onnx-python"), REQUIREMENTS, "import onnx, numpy") {
        Ok(python) => python,
        Err(why) => {
            println!("{why}: the ONNX cases are left out");
            return Ok(None);
        }
    };
    let folder = target.join("onnx-vectors");
    let mut script = Command::new(python);
    script.arg("-B").arg(crate::root().join("tools/onnx_vectors.py")).arg(&folder);
    process::run(&mut script)?;
    enough(&folder, count(&folder)?).map(|()| Some(folder))
}

/// Files of vectors in a folder.
fn count(folder: &Path) -> Result<usize> {
    let unreadable = |e| format!("cannot read {}: {e}", folder.display());
    let entries = fs::read_dir(folder).map_err(unreadable)?.collect::<std::io::Result<Vec<_>>>().map_err(unreadable)?;
    Ok(entries.iter().filter(|entry| entry.path().extension().is_some_and(|e| e == "safetensors")).count())
}

/// A handful of vectors that pass would look like all of them.
fn enough(folder: &Path, found: usize) -> Result<()> {
    match found >= LEAST {
        true => Ok(()),
        false => {
            let place = folder.display();
            Err(format!("tools/onnx_vectors.py made {found} vectors in {place}; there must be {LEAST} at least"))
        }
    }
}

/// Runs the vectors of a folder on all adapters.
pub fn conformance(folder: &Path) -> Command {
    let mut command = cargo(["run", "--quiet", "--bin", "dbvq-wgpu", "--", "conformance", "--vectors"]);
    command.arg(folder).arg("--all");
    command
}

/// The Python of an environment in `folder` that has what the file `requirements` lists, so that the line `import` works;
/// an error says why there is none.
pub fn environment(folder: &Path, requirements: &str, import: &str) -> Result<PathBuf> {
    let inside = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };
    let (python, stamp) = (folder.join(inside), folder.join("installed.txt"));
    let wanted = fs::read_to_string(crate::root().join(requirements)).map_err(|e| format!("{requirements}: {e}"))?;
    // The environment is kept between runs; a stamp tells that it is whole.
    let whole = fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted);
    if whole && process::succeeds(Command::new(&python).args(["-c", import])) {
        return Ok(python);
    }
    let system = system_python()?;
    println!("making a Python environment in {}", folder.display());
    process::run(Command::new(system).args(["-m", "venv", "--clear"]).arg(folder))?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "-r"]);
    process::run(install.arg(crate::root().join(requirements)))?;
    fs::write(&stamp, wanted).map_err(|e| format!("cannot write {}: {e}", stamp.display()))?;
    Ok(python)
}

/// The machine's Python with the module `venv`; both are installed where apt is at hand.
fn system_python() -> Result<PathBuf> {
    let complete = |python: &PathBuf| {
        version(python) >= Some(OLDEST)
            && process::succeeds(Command::new(python).args(["-c", "import venv, ensurepip"]))
    };
    let found = || ["python3", "python"].into_iter().filter_map(find_program).find(complete);
    let what = format!("Python {}.{} or newer with its module venv was not found", OLDEST.0, OLDEST.1);
    if let (None, Some(manager)) = (found(), packages::manager().filter(|manager| manager.is_apt())) {
        manager.install(&[VENV], &what)?;
    }
    found().ok_or(what)
}

/// (major, minor) of a Python.
fn version(python: &Path) -> Option<(u32, u32)> {
    let output = process::capture(Command::new(python).arg("--version")).ok()?;
    parse(&String::from_utf8_lossy(&output.stdout))
}

/// The two first numbers of `Python 3.11.2`.
fn parse(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().strip_prefix("Python ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        assert_eq!(parse("Python 3.11.2\n"), Some((3, 11)));
        assert_eq!(parse("Python 3.13.0rc1"), Some((3, 13)));
        assert_eq!(parse("zsh: command not found"), None);
        assert!(parse("Python 3.9.18") < Some(OLDEST) && None < Some(OLDEST) && parse("Python 4.0") > Some(OLDEST));
    }

    #[test]
    fn a_handful_of_vectors_is_an_error() {
        let folder = Path::new("vectors");
        assert!(enough(folder, LEAST).is_ok());
        assert!(enough(folder, LEAST - 1).is_err_and(|what| what.contains("149 vectors in vectors")));
        assert!(count(&crate::root().join("kernels_test/golden")).is_ok_and(|found| found > 10));
    }

    #[test]
    fn the_vectors_run_on_all_adapters() {
        let shown = process::shown(&conformance(Path::new("vectors")));
        assert_eq!(shown, "cargo run --quiet --bin dbvq-wgpu -- conformance --vectors vectors --all");
    }
}
