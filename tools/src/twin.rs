//! The image models' twin in PyTorch: `tests/twin.rs` writes what it needs, `tools/twin.py` trains it and compares.

use crate::process::heading;
use crate::python::{Needs, pythons};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the script needs.
const NEEDS: Needs = Needs {
    oldest: (3, 11),
    requirements: "tools/requirements-twin.txt",
    folder: "twin-python",
    imports: "torch, numpy, safetensors",
};
/// The variable that names the folder for `tests/twin.rs`.
pub const VARIABLE: &str = "DBVQ_TWIN";

/// The folder in which the test leaves what the script reads.
pub fn folder(target: &Path) -> PathBuf {
    target.join("twin")
}

/// The comparison, ready to run. Without Python or network there is none, and a line says so.
pub fn comparison(target: &Path) -> Option<Command> {
    heading("the image models' twin in PyTorch");
    // PyTorch is large: one that is there already serves.
    let python = match pythons().find(|python| NEEDS.has_all(python)).map_or_else(|| NEEDS.environment(target), Ok) {
        Ok(python) => python,
        Err(why) => {
            println!("{why}: the comparison with PyTorch is left out");
            return None;
        }
    };
    let mut script = Command::new(python);
    script.arg("-B").arg("tools/twin.py").arg(folder(target)).current_dir(crate::root());
    Some(script)
}
