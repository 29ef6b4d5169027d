//! What the tests of the program share: the program itself, and its files read independently of it.
#![allow(dead_code, reason = "each test takes a part of it")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// The program, its pipeline cache kept out of the user's home.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dbvq-wgpu"));
    command.env("XDG_CACHE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"));
    command
}

/// `train PRESET --out DIR` with small batches, every step logged.
pub fn training(preset: &str, out: &Path, steps: u64, every: u64) -> Command {
    let mut command = program();
    command.args([
        "train",
        preset,
        "--steps",
        &steps.to_string(),
        "--set",
        "train.batch=32",
        "--set",
        "train.log_every=1",
    ]);
    command.arg("--set").arg(format!("train.checkpoint_every={every}")).arg("--out").arg(out);
    command
}

/// The step of a checkpoint, and the bytes of each of its tensors.
pub fn checkpoint(run: &Path) -> (u64, BTreeMap<String, Vec<u8>>) {
    let bytes = std::fs::read(run.join("checkpoint.safetensors")).expect("a checkpoint");
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).expect("a safetensors file");
    let step = metadata.metadata().as_ref().expect("it has metadata")["step"].parse().expect("a number");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
    (step, tensors.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect())
}

/// The steps of `metrics.jsonl`, every line of which must hold the documented numbers.
pub fn logged_steps(run: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).expect("metrics.jsonl");
    let step = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        for key in ["loss", "grad_norm", "lr"] {
            assert!(line[key].is_f64(), "{key} in {line}");
        }
        line["step"].as_u64().expect("a step")
    };
    text.lines().map(step).collect()
}
