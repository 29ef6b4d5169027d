//! Whatever `train` accepts, the other commands accept too: the smallest images, codebooks, latents
//! and data sets, through every command. Needs a GPU adapter.

mod common;
#[path = "common/pictures.rs"]
mod pictures;

use std::path::{Path, PathBuf};
use std::process::Command;

use assert_cmd::assert::OutputAssertExt;
use common::{from, program};
use pictures::{folder, train};
use predicates::str::contains;
use serde_json::Value;

/// The smallest networks, with a bridge whose `beta_end` ends it in `steps`.
fn sized(mut command: Command, sets: &[&str]) -> Command {
    let small = [
        "unet.base=8",
        "unet.blocks=1",
        "pixelcnn.layers=2",
        "pixelcnn.channels=8",
        "pixelcnn.head=8",
    ];
    for set in small.iter().chain(sets) {
        command.args(["--set", set]);
    }
    command
}

/// Runs of all stages on images of 8 × 8 in `data`.
fn trained(dir: &Path, data: &Path, sets: &[&str]) -> [PathBuf; 4] {
    let stages = ["vqvae", "prior", "pixelcnn", "joint"];
    let runs = stages.map(|stage| dir.join(stage));
    for (stage, run) in stages.iter().zip(&runs) {
        let command = sized(train(stage, data, run, 2), sets);
        let command = if *stage == "vqvae" {
            command
        } else {
            from(command, &runs[0])
        };
        { command }.arg("--allow-bad-terminal").assert().success();
    }
    runs
}

/// Runs, and expects success without NaN or infinity in the output.
fn works(command: &mut Command, what: &str) {
    let outcome = command.output().expect("the program starts");
    let said = [outcome.stdout, outcome.stderr]
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .concat();
    assert!(outcome.status.success(), "{what}: {said}");
    assert!(
        !said.contains("panicked") && !said.contains("NaN") && !said.contains("inf "),
        "{what}: {said}"
    );
}

fn evaluation(out: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(out.join("evaluation.json")).expect("an evaluation"))
        .expect("JSON")
}

/// Paths of the nulls in `value` whose names are not in `explained`.
fn unexplained(value: &Value, path: &str, explained: &[&str]) -> Vec<String> {
    match value {
        Value::Null if explained.iter().any(|name| path.ends_with(name)) => Vec::new(),
        Value::Null => vec![path.to_string()],
        Value::Array(all) => all
            .iter()
            .flat_map(|v| unexplained(v, path, explained))
            .collect(),
        Value::Object(all) => all
            .iter()
            .flat_map(|(k, v)| unexplained(v, &format!("{path}.{k}"), explained))
            .collect(),
        _ => Vec::new(),
    }
}

/// Runs every command on runs with these settings.
fn every_command(count: u8, sets: &[&str]) -> (tempfile::TempDir, Value) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = folder(&dir.path().join("data"), count);
    let runs = trained(dir.path(), &data, sets);
    let picture = data.join("00.png");
    for run in &runs {
        let stage = run
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let call = |command: &str, rest: &[&str]| {
            let mut call = program();
            call.arg(command)
                .arg(run)
                .args(rest)
                .arg("--out")
                .arg(dir.path().join(format!("{command}-{stage}")));
            works(&mut call, &format!("{command} of {stage}, {sets:?}"));
        };
        let known = picture.to_str().expect("a plain path");
        call("reconstruct", &["--images", known]);
        call(
            "reconstruct",
            &["--data", data.to_str().expect("a plain path"), "--separate"],
        );
        let mut export = program();
        export
            .arg("export")
            .arg(run)
            .arg("--out")
            .arg(dir.path().join(format!("{stage}.safetensors")));
        works(&mut export, "export");
        if stage == "vqvae" {
            continue;
        }
        call("sample", &["--count", "3", "--separate"]);
        call(
            "inpaint",
            &[
                "--known", known, "--mask", "centre:1", "--count", "2", "--paste",
            ],
        );
        if stage != "pixelcnn" {
            call("chain", &["--count", "1"]);
            call("chain", &["--known", known, "--mask", "left"]);
        }
    }
    let out = dir.path().join("evaluation");
    let mut call = program();
    call.arg("evaluate")
        .args(&runs)
        .arg("--data")
        .arg(&data)
        .arg("--out")
        .arg(&out);
    call.args([
        "--nll-samples",
        "2",
        "--nll-resample",
        "1",
        "--time-budget",
        "0.01",
    ]);
    works(&mut call, &format!("evaluate of {sets:?}"));
    let found = evaluation(&out);
    // An estimator accepts only settings that it knows.
    let settings = [
        "temperature",
        "samples",
        "steps",
        "extrapolated_from",
        "ssim",
        "psnr",
        "sharpen",
        "first",
        "last",
        "levels",
    ];
    assert_eq!(
        unexplained(&found, "", &settings),
        Vec::<String>::new(),
        "{sets:?}"
    );
    (dir, found)
}

/// What is missing from a metric, and why.
fn reason<'a>(found: &'a Value, metric: &str) -> &'a str {
    let of = |m: &&Value| {
        m["metrics"]
            .as_array()
            .is_some_and(|names| names.iter().any(|name| name == metric))
    };
    let missing = found["missing"].as_array().expect("a list").iter().find(of);
    missing.map_or("nothing is missing", |m| {
        m["reason"].as_str().expect("a reason")
    })
}

#[test]
fn pictures_below_the_window_of_a_metric_have_a_dash() {
    let (dir, found) = every_command(12, &["bridge.steps=2"]);
    for row in found["reconstruction"].as_array().expect("rows") {
        assert!(row["ssim"].is_null() && row["mse"].is_f64(), "{row}");
    }
    let words = "8 x 8 images are smaller than its 11 x 11 window";
    assert_eq!(reason(&found, "ssim"), words);
    assert!(reason(&found, "fid").contains("--inception FILE"));
    // One held-out image.
    assert!(reason(&found, "nll").contains("needs two held-out images"));
    let pixelcnn = found["nll"].as_array().expect("rows");
    assert!(
        !pixelcnn.is_empty() && pixelcnn.iter().all(|row| row["stage"] == "pixelcnn"),
        "{pixelcnn:?}"
    );
    // Also in the table, and before anything is measured.
    let mut call = program();
    call.arg("evaluate")
        .arg(dir.path().join("vqvae"))
        .args(["--metrics", "reconstruction,kl"]);
    call.arg("--data")
        .arg(dir.path().join("data"))
        .arg("--out")
        .arg(dir.path().join("again"));
    let said = call
        .assert()
        .success()
        .stderr(contains(words))
        .stdout(contains("No ssim for "));
    let table = String::from_utf8_lossy(&said.get_output().stdout).into_owned();
    let row = table
        .lines()
        .find(|line| line.ends_with('—') && line.contains("vqvae"));
    // Sentences are line-wrapped.
    let words_of = table.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        row.is_some()
            && words_of.contains(words)
            && words_of.contains("has no prior to sample from"),
        "{table}"
    );
}

#[test]
fn a_single_code_and_a_single_channel_go_through_every_command() {
    let (_dir, found) = every_command(30, &["vqvae.codes=1", "vqvae.dim=1", "bridge.steps=1"]);
    for row in found["kl"].as_array().expect("rows") {
        assert_eq!(
            (&row["mean"], &row["floor"]),
            (&Value::from(0.0), &Value::from(0.0)),
            "one law"
        );
    }
    for row in found["nll"].as_array().expect("rows") {
        assert!(
            row["mean"].as_f64().is_some_and(|bits| bits.abs() < 1e-6),
            "a single code takes no bits: {row}"
        );
    }
    for row in found["codes"].as_array().expect("rows") {
        assert_eq!(
            (&row["codes"], &row["pairs"]),
            (&Value::from(0.0), &Value::from(0.0))
        );
    }
}

#[test]
fn two_codes_and_one_class_go_through_every_command() {
    let sets = [
        "vqvae.codes=2",
        "vqvae.size=12",
        "classes=1",
        "stages.evaluate_images=1",
        "bridge.steps=3",
    ];
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = folder(&dir.path().join("data"), 24);
    for file in std::fs::read_dir(&data)
        .expect("a folder")
        .map(|entry| entry.expect("a file").path())
    {
        let picture = image::open(&file).expect("a picture");
        picture
            .resize_exact(12, 12, image::imageops::FilterType::Nearest)
            .save(&file)
            .expect("a picture");
    }
    let runs = trained(dir.path(), &data, &sets);
    let out = dir.path().join("evaluation");
    let mut call = program();
    call.arg("evaluate")
        .args(&runs)
        .arg("--data")
        .arg(&data)
        .arg("--out")
        .arg(&out);
    call.args([
        "--nll-samples",
        "2",
        "--nll-resample",
        "1",
        "--time-budget",
        "0.01",
    ]);
    works(&mut call, "evaluate");
    let found = evaluation(&out);
    assert!(
        found["reconstruction"][0]["ssim"].is_f64(),
        "the window fits once: {found}"
    );
    assert!(reason(&found, "nll").contains("class-conditional"));
    let mut sample = program();
    sample
        .arg("sample")
        .arg(&runs[1])
        .args(["--class", "0", "--guidance", "0", "--count", "2"]);
    works(
        sample.arg("--out").arg(dir.path().join("samples")),
        "sample",
    );
}

/// TFLOP of each prior of a reproduction.
const BUDGET: &str = "4e-6";

/// Whether every prior of the reproduction in `out` was trained for [`BUDGET`], to within half a
/// step.
fn of_one_budget(out: &Path) {
    let bytes = std::fs::read(out.join("report.json")).expect("a report");
    let report: Value = serde_json::from_slice(&bytes).expect("JSON");
    let trainings = report["trainings"].as_array().expect("a list");
    let names: Vec<&str> = trainings
        .iter()
        .filter_map(|training| training["name"].as_str())
        .collect();
    assert_eq!(
        names,
        ["vqvae", "prior", "prior-paper", "pixelcnn", "joint"]
    );
    for training in &trainings[1..4] {
        let [step, all, steps] =
            ["flop_a_step", "flop", "steps"].map(|key| training[key].as_f64().expect("a number"));
        let budget: f64 = BUDGET.parse().expect("a number");
        assert!(
            (all - 1e12 * budget).abs() <= 0.5 * step && all == step * steps,
            "{training}"
        );
    }
}

#[test]
fn reproduce_goes_through_with_dashes() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = folder(&dir.path().join("data"), 12);
    let out = dir.path().join("report");
    let mut command = program();
    command
        .args(["reproduce", "cifar10", "--small", "--data"])
        .arg(&data)
        .arg("--out")
        .arg(&out);
    let model = [
        "vqvae.size=8",
        "vqvae.channels=8",
        "vqvae.inner=4",
        "vqvae.dim=1",
        "vqvae.codes=1",
    ];
    let mut command = sized(command, &model);
    for set in [
        "bridge.steps=2",
        "bridge.beta_end=0.99",
        "stages.evaluate_images=1",
    ] {
        command.args(["--set", set]);
    }
    command.args([
        "--nll-samples",
        "2",
        "--time-budget",
        "0.01",
        "--seeds",
        "1",
        "--budget",
        BUDGET,
    ]);
    for stage in ["vqvae", "prior", "pixelcnn", "joint"] {
        for key in ["batch=4", "checkpoint_every=2", "log_every=1"] {
            command.args(["--set", &format!("stages.{stage}.{key}")]);
        }
    }
    for stage in ["vqvae", "joint"] {
        command.args(["--set", &format!("stages.{stage}.steps=2")]);
    }
    works(&mut command, "reproduce");
    let page = std::fs::read_to_string(out.join("report.md")).expect("a page");
    of_one_budget(&out);
    assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
    assert!(
        page.contains("## Not measured") && page.contains("needs two held-out images"),
        "{page}"
    );
}
