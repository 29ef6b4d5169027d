//! Comparisons with PyTorch. `tests/twin.rs` writes what the image models' twin needs;
//! `tools/twin.py` trains it and compares. `tests/fid.rs` writes our FID and KID;
//! `tools/fid_twin.py` compares them with those of the usual libraries.

use crate::process::heading;
use crate::python::{Needs, pythons};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the script needs.
const NEEDS: Needs = Needs {
    oldest: (3, 11),
    requirements: "tools/requirements-twin.txt",
    folder: "twin-python",
    imports: "torch, numpy, scipy, safetensors, pytorch_fid, torch_fidelity",
};
/// The scripts.
const SCRIPTS: [&str; 2] = ["tools/twin.py", "tools/fid_twin.py"];
/// The variable that names the folder for the tests.
pub const VARIABLE: &str = "DBVQ_TWIN";

/// The folder in which the tests leave what the scripts read.
pub fn folder(target: &Path) -> PathBuf {
    target.join("twin")
}

/// The comparisons, ready to run. Without Python or network there are none, and a line says so.
pub fn comparisons(target: &Path) -> Option<Vec<Command>> {
    heading("comparisons with PyTorch");
    // PyTorch is large, so an installed one is used if there is one.
    let python = match pythons()
        .find(|python| NEEDS.has_all(python))
        .map_or_else(|| NEEDS.environment(target), Ok)
    {
        Ok(python) => python,
        Err(why) => {
            println!("{why}: the comparisons with PyTorch are left out");
            return None;
        }
    };
    let command = |script: &&str| {
        let mut command = Command::new(&python);
        command
            .arg("-B")
            .arg(script)
            .arg(folder(target))
            .current_dir(crate::root());
        command
    };
    Some(SCRIPTS.iter().map(command).collect())
}
