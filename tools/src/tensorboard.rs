//! Has TensorBoard itself read the event files of a training: `tools/tensorboard_check.py` does so
//! in a Python environment below the target folder.

use crate::Result;
use crate::process::{self, cargo, heading};
use crate::python::Needs;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What the script needs.
const NEEDS: Needs = Needs {
    oldest: (3, 10),
    requirements: "tools/requirements-tensorboard.txt",
    folder: "tensorboard-python",
    imports: "tensorboard",
};
/// Bytes per CIFAR-10 record.
const RECORD: usize = 3073;
/// Sizes of a VQ-VAE that trains in no time.
const TINY: [&str; 8] = [
    "vqvae.channels=8",
    "vqvae.inner=4",
    "vqvae.dim=4",
    "vqvae.codes=16",
    "stages.evaluate_every=2",
    "stages.vqvae.batch=4",
    "stages.vqvae.log_every=1",
    "stages.vqvae.checkpoint_every=2",
];

/// Trains a little, resumes from an earlier step, and has TensorBoard read what was written.
/// Returns `false` without Python or network, and a line says so.
pub fn check(target: &Path, variables: &[(&'static str, OsString)]) -> Result<bool> {
    heading("TensorBoard's reading of a training");
    let python = match NEEDS.environment(target) {
        Ok(python) => python,
        Err(why) => {
            println!("{why}: TensorBoard's reading is left out");
            return Ok(false);
        }
    };
    let place = target.join("tensorboard-run");
    let data = place.join("data");
    let run = place.join("run");
    let failed = |e| format!("cannot write in {}: {e}", place.display());
    if place.exists() {
        fs::remove_dir_all(&place).map_err(failed)?;
    }
    fs::create_dir_all(&data).map_err(failed)?;
    fs::write(data.join("data_batch_1.bin"), records(24)).map_err(failed)?;
    process::run(training(&data, &run).envs(variables.iter().cloned()))?;
    // As after a kill between two checkpoints: steps 5 and 6 are repeated.
    fs::remove_file(run.join("checkpoint.safetensors")).map_err(failed)?;
    process::run(
        training(&data, &run)
            .arg("--resume")
            .envs(variables.iter().cloned()),
    )?;
    let mut script = Command::new(python);
    process::run(
        script
            .arg("-B")
            .arg(crate::root().join("tools/tensorboard_check.py"))
            .arg(&run),
    )?;
    Ok(true)
}

/// Six steps of the tiny VQ-VAE.
fn training(data: &Path, run: &Path) -> Command {
    let mut command = cargo([
        "run",
        "--quiet",
        "--bin",
        "dbvq-wgpu",
        "--",
        "train",
        "cifar10-small",
    ]);
    command
        .args(["--stage", "vqvae", "--steps", "6", "--data"])
        .arg(data)
        .arg("--out")
        .arg(run);
    for set in TINY {
        command.args(["--set", set]);
    }
    command
}

/// Records in CIFAR-10's format: a label, then grey waves.
fn records(count: usize) -> Vec<u8> {
    let byte = |i: usize, at: usize| {
        if at == 0 {
            (i % 10) as u8
        } else {
            (at * (i + 3) % 251) as u8
        }
    };
    (0..count)
        .flat_map(|i| (0..RECORD).map(move |at| byte(i, at)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_labels_of_cifar10() {
        let bytes = records(12);
        assert_eq!(
            (bytes.len(), bytes[RECORD], bytes[11 * RECORD]),
            (12 * RECORD, 1, 1)
        );
    }
}
