//! What the program's tests share: the program itself, and readers of its files that are
//! independent of it.
#![allow(dead_code, reason = "each test takes a part of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program, with its pipeline cache kept out of the user's home.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dbvq-wgpu"));
    command.env(
        "XDG_CACHE_HOME",
        concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"),
    );
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
    command
        .arg("--set")
        .arg(format!("train.checkpoint_every={every}"))
        .arg("--out")
        .arg(out);
    command
}

/// The step of a checkpoint, and the bytes of each of its tensors.
pub fn checkpoint(run: &Path) -> (u64, BTreeMap<String, Vec<u8>>) {
    let bytes = std::fs::read(run.join("checkpoint.safetensors")).expect("a checkpoint");
    let (_, metadata) =
        safetensors::SafeTensors::read_metadata(&bytes).expect("a safetensors file");
    let step = metadata.metadata().as_ref().expect("it has metadata")["step"]
        .parse()
        .expect("a number");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
    (
        step,
        tensors
            .tensors()
            .into_iter()
            .map(|(name, view)| (name, view.data().to_vec()))
            .collect(),
    )
}

/// The steps in `metrics.jsonl`; every line must hold the documented numbers.
pub fn logged_steps(run: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).expect("metrics.jsonl");
    let step = |line: &str| {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        for key in ["loss", "grad_norm", "lr"] {
            assert!(line[key].is_f64(), "{key} in {line}");
        }
        line["step"].as_u64().expect("a step")
    };
    text.lines().map(step).collect()
}

/// A folder with `images` records in CIFAR-10's binary format: blobs of one colour on another.
pub fn data_set(folder: &Path, images: usize) -> PathBuf {
    let record = |i: usize| {
        let inside = move |p: usize| {
            (p % 32).abs_diff(8 + i % 16) < 6 && (p / 32).abs_diff(8 + i * 5 % 16) < 6
        };
        let value = move |c: usize, p: usize| {
            if inside(p) {
                (i * 37 + c * 80) as u8
            } else {
                (c * 60 + i) as u8
            }
        };
        let pixels = (0..3).flat_map(move |c| (0..1024).map(move |p| value(c, p)));
        std::iter::once((i % 10) as u8).chain(pixels)
    };
    std::fs::create_dir_all(folder).expect("a folder");
    for (file, count) in [("data_batch_1.bin", images), ("test_batch.bin", 8)] {
        let bytes: Vec<u8> = (0..count).flat_map(record).collect();
        std::fs::write(folder.join(file), bytes).expect("a file");
    }
    folder.to_path_buf()
}

/// Settings that make the networks of `cifar10-small` as small as possible.
pub const TINY: [&str; 14] = [
    "vqvae.channels=8",
    "vqvae.inner=4",
    "vqvae.dim=4",
    "vqvae.codes=16",
    "vqvae.revive_every=2",
    "unet.base=8",
    "unet.blocks=1",
    "bridge.steps=40",
    "bridge.beta_end=0.4",
    "pixelcnn.layers=2",
    "pixelcnn.channels=8",
    "pixelcnn.head=8",
    "stages.evaluate_every=4",
    "stages.evaluate_images=8",
];

/// `train cifar10-small` with networks and batches as small as possible.
pub fn train(stage: &str, data: &Path, out: &Path, steps: u64) -> Command {
    let mut command = program();
    command.args([
        "train",
        "cifar10-small",
        "--stage",
        stage,
        "--steps",
        &steps.to_string(),
        "--data",
    ]);
    command.arg(data).arg("--out").arg(out);
    for set in TINY {
        command.args(["--set", set]);
    }
    for key in ["batch=4", "checkpoint_every=2", "log_every=1"] {
        command.args(["--set", &format!("stages.{stage}.{key}")]);
    }
    command
}

/// Builds `command` on the run `run`.
pub fn from(mut command: Command, run: &Path) -> Command {
    command.arg("--from").arg(run);
    command
}

/// Shape and bytes of each tensor of a file.
pub fn tensors(file: &Path) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
    let bytes = std::fs::read(file).expect("a file of samples");
    let all = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
    all.tensors()
        .into_iter()
        .map(|(name, view)| (name, (view.shape().to_vec(), view.data().to_vec())))
        .collect()
}

/// The numbers of an f32 tensor.
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}

/// The numbers of a u32 tensor.
pub fn codes(bytes: &[u8]) -> Vec<u32> {
    bytes
        .chunks_exact(4)
        .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}
