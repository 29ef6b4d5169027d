//! `reproduce` as a user sees it, with networks as small as possible. Needs a GPU adapter.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use assert_cmd::assert::OutputAssertExt;
use common::{TINY, checkpoint, data_set, program};
use predicates::str::contains;
use serde_json::Value;

/// Steps of each stage.
const STEPS: u64 = 4;

/// `reproduce cifar10 --small` of tiny networks.
fn images(data: &Path, out: &Path) -> Command {
    let mut command = program();
    command
        .args(["reproduce", "cifar10", "--small", "--data"])
        .arg(data)
        .arg("--out")
        .arg(out);
    for set in TINY
        .iter()
        .chain(&["bridge.steps=10", "bridge.beta_end=0.9"])
    {
        command.args(["--set", set]);
    }
    command.args([
        "--nll-images",
        "1",
        "--nll-samples",
        "2",
        "--time-budget",
        "0.01",
    ]);
    for stage in ["vqvae", "prior", "pixelcnn", "joint"] {
        for key in [
            &format!("steps={STEPS}"),
            "batch=4",
            "checkpoint_every=2",
            "log_every=1",
        ] {
            command.args(["--set", &format!("stages.{stage}.{key}")]);
        }
    }
    command
}

/// `reproduce toy` with two trainings.
fn toy(out: &Path) -> Command {
    let mut command = program();
    command
        .args(["reproduce", "toy", "--seeds", "1", "--out"])
        .arg(out);
    for set in [
        "train.steps=6",
        "train.batch=32",
        "train.log_every=2",
        "train.checkpoint_every=2",
        "bridge.steps=4",
    ] {
        command.args(["--set", set]);
    }
    command
}

/// Sends `signal` to the command as soon as `file` exists. Returns its exit code, `None` after a
/// kill.
fn stopped_at(mut command: Command, file: &Path, signal: &str) -> Option<i32> {
    let mut child = command
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    while !file.exists()
        && child
            .try_wait()
            .expect("a child can be waited for")
            .is_none()
    {
        std::thread::sleep(Duration::from_millis(1));
    }
    Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status()
        .expect("kill is installed");
    child.wait().expect("it is gone").code()
}

/// Reads `report.json`, whose figures must all exist and appear in `report.md`.
fn report(out: &Path) -> Value {
    let bytes = std::fs::read(out.join("report.json")).expect("a report");
    let report: Value = serde_json::from_slice(&bytes).expect("JSON");
    let page = std::fs::read_to_string(out.join("report.md")).expect("a page");
    let figures = report["figures"].as_array().expect("figures");
    for figure in figures {
        let file = figure["file"].as_str().expect("a name");
        assert!(
            image::open(out.join(file)).is_ok_and(|picture| picture.width() > 100),
            "{file}"
        );
        assert!(
            page.contains(&format!("]({file})")),
            "{file} is not in the report"
        );
    }
    assert!(figures.len() >= 7, "{} figures", figures.len());
    report
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn the_toy_goes_from_nothing_to_a_report() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let out = folder.path().join("toy");
    toy(&out)
        .assert()
        .success()
        .stderr(contains("1/6 seed-0: training 6 steps"));
    let found = report(&out);
    let seeds = found["seeds"].as_array().expect("seeds");
    let names: Vec<&str> = found["trainings"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|t| t["name"].as_str())
        .collect();
    assert_eq!((seeds.len(), &names[..]), (1, &["seed-0", "joint"][..]));
    for measured in [&seeds[0], &found["joint"]] {
        let samplers = measured["samplers"].as_array().expect("samplers");
        assert_eq!(samplers.len(), 4);
        for sampler in samplers {
            let valid = number(&sampler["valid"]);
            let apart = number(&sampler["total_variation"]);
            assert!(
                (0.0..=1.0).contains(&valid) && (0.0..=1.0).contains(&apart),
                "{sampler}"
            );
            let distinct = number(&sampler["distinct"]);
            assert!(
                (1.0..=number(&sampler["samples"])).contains(&distinct),
                "{sampler}"
            );
        }
        for filled in measured["fillings"].as_array().expect("fillings") {
            let paths: f64 = filled["paths"]
                .as_array()
                .expect("two")
                .iter()
                .map(number)
                .sum();
            assert!(
                (paths - number(&filled["consistent"])).abs() < 1e-12,
                "{filled}"
            );
        }
    }
    assert_eq!(found["table_4"]["ours"].as_array().map(Vec::len), Some(6));
    // Again: everything exists, and the report says the same.
    let page = std::fs::read(out.join("report.md")).expect("a page");
    toy(&out)
        .assert()
        .success()
        .stderr(contains("used as it is").count(2))
        .stderr(contains("exists, kept").count(3));
    assert_eq!(std::fs::read(out.join("report.md")).expect("a page"), page);
    // Trainings of another configuration are not reused.
    toy(&out)
        .args(["--set", "train.lr=1e-3"])
        .assert()
        .code(3)
        .stderr(contains("seed-0: this run has another configuration"))
        .stderr(contains("lr = 0.001"));
}

#[test]
fn images_are_stopped_twice_and_go_on_to_a_report() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let data = data_set(&folder.path().join("data"), 24);
    let out = folder.path().join("out");
    let run = |name: &str| out.join("runs").join(name);
    assert_eq!(
        stopped_at(
            images(&data, &out),
            &run("prior").join("checkpoint.safetensors"),
            "-KILL"
        ),
        None
    );
    let vqvae = checkpoint(&run("vqvae"));
    assert_eq!(vqvae.0, STEPS);
    assert_eq!(
        stopped_at(
            images(&data, &out),
            &run("pixelcnn").join("config.toml"),
            "-INT"
        ),
        Some(130)
    );
    assert_eq!(checkpoint(&run("vqvae")), vqvae);
    assert!(
        (1..=STEPS).contains(&checkpoint(&run("pixelcnn")).0),
        "what was trained is saved"
    );
    // Killed again during the evaluations; then run to the end.
    let kept = out.join("kept").join("codes.json");
    assert_eq!(stopped_at(images(&data, &out), &kept, "-KILL"), None);
    let stamp = |file: &Path| {
        std::fs::metadata(file)
            .and_then(|m| m.modified())
            .expect("it is there")
    };
    let before = stamp(&kept);
    let runs = [
        "prior",
        "prior-paper",
        "pixelcnn",
        "joint",
        "prior-seed1",
        "prior-paper-seed1",
        "pixelcnn-seed1",
    ];
    images(&data, &out)
        .assert()
        .success()
        .stderr(contains("parameters, 4 steps × 4 images, ").count(runs.len() + 1))
        .stderr(contains("vqvae: exists (4 steps), used as it is"))
        .stderr(contains("samples: exists, kept"))
        .stderr(contains("codes: exists, kept"));
    for name in runs {
        assert_eq!(checkpoint(&run(name)).0, STEPS, "{name}");
    }
    assert!(run("pixelcnn-seed1").join("config.toml").exists());
    assert_ne!(
        checkpoint(&run("pixelcnn")),
        checkpoint(&run("pixelcnn-seed1")),
        "seeds differ"
    );
    assert_eq!(stamp(&kept), before, "what was kept is not made again");
    check_report(&report(&out));
    let page = std::fs::read_to_string(out.join("report.md")).expect("a page");
    assert!(
        page.contains("| FID | Diffusion prior | 104 | — |") && page.contains("--inception FILE"),
        "{page}"
    );
    assert!(
        page.contains("| FID | Diffusion prior, as in the paper | 104 | — |")
            && page.contains(" (n = 2; floor "),
        "{page}"
    );
    for row in [
        "| `runs/prior-paper-seed1` | ",
        "| U-Net, as in the paper | 57 M | ",
        "| PixelCNN | `raster, cached` | ",
    ] {
        assert!(page.contains(row), "{row}\n{page}");
    }
    // A run of another length is not reused.
    images(&data, &out)
        .args(["--set", "stages.pixelcnn.steps=5"])
        .assert()
        .code(3)
        .stderr(contains("pixelcnn: this run has another configuration"));
}

/// Checks that the numbers of an image report are present and consistent.
fn check_report(found: &Value) {
    let list = |value: &Value| {
        value
            .as_array()
            .unwrap_or_else(|| panic!("{value} is no list"))
            .clone()
    };
    assert_eq!(
        (
            list(&found["trainings"]).len(),
            list(&found["parameters"]).len()
        ),
        (8, 3)
    );
    assert!(
        list(&found["trainings"])
            .iter()
            .all(|t| number(&t["seconds"]) > 0.0 && t["steps"] == STEPS)
    );
    for training in list(&found["trainings"]) {
        let step = number(&training["flop_a_step"]);
        let all = number(&training["flop"]);
        assert!(
            number(&training["parameters"]) > 0.0 && step > 0.0 && all == step * STEPS as f64,
            "{training}"
        );
    }
    // Table 1, the sentence and the list of values agree.
    let kl = &found["kl"];
    let of = |metric: &str, model: &str| -> Vec<Value> {
        let all = list(&found["values"]);
        all.into_iter()
            .filter(|v| v["metric"] == metric && v["model"] == model)
            .collect()
    };
    let said = |i: usize| {
        found["verdicts"][i]
            .as_str()
            .expect("a sentence")
            .to_string()
    };
    let models = [
        ("diffusion", "diffusion", 0),
        ("paper-diffusion", "paper_diffusion", 1),
        ("pixel-cnn", "pixelcnn", 0),
    ];
    for (model, name, verdict) in models {
        let value = number(&kl[name]);
        assert!(
            value >= 0.0 && of("kl", model)[0]["value"] == kl[name],
            "{name}"
        );
        assert_eq!(list(&of("kl", model)[0]["values"]).len(), 2, "{name}");
        assert!(
            said(verdict).contains(&format!("{value:.3}"))
                && said(verdict).contains("training FLOPs"),
            "{found}"
        );
    }
    for model in ["diffusion", "paper-diffusion", "pixel-cnn", "end-to-end"] {
        let nll = of("nll", model);
        let time = of("time", model);
        // No code of an image's 16 costs less than nothing, for both masks, measured as in the
        // paper and otherwise.
        assert!(
            nll.len() >= 4 && nll.iter().all(|v| number(&v["value"]) >= 0.0),
            "{model}"
        );
        assert!(
            !time.is_empty() && time.iter().all(|v| number(&v["value"]) > 0.0),
            "{model}"
        );
        for values in [nll, time] {
            assert_eq!(
                values.iter().filter(|v| v["as_paper"] == true).count(),
                1,
                "{model}"
            );
        }
    }
    let published = list(&found["published"]);
    assert_eq!(
        published.len(),
        15,
        "tables 1 and 3, the values of the diffusion prior twice"
    );
    assert!(
        published
            .iter()
            .all(|p| !list(&p["why"]).is_empty() && p["comparable"].is_string())
    );
    let points = list(&found["steps"]["points"]);
    assert_eq!(points.len(), 3, "5 steps of two samplers, all of the third");
    assert!(
        points
            .iter()
            .all(|p| number(&p["kl"]) >= 0.0 && number(&p["seconds"]) > 0.0)
    );
    assert!(said(2).contains("at all 10 steps"), "{found}");
    let ways: Vec<Value> = list(&found["at_this_quality"])
        .iter()
        .map(|way| way["model"].clone())
        .collect();
    assert_eq!(
        ways,
        ["diffusion", "paper-diffusion", "pixel-cnn", "pixel-cnn"]
    );
}

#[test]
fn what_does_not_fit_is_said_in_a_sentence() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let out = folder.path().join("out");
    let call = |arguments: &[&str]| {
        let mut command = program();
        command
            .arg("reproduce")
            .args(arguments)
            .arg("--out")
            .arg(&out);
        command
    };
    call(&["cifar10"])
        .assert()
        .code(2)
        .stderr(contains("--data"));
    call(&["toy", "--data", "somewhere"])
        .assert()
        .code(2)
        .stderr(contains("makes its own data"));
    for (arguments, said) in [
        (&["toy", "--seeds", "0"][..], "--seeds must be at least 1"),
        (&["toy", "--seeds", "5000"], "--seeds 5000 is over 1000"),
        (
            &["toy", "--budget", "1"],
            "--budget is for the priors of images",
        ),
        (
            &["cifar10", "--data", "somewhere", "--seeds", "0"],
            "--seeds must be at least 1",
        ),
        (
            &["cifar10", "--data", "somewhere", "--budget", "0"],
            "--budget 0 must be a finite number of TFLOP above 0",
        ),
        (
            &["cifar10", "--data", "somewhere", "--budget=-1"],
            "--budget -1 must be",
        ),
        (
            &[
                "cifar10",
                "--small",
                "--data",
                "somewhere",
                "--budget",
                "1e-4",
            ],
            "is too small for one step of prior, which takes 0.0",
        ),
        (
            &[
                "cifar10",
                "--small",
                "--data",
                "somewhere",
                "--budget",
                "1",
                "--set",
                "stages.prior.steps=3",
            ],
            "omit --set stages.prior.steps",
        ),
        (
            &[
                "cifar10",
                "--small",
                "--data",
                "somewhere",
                "--set",
                "seed=9223372036854775807",
            ],
            "seed = 9223372036854775807 leaves no room for another seed",
        ),
    ] {
        call(arguments).assert().code(2).stderr(contains(said));
    }
    assert!(!out.exists(), "nothing is begun");
}
