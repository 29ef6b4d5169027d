//! Folders of tiny images, and the training of a tiny VQ-VAE on them.

use std::path::{Path, PathBuf};
use std::process::Command;

use image::{Rgb, RgbImage};

use super::common::program;

/// A folder of `count` PNG files of 8 × 8 pixels.
pub fn folder(dir: &Path, count: u8) -> PathBuf {
    std::fs::create_dir_all(dir).expect("a folder");
    for i in 0..count {
        let picture = RgbImage::from_fn(8, 8, |x, y| {
            Rgb([i.wrapping_mul(40), 30 * x as u8, 30 * y as u8])
        });
        picture
            .save(dir.join(format!("{i:02}.png")))
            .expect("a picture");
    }
    dir.to_path_buf()
}

/// `train cifar10-small --stage STAGE` with everything as small as possible, on images of 8 × 8.
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
    for set in ["size=8", "channels=8", "inner=4", "dim=4", "codes=16"] {
        command.args(["--set", &format!("vqvae.{set}")]);
    }
    for set in ["evaluate_every=2", "evaluate_images=4"] {
        command.args(["--set", &format!("stages.{set}")]);
    }
    for set in ["batch=4", "checkpoint_every=2", "log_every=1"] {
        command.args(["--set", &format!("stages.{stage}.{set}")]);
    }
    command
}
