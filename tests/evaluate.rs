//! `dbvq-wgpu evaluate` as a user sees it, on networks as small as possible. Needs a GPU adapter.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use assert_cmd::assert::OutputAssertExt;
use common::{data_set, from, program, train};
use predicates::str::contains;
use serde_json::Value;

/// A folder with `data` and runs of the stages vqvae, prior and pixelcnn, made once.
fn runs() -> &'static Path {
    static RUNS: OnceLock<PathBuf> = OnceLock::new();
    RUNS.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("evaluate");
        let _ = std::fs::remove_dir_all(&folder);
        let data = data_set(&folder.join("data"), 16);
        train("vqvae", &data, &folder.join("vqvae"), 4)
            .assert()
            .success();
        for stage in ["prior", "pixelcnn"] {
            from(
                train(stage, &data, &folder.join(stage), 2),
                &folder.join("vqvae"),
            )
            .assert()
            .success();
        }
        folder
    })
}

/// `evaluate RUNS --data DATA --out OUT ARGUMENTS`.
fn evaluate(names: &[&str], out: &Path, arguments: &[&str]) -> Command {
    let mut call = program();
    call.arg("evaluate")
        .args(names.iter().map(|name| runs().join(name)))
        .arg("--data")
        .arg(runs().join("data"));
    call.arg("--out").arg(out).args(arguments);
    call
}

fn evaluation(out: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(out.join("evaluation.json")).expect("an evaluation"))
        .expect("JSON")
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn every_metric_has_its_rows_and_they_hold_together() {
    let out = runs().join("all");
    let quick = [
        "--count",
        "8",
        "--nll-images",
        "3",
        "--nll-fit",
        "2",
        "--nll-samples",
        "2",
        "--nll-steps",
        "4",
    ];
    let mut call = evaluate(&["vqvae", "prior", "pixelcnn"], &out, &quick);
    call.args(["--nll-resample", "1", "--time-budget", "0.05"]);
    call.assert()
        .success()
        .stdout(contains("KL of the code distributions"))
        .stdout(contains("s/sample"));
    let found = evaluation(&out);
    assert_eq!(found["runs"].as_array().map(Vec::len), Some(3), "{found}");
    assert!(
        found["runs"]
            .as_array()
            .expect("runs")
            .iter()
            .all(|run| run["first_runs_codes"] == true)
    );
    // One VQ-VAE, whose errors are consistent with each other.
    let rebuilt = found["reconstruction"].as_array().expect("rows");
    assert_eq!(rebuilt.len(), 1);
    let mse = number(&rebuilt[0]["mse"]);
    let psnr = number(&rebuilt[0]["psnr"]);
    assert!((psnr - 10.0 * (4.0 / mse).log10()).abs() < 1e-9 && number(&rebuilt[0]["ssim"]) <= 1.0);
    for row in found["kl"].as_array().expect("rows") {
        let map: Vec<f64> = row["map"]
            .as_array()
            .expect("a map")
            .iter()
            .map(number)
            .collect();
        assert_eq!(map.len(), 64);
        assert!(
            (map.iter().sum::<f64>() / 64.0 - number(&row["mean"])).abs() < 1e-9
                && number(&row["floor"]) > 0.0
        );
    }
    assert_eq!(found["codes"].as_array().map(Vec::len), Some(2));
    let nll = found["nll"].as_array().expect("rows");
    // Two holes. For the diffusion prior: both distributions, each at two temperatures, and two
    // more told what is known. For the PixelCNN: both distributions.
    assert_eq!(nll.len(), 2 * (4 + 2 + 2));
    for row in nll {
        assert_eq!(
            row["cells"],
            serde_json::json!([9, 64]),
            "3 x 3 of 8 x 8 is the paper's share: {row}"
        );
        assert!(number(&row["mean"]) > 0.0 && number(&row["std"]) >= 0.0 && row["images"] == 3);
    }
    // At a fitted temperature a code costs at most one bit more than chance, which is 4 bits.
    let fitted = nll
        .iter()
        .filter(|row| row["fitted"] == true && row["law"] == "single");
    assert!(
        fitted.clone().count() == 2 && fitted.clone().all(|row| number(&row["mean"]) < 5.0),
        "{nll:?}"
    );
    // Sixteen codes: at most two bits more than chance.
    let whole = found["likelihood"].as_array().expect("rows");
    assert!(
        whole.len() == 2
            && whole
                .iter()
                .all(|row| (0.0..6.0).contains(&number(&row["bits"]))),
        "{whole:?}"
    );
    assert!(
        whole[0]["exact"] == false && whole[1]["exact"] == true && number(&whole[0]["last"]) > 0.0,
        "{whole:?}"
    );
    let time = found["time"].as_array().expect("rows");
    assert!(
        time.iter()
            .any(|row| row["sampler"] == "ancestral" && row["steps"] == 40),
        "{time:?}"
    );
    assert!(
        time.iter().any(|row| row["sampler"] == "raster, naive")
            && time.iter().all(|row| number(&row["seconds"]) > 0.0)
    );
    assert!(out.join("kl.png").exists());
}

#[test]
fn samples_are_kept_and_a_longer_evaluation_begins_with_them() {
    let out = runs().join("kept");
    let call = |count: &str| {
        evaluate(
            &["pixelcnn"],
            &out,
            &["--metrics", "codes", "--count", count, "--json"],
        )
    };
    call("4").assert().success().stdout(contains("\"codes\""));
    let files = || {
        std::fs::read_dir(out.join("samples"))
            .expect("samples")
            .map(|f| f.expect("a file").path())
            .collect()
    };
    let before: Vec<PathBuf> = files();
    let bytes = std::fs::read(&before[0]).expect("a file");
    // The whole chunk was drawn, so eight samples already exist.
    call("8")
        .assert()
        .success()
        .stderr(contains("samples 0 of").count(0));
    let after: Vec<PathBuf> = files();
    assert_eq!(before, after);
    assert_eq!(bytes, std::fs::read(&after[0]).expect("a file"));
}

#[test]
fn all_held_out_pictures_are_taken_where_they_are_few() {
    let out = runs().join("few");
    let call = evaluate(&["pixelcnn"], &out, &["--metrics", "codes"]);
    { call }
        .assert()
        .success()
        .stderr(contains("--count 8: all held-out images"));
    assert_eq!(evaluation(&out)["codes"][0]["count"], 8);
}

#[test]
fn without_weights_there_is_a_dash_and_the_reason() {
    let out = runs().join("weightless");
    let call = evaluate(
        &["pixelcnn", "vqvae"],
        &out,
        &["--metrics", "fid,codes", "--count", "2"],
    );
    let said = { call }.assert().success();
    let table = String::from_utf8_lossy(&said.get_output().stdout).into_owned();
    // Sentences are line-wrapped.
    let words = table.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains('—') && words.contains("No fid for") && words.contains("--inception FILE"),
        "{table}"
    );
    let missing = &evaluation(&out)["missing"];
    assert_eq!(missing.as_array().map(Vec::len), Some(1), "{missing}");
    assert_eq!(missing[0]["metrics"], serde_json::json!(["fid"]));
}

#[test]
fn what_cannot_be_evaluated_is_said_in_one_sentence() {
    let fails = |names: &[&str], arguments: &[&str], code: i32, words: &str| {
        let out = runs().join("refused");
        evaluate(names, &out, arguments)
            .assert()
            .code(code)
            .stderr(contains(words))
            .stderr(contains("panicked").count(0));
    };
    fails(
        &["prior"],
        &["--count", "9"],
        2,
        "has only 8 held-out images",
    );
    fails(
        &["prior"],
        &["--count", "0"],
        2,
        "--count must be at least 1",
    );
    fails(&["prior"], &["--time-budget", "0"], 2, "--time-budget 0");
    fails(&["prior"], &["--reference", "a.npz"], 2, "--inception");
    let weights = ["--inception", "none.safetensors"];
    let with = |more: &[&'static str]| [&weights[..], more].concat();
    fails(
        &["prior"],
        &with(&["--metrics", "kl", "--reference", "a.npz"]),
        2,
        "add fid to --metrics",
    );
    fails(
        &["prior"],
        &with(&["--save-stats", "stats.zip"]),
        2,
        "must end in .npz",
    );
    fails(
        &["prior"],
        &with(&["--save-stats", "no folder/stats.npz"]),
        2,
        "its folder does not exist",
    );
    fails(
        &["prior"],
        &with(&["--reference", "none.npz"]),
        9,
        "none.npz",
    );
    let foreign = runs().join("foreign.npz");
    std::fs::write(&foreign, b"mine").expect("a file");
    let file = foreign.to_str().expect("a plain path");
    let out = runs().join("refused");
    for (flag, code, words) in [
        ("--save-stats", 2, "holds no statistics"),
        ("--reference", 8, "it is not an .npz file"),
    ] {
        let call = evaluate(
            &["prior"],
            &out,
            &["--inception", "none.safetensors", flag, file],
        );
        { call }.assert().code(code).stderr(contains(words));
    }
    assert_eq!(std::fs::read(&foreign).expect("it is still there"), b"mine");
    fails(&["nowhere"], &["--count", "4"], 7, "is not a run directory");
    fails(
        &["prior"],
        &["--count", "4", "--metrics", "kl", "--sampling-steps", "41"],
        2,
        "--sampling-steps",
    );
}
