//! Training of the image models as a user meets it, on a tiny data set in CIFAR-10's format. Needs a GPU adapter.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use assert_cmd::assert::OutputAssertExt;
use common::{checkpoint, data_set, from, program, train};
use predicates::str::contains;

/// Lines of the log that hold `key`.
fn logged(run: &Path, key: &str) -> usize {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).expect("metrics.jsonl");
    text.lines().filter(|line| line.contains(&format!("\"{key}\":"))).count()
}

/// Kills the training as soon as it has saved a checkpoint, if it is not faster.
fn kill_once_saved(mut command: Command, run: &Path) {
    let mut child = command.stderr(Stdio::null()).spawn().expect("the program starts");
    let saved = run.join("checkpoint.safetensors");
    while !saved.exists() && child.try_wait().expect("a child can be waited for").is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = child.kill();
    child.wait().expect("it is gone");
    assert!(saved.exists(), "no checkpoint in {}", run.display());
}

#[test]
fn every_stage_trains_resumes_to_the_same_bits_and_draws() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let data = data_set(&folder.path().join("data"), 24);
    let vqvae = folder.path().join("vqvae-straight");
    for (stage, picture, held_out) in [
        ("vqvae", "reconstructions", "held_out_psnr"),
        ("prior", "samples", "held_out_loss"),
        ("pixelcnn", "samples", "held_out_bits_per_code"),
    ] {
        let [straight, broken] = ["straight", "broken"].map(|name| folder.path().join(format!("{stage}-{name}")));
        let build = |out: &Path, steps: u64| match stage {
            "vqvae" => train(stage, &data, out, steps),
            _ => from(train(stage, &data, out, steps), &vqvae),
        };
        build(&straight, 6).assert().success();
        assert!(straight.join(format!("{picture}-000004.png")).exists() && logged(&straight, held_out) == 2, "{stage}");
        assert_eq!(logged(&straight, "loss"), 6, "{stage}");
        kill_once_saved(build(&broken, 6), &broken);
        // The copy of the VQ-VAE in the run directory serves.
        let mut again = train(stage, &data, &broken, 6);
        again.arg("--resume").assert().success();
        assert_eq!(checkpoint(&broken), checkpoint(&straight), "{stage}");
    }
}

/// ‖a − b‖ / ‖a‖ over all tensors of two checkpoints whose names begin with `prefix`.
fn difference(a: &Path, b: &Path, prefix: &str) -> f64 {
    let values = |run: &Path| -> Vec<f64> {
        let tensors = checkpoint(run).1.into_iter().filter(|(name, _)| name.starts_with(prefix));
        let bytes: Vec<u8> = tensors.flat_map(|(_, bytes)| bytes).collect();
        bytes.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect()
    };
    let (a, b) = (values(a), values(b));
    assert!(a.len() == b.len() && !a.is_empty(), "{prefix}: {} and {} numbers", a.len(), b.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    norm(&mut a.iter().zip(&b).map(|(a, b)| a - b)) / norm(&mut a.iter().copied())
}

#[test]
fn a_batch_in_parts_is_the_same_step() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let data = data_set(&folder.path().join("data"), 24);
    let vqvae = folder.path().join("vqvae-1");
    for stage in ["vqvae", "prior", "pixelcnn"] {
        let [whole, parts] = [1, 4].map(|accumulate| {
            let out = folder.path().join(format!("{stage}-{accumulate}"));
            let mut command = train(stage, &data, &out, 3);
            command.args(["--set", "unet.dropout=0.3", "--set", &format!("stages.{stage}.batch=8")]);
            command.args(["--set", &format!("stages.{stage}.accumulate={accumulate}")]);
            let mut command = if stage == "vqvae" { command } else { from(command, &vqvae) };
            command.assert().success();
            out
        });
        // The first moment is the running mean of the gradients: other noise, levels or dropout would change it throughout.
        let moments = difference(&whole, &parts, "adam.first");
        assert!(moments < 1e-3 && moments > 0.0, "{stage}: {moments}");
        if stage == "vqvae" {
            let codes = difference(&whole, &parts, "codebook");
            assert!(codes < 1e-4, "{codes}");
        }
    }
}

#[test]
fn what_is_missing_or_does_not_fit_is_said_in_a_sentence() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let data = data_set(&folder.path().join("data"), 8);
    let out = |name: &str| folder.path().join(name);
    let fails = |mut command: Command, code: i32, words: &str| {
        command.assert().code(code).stderr(contains(words)).stderr(contains("panicked").count(0));
    };
    let vqvae = out("vqvae");
    train("vqvae", &data, &vqvae, 2).assert().success();
    fails(train("prior", &data, &out("a"), 2), 2, "--from");
    fails(from(train("prior", &data, &out("b"), 2), &out("nowhere")), 7, "there is no checkpoint");
    let mut other = from(train("prior", &data, &out("c"), 2), &vqvae);
    other.args(["--set", "vqvae.codes=32"]);
    fails(other, 7, "is no VQ-VAE of this preset");
    fails(from(train("vqvae", &data, &out("d"), 2), &vqvae), 2, "without --from");
    let mut small = train("vqvae", &data, &out("e"), 2);
    small.args(["--set", "vqvae.size=84"]);
    fails(small, 8, "its images are 32 x 32");
    fails(train("vqvae", &out("no-data"), &out("f"), 2), 8, "is no folder");
    let mut nothing = program();
    nothing.args(["train", "cifar10-small", "--out"]).arg(out("g"));
    fails(nothing, 2, "--stage");
    let mut toy = program();
    toy.args(["train", "toy", "--stage", "prior", "--out"]).arg(out("h"));
    fails(toy, 2, "is a toy");
    // A prior is no VQ-VAE to build on.
    let prior = out("prior");
    from(train("prior", &data, &prior, 2), &vqvae).assert().success();
    fails(from(train("pixelcnn", &data, &out("i"), 2), &prior), 7, "is no VQ-VAE of this preset");
}
