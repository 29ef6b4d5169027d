//! Priors on codes that a user provides: texts, sequences and grids through every command. Needs a
//! GPU adapter.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use assert_cmd::assert::OutputAssertExt;
use common::{checkpoint, program};
use predicates::str::contains;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;

/// The smallest networks, with a bridge of 20 levels.
const SMALL: [&str; 14] = [
    "codebook.dim=4",
    "bridge.steps=20",
    "bridge.beta_start=0.1",
    "bridge.beta_end=0.6",
    "unet.base=8",
    "unet.heads=1",
    "pixelcnn.layers=2",
    "pixelcnn.channels=8",
    "pixelcnn.head=8",
    "stages.evaluate_images=4",
    "stages.prior.batch=4",
    "stages.pixelcnn.batch=4",
    "stages.prior.log_every=1",
    "stages.pixelcnn.log_every=1",
];

fn train(stage: &str, data: &Path, out: &Path, steps: u64, sets: &[&str]) -> Command {
    let mut command = program();
    command.args(["train", "codes-small", "--stage", stage, "--steps"]);
    command.arg(steps.to_string()).arg("--data").arg(data);
    for set in SMALL.iter().chain(sets) {
        command.args(["--set", set]);
    }
    command.arg("--out").arg(out);
    command
}

/// A text that repeats a pattern of seven letters, shifted every 50 letters.
fn text(dir: &Path) -> PathBuf {
    let letters: String = (0..800)
        .map(|i| char::from(b'a' + (i * i % 7 + i / 50 % 3) as u8))
        .collect();
    let file = dir.join("text.txt");
    std::fs::write(&file, letters.replace('d', "\n")).expect("a temporary file");
    file
}

/// A `.safetensors` file of codes [40, 4, 6] below 5, as `i64`.
fn grids(dir: &Path) -> PathBuf {
    let codes: Vec<i64> = (0..40 * 4 * 6).map(|i| (i * i + i / 24) % 5).collect();
    let bytes: Vec<u8> = codes.iter().flat_map(|code| code.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::I64, vec![40, 4, 6], &bytes).expect("its bytes");
    let file = dir.join("grids.safetensors");
    std::fs::write(
        &file,
        safetensors::serialize([("codes", view)], None).expect("memory"),
    )
    .expect("a temporary file");
    file
}

fn summary(dir: &Path) -> Value {
    let text = std::fs::read(dir.join("summary.json")).expect("a summary");
    serde_json::from_slice(&text).expect("JSON")
}

/// Shape and values of the codes in a file of samples.
fn codes(dir: &Path) -> (Vec<usize>, Vec<u32>) {
    let bytes = std::fs::read(dir.join("samples.safetensors")).expect("samples");
    let tensors = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let codes = tensors.tensor("codes").expect("codes");
    (
        codes.shape().to_vec(),
        bytemuck::pod_collect_to_vec(codes.data()),
    )
}

fn run(name: &str) -> Command {
    let mut command = program();
    command.arg(name);
    command
}

#[test]
fn a_text_is_trained_sampled_filled_and_evaluated() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = text(dir.path());
    let window = ["codebook.width=16"];
    let prior = dir.path().join("prior");
    let pixelcnn = dir.path().join("pixelcnn");
    train("prior", &data, &prior, 6, &window)
        .assert()
        .success()
        .stderr(contains("45 samples to train on, 5 held out"));
    train("pixelcnn", &data, &pixelcnn, 6, &window)
        .assert()
        .success();
    for run_of in [&prior, &pixelcnn] {
        let out = run_of.join("samples");
        run("sample")
            .arg(run_of)
            .args(["--count", "5", "--out"])
            .arg(&out)
            .assert()
            .success()
            .stdout(contains("codes in use"));
        let (shape, values) = codes(&out);
        assert_eq!(shape, [5, 16]);
        assert!(values.iter().all(|&code| code < 7), "{values:?}");
        let texts = summary(&out)["texts"].clone();
        let texts = texts.as_array().expect("texts");
        assert_eq!(texts.len(), 5);
        let letters = texts[0].as_str().expect("a text").chars().count();
        assert_eq!(letters, 16);

        let out = run_of.join("filled");
        run("inpaint")
            .arg(run_of)
            .arg("--known")
            .arg(&data)
            .args(["--mask", "centre:4", "--count", "3", "--out"])
            .arg(&out)
            .assert()
            .success()
            .stdout(contains("3 fillings of 4 of 16 cells"));
        let (_, filled) = codes(&out);
        let text = std::fs::read_to_string(&data).expect("the text");
        let symbols: Vec<char> = BTreeSet::from_iter(text.chars()).into_iter().collect();
        let first: String = filled[..6].iter().map(|&c| symbols[c as usize]).collect();
        assert!(text.starts_with(&first), "{first:?} is what was given");

        let out = run_of.join("listed");
        run("inpaint")
            .arg(run_of)
            .args(["--known", "0=3,15=1", "--count", "2", "--out"])
            .arg(&out)
            .assert()
            .success();
        let (_, filled) = codes(&out);
        assert_eq!(
            [filled[0], filled[15], filled[16], filled[31]],
            [3, 1, 3, 1]
        );
    }
    run("chain")
        .arg(&prior)
        .args([
            "--count",
            "2",
            "--from-step",
            "10",
            "--sampling-steps",
            "20",
            "--out",
        ])
        .arg(dir.path().join("chain"))
        .assert()
        .success();
    let out = dir.path().join("evaluation");
    run("evaluate")
        .args([&prior, &pixelcnn])
        .arg("--data")
        .arg(&data)
        .args(["--metrics", "codes,kl,nll,likelihood,reconstruction"])
        .args(["--nll-images", "2", "--nll-fit", "1", "--nll-samples", "2"])
        .arg("--out")
        .arg(&out)
        .assert()
        .success()
        .stderr(contains("its data are codes, not images"));
    let text = std::fs::read(out.join("evaluation.json")).expect("an evaluation");
    let evaluation: Value = serde_json::from_slice(&text).expect("JSON");
    for metric in ["codes", "kl", "likelihood"] {
        assert_eq!(
            evaluation[metric].as_array().map(Vec::len),
            Some(2),
            "{metric}: {evaluation}"
        );
    }
}

#[test]
fn grids_train_and_a_killed_run_goes_on_to_equal_bits() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = grids(dir.path());
    let whole = dir.path().join("whole");
    let parts = dir.path().join("parts");
    train("prior", &data, &whole, 6, &[]).assert().success();
    train(
        "prior",
        &data,
        &parts,
        6,
        &["stages.prior.checkpoint_every=3"],
    )
    .assert()
    .success();
    // As if killed after its first checkpoint.
    std::fs::rename(
        parts.join("checkpoint.previous.safetensors"),
        parts.join("checkpoint.safetensors"),
    )
    .expect("the checkpoint before");
    train(
        "prior",
        &data,
        &parts,
        6,
        &["stages.prior.checkpoint_every=3"],
    )
    .arg("--resume")
    .assert()
    .success();
    assert!(
        checkpoint(&whole) == checkpoint(&parts),
        "the weights are the same to the bit"
    );
    run("sample")
        .arg(&whole)
        .args(["--count", "3", "--out"])
        .arg(dir.path().join("samples"))
        .assert()
        .success();
    assert_eq!(codes(&dir.path().join("samples")).0, [3, 4, 6]);
    // Samples can serve as a data set.
    train(
        "pixelcnn",
        &dir.path().join("samples/samples.safetensors"),
        &dir.path().join("again"),
        1,
        &[],
    )
    .assert()
    .success();
}

#[test]
fn what_does_not_go_together_is_said_in_a_sentence() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = text(dir.path());
    let out = dir.path().join("run");
    for (command, code, words) in [
        (
            train("vqvae", &data, &out, 1, &[]),
            2,
            "choose --stage prior or pixelcnn",
        ),
        (
            train("prior", dir.path(), &out, 1, &[]),
            8,
            "is a folder; name a file of codes",
        ),
        (
            train("prior", &data, &out, 1, &["codebook.width=2000"]),
            8,
            "800 characters, fewer than the 2000 of a sample",
        ),
        (
            {
                let mut command = train("prior", &data, &out, 1, &[]);
                command.arg("--from").arg(&out);
                command
            },
            2,
            "omit --from",
        ),
        (
            train("prior", &data, &out, 1, &["vqvae.size=8"]),
            3,
            "unknown key `vqvae`",
        ),
        (
            {
                let mut command = train("prior", &data, &out, 1, &[]);
                command.arg("--resize");
                command
            },
            2,
            "are for images",
        ),
    ] {
        { command }.assert().code(code).stderr(contains(words));
    }
    assert!(!out.exists(), "nothing is left of what was refused");
    train("prior", &data, &out, 1, &["codebook.width=16"])
        .assert()
        .success();
    let filled = dir.path().join("filled");
    let inpaint = |known: &str, mask: Option<&str>| {
        let mut command = run("inpaint");
        command.arg(&out).args(["--known", known]);
        command.args(mask.iter().flat_map(|mask| ["--mask", mask]));
        command.arg("--out").arg(&filled);
        command
    };
    for (mut command, code, words) in [
        (inpaint("0=99", None), 2, "a code of 0 to 6"),
        (
            inpaint(&data.to_string_lossy(), None),
            2,
            "a file needs a --mask",
        ),
        (inpaint("none.txt", Some("left")), 9, "none.txt"),
        (
            {
                let mut command = run("reconstruct");
                command.arg(&out).arg("--data").arg(&data);
                command.arg("--out").arg(&filled);
                command
            },
            2,
            "nothing to reconstruct",
        ),
    ] {
        command.assert().code(code).stderr(contains(words));
    }
}
