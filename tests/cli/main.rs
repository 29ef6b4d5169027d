//! The program as a user meets it: exit codes, messages, files, signals. Training needs a GPU
//! adapter.

mod checkpoints;
#[path = "../common/mod.rs"]
mod common;
mod output;
mod stopping;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::assert::OutputAssertExt;
use common::{checkpoint, logged_steps, program, training};
use predicates::str::contains;
use serde_json::Value;
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Runs, and expects exit code `code` with each of `words` in the message and no panic.
fn fails(mut command: Command, code: i32, words: &[&str]) {
    let mut outcome = command.assert().code(code);
    for word in words {
        outcome = outcome.stderr(contains(*word));
    }
    let said = String::from_utf8_lossy(&outcome.get_output().stderr).into_owned();
    assert!(!said.contains("panicked"), "{said}");
}

fn with(arguments: &[&str]) -> Command {
    let mut command = program();
    command.args(arguments);
    command
}

fn add(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    command
}

/// `sample RUN --out OUT` of a few sequences.
fn sampling(run: &Path, out: &Path) -> Command {
    let mut command = with(&[
        "sample",
        "--count",
        "20",
        "--sampler",
        "ddim",
        "--sampling-steps",
        "5",
    ]);
    command.arg("--out").arg(out).arg(run);
    command
}

/// A finished run of six steps, with checkpoints of steps 6 and 4.
fn trained(folder: &Path) -> PathBuf {
    let run = folder.join("run");
    training("toy", &run, 6, 2).assert().success();
    run
}

#[test]
fn wrong_usage_is_2() {
    let dir = folder();
    let run = trained(dir.path());
    let out = dir.path().join("out");
    fails(
        training("toy", &run, 6, 2),
        2,
        &["holds a run already", "--resume", "--out"],
    );
    fails(
        add(sampling(&run, &out), &["--kappa", "2"]),
        2,
        &["--kappa"],
    );
    let sample = |arguments: &[&str]| {
        let mut command = with(&["sample"]);
        command.arg(&run).arg("--out").arg(&out).args(arguments);
        command
    };
    fails(sample(&["--count", "0"]), 2, &["--count"]);
    fails(
        sample(&["--sampler", "euler"]),
        2,
        &["euler", "ancestral", "dpmpp2m"],
    );
    fails(
        sample(&["--sampler", "ddim", "--sampling-steps", "51"]),
        2,
        &["--sampling-steps", "50"],
    );
    fails(
        sample(&["--sampler", "paper-literal", "--sampling-steps", "10"]),
        2,
        &["paper-literal", "50"],
    );
    for (known, word) in [
        ("", "POSITION=CODE"),
        ("0", "POSITION=CODE"),
        ("5=0", "0 to 4"),
        ("0=8", "0 to 7"),
        ("0=0,0=1", "position 0 is given twice"),
        ("a=b", "POSITION=CODE"),
    ] {
        let mut command = with(&["inpaint", "--known", known]);
        command.arg("--out").arg(&out).arg(&run);
        fails(command, 2, &["--known", word]);
    }
    fails(
        add(
            training("toy", &dir.path().join("new"), 6, 2),
            &["--skip-broken"],
        ),
        2,
        &["is a toy"],
    );
    fails(
        with(&["schedule", "toy", "--beta-end", "0.1"]),
        2,
        &["--beta-end"],
    );
    fails(with(&["train"]), 2, &["Usage"]);
}

#[test]
fn wrong_configuration_is_3() {
    let dir = folder();
    let out = dir.path().join("out");
    fails(
        training("toyy", &out, 6, 2),
        3,
        &["'toyy'", "did you mean 'toy'?"],
    );
    let file = dir.path().join("mine.toml");
    std::fs::write(&file, "[train]\nlearning_rate = 1e-3\nbatc = 3\n").expect("a temporary file");
    let name = file.to_str().expect("a plain path");
    fails(
        training(name, &out, 6, 2),
        3,
        &["mine.toml", "unknown key `train.batc`", "`train.batch`"],
    );
    std::fs::write(&file, "[train\nbatch = 3\n").expect("a temporary file");
    fails(training(name, &out, 6, 2), 3, &["mine.toml", "line 1"]);
    let set = |text: &str| add(training("toy", &out, 6, 2), &["--set", text]);
    fails(set("train.lr=fast"), 3, &["train.lr", "fast"]);
    fails(set("train.lr=-1"), 3, &["train.lr"]);
    fails(
        set("train.steps"),
        3,
        &["--set train.steps", "key.path=value"],
    );
    fails(set("train.batch=0"), 3, &["train.batch"]);
    fails(
        set("bridge.thetta=1"),
        3,
        &["`bridge.thetta`", "`bridge.theta`"],
    );
    fails(
        set("bridge.total_time=0.01"),
        3,
        &["prior", "--allow-bad-terminal"],
    );
    fails(with(&["schedule", "--theta", "-1"]), 3, &["theta = -1"]);
    fails(with(&["schedule", "--steps", "99999999999"]), 3, &["steps"]);
    std::fs::write(&file, "[vqvae]\ncodes = 64\n").expect("a temporary file");
    let printed = with(&["presets", name, "--set", "vqvae.size=64"])
        .assert()
        .success();
    printed
        .stdout(contains("codes = 64"))
        .stdout(contains("size = 64"))
        .stderr(contains("preset = \"images-small\""));
    assert!(!out.exists(), "a wrong configuration leaves nothing behind");
    // A run resumes only as the run it was.
    let run = trained(dir.path());
    fails(
        add(
            training("toy", &run, 6, 2),
            &["--resume", "--set", "denoiser.channels=8"],
        ),
        3,
        &["denoiser.channels", "--out"],
    );
}

#[test]
fn a_wrong_adapter_is_4_and_lists_the_right_ones() {
    let dir = folder();
    let listed = with(&["adapters", "--json"])
        .output()
        .expect("the program starts");
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let first = listed[0]["name"]
        .as_str()
        .expect("this test needs a GPU adapter; Mesa's lavapipe will do");
    let out = dir.path().join("out");
    let command = add(training("toy", &out, 6, 2), &["--adapter", "no such thing"]);
    fails(command, 4, &["'no such thing'", first, "--adapter"]);
    for key in [
        "index", "backend", "kind", "driver", "limits", "features", "usable", "default",
    ] {
        assert!(!listed[0][key].is_null(), "{key}: {listed}");
    }
    let defaults = listed
        .as_array()
        .expect("a list")
        .iter()
        .filter(|a| a["default"] == true)
        .count();
    assert_eq!(defaults, 1, "{listed}");
    with(&["adapters"])
        .assert()
        .success()
        .stdout(contains(first));
}

/// As on a machine whose only interfaces are those that WGPU_BACKEND leaves out.
#[cfg(target_os = "linux")]
#[test]
fn a_variable_that_hides_the_adapters_is_named() {
    let hidden = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = with(arguments);
        command.envs(variables.iter().copied());
        command
    };
    let dir = folder();
    let out = dir.path().join("out");
    let train = [
        "train",
        "toy",
        "--steps",
        "2",
        "--out",
        out.to_str().expect("a plain path"),
    ];
    for command in [&["adapters"][..], &["adapters", "--json"], &train] {
        let words = ["WGPU_BACKEND=dx12 hides", "unset WGPU_BACKEND"];
        fails(hidden(&[("WGPU_BACKEND", "dx12")], command), 4, &words);
    }
    let of_vulkan = [
        ("WGPU_BACKEND", "vulkan"),
        ("VK_DRIVER_FILES", "/nowhere.json"),
    ];
    fails(
        hidden(&of_vulkan, &["adapters"]),
        4,
        &["VK_DRIVER_FILES=/nowhere.json"],
    );
    let of_loader = [
        ("WGPU_BACKEND", "vulkan"),
        ("VK_LOADER_DRIVERS_DISABLE", "*"),
    ];
    fails(
        hidden(&of_loader, &["adapters"]),
        4,
        &["VK_LOADER_DRIVERS_DISABLE=*"],
    );
    let named = [&train[..], &["--adapter", "none such"]].concat();
    fails(
        hidden(&[("WGPU_BACKEND", "vulkan")], &named),
        4,
        &["'none such'", "WGPU_BACKEND=vulkan", "may hide others"],
    );
}

#[test]
fn memory_that_is_out_is_6() {
    let dir = folder();
    let mut command = with(&[
        "train",
        "toy",
        "--steps",
        "2",
        "--gpu-memory",
        "1",
        "--set",
        "train.batch=2048",
    ]);
    command.arg("--out").arg(dir.path().join("out"));
    fails(command, 6, &["exhausted", "limit 1 MiB", "smaller batch"]);
}

#[test]
fn a_place_that_cannot_be_written_is_9() {
    let dir = folder();
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("a temporary file");
    fails(training("toy", &file.join("run"), 6, 2), 9, &["file"]);
    let run = trained(dir.path());
    fails(sampling(&run, &file.join("out")), 9, &["file"]);
    fails(
        training("nowhere.toml", &dir.path().join("out"), 6, 2),
        9,
        &["nowhere.toml"],
    );
}
