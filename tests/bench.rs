//! The output of `dbvq-wgpu bench` as a program reads it, and its promises about a step in steady
//! state. Needs a GPU adapter.

mod common;

use std::io::Write;
use std::process::Stdio;

use assert_cmd::assert::OutputAssertExt;
use common::program;
use dbvq_wgpu::commands::bench::prepared::Prepared;
use dbvq_wgpu::commands::bench::work::{Case, Direction, Work};
use dbvq_wgpu::config::Experiment;
use dbvq_wgpu::gpu::{Counters, Gpu, GpuOptions};
use dbvq_wgpu::models::diffusion::Diffusion;
use dbvq_wgpu::models::sampler::{Process, Sampler};
use dbvq_wgpu::nn::init::Init;
use dbvq_wgpu::tensor::{Shape, Tensor};
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use serde_json::{Value, json};

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn the_result_for_programs_has_its_documented_form() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let picture = folder.path().join("roof.png");
    let mut bench = program();
    bench
        .args(["bench", "--json", "--filter", "ou_step", "--out"])
        .arg(&picture);
    let outcome = bench.assert().success();
    let found: Value =
        serde_json::from_slice(&outcome.get_output().stdout).expect("JSON and nothing else");
    assert_eq!(keys(&found), ["adapter", "cases", "copy_gbs", "fma_gflops"]);
    let number = |value: &Value| {
        value
            .as_f64()
            .filter(|v| *v > 0.0 && v.is_finite())
            .expect("a positive number")
    };
    let fma = number(&found["fma_gflops"]);
    let copy = number(&found["copy_gbs"]);
    let cases = found["cases"].as_array().expect("a list");
    assert_eq!(cases.len(), 1, "{found}");
    let case = &cases[0];
    assert_eq!(
        keys(case),
        [
            "direction",
            "gbs",
            "gflops",
            "ms",
            "op",
            "shape",
            "share_of_ceiling"
        ]
    );
    assert_eq!(
        (&case["op"], &case["direction"]),
        (&Value::from("ou_step"), &Value::from("forward"))
    );
    let seconds = number(&case["ms"]) / 1e3;
    let least = (number(&case["gflops"]) / fma).max(number(&case["gbs"]) / copy) * seconds;
    let share = number(&case["share_of_ceiling"]);
    assert!((share - least / seconds).abs() < 1e-6 * share, "{found}");
    assert!(image::open(&picture).expect("a picture").width() > 1000);
}

#[test]
fn a_start_is_timed_with_and_without_what_an_earlier_one_kept() {
    let mut bench = program();
    let outcome = bench
        .args(["bench", "--json", "--filter", "start-up"])
        .assert()
        .success();
    let found: Value = serde_json::from_slice(&outcome.get_output().stdout).expect("JSON");
    let rows = found["cases"].as_array().expect("a list");
    let named: Vec<_> = rows
        .iter()
        .map(|row| (row["shape"].as_str(), row["direction"].as_str()))
        .collect();
    let wanted = ["nothing kept", "kernels kept"]
        .map(|d| {
            [
                (Some("first kernel"), Some(d)),
                (Some("first toy step"), Some(d)),
            ]
        })
        .concat();
    assert_eq!(named, wanted);
    let ms: Vec<f64> = rows
        .iter()
        .map(|row| row["ms"].as_f64().expect("a time"))
        .collect();
    assert!(ms[0] > 0.0 && ms[1] > ms[0] && ms[3] > ms[2], "{ms:?}");
}

#[test]
fn a_filter_that_lets_nothing_through_names_the_ops() {
    let mut bench = program();
    let wrong = bench
        .args(["bench", "--filter", "convolution"])
        .assert()
        .code(2);
    wrong.stderr(contains("conv2d").and(contains("start-up")));
}

#[test]
fn the_side_of_a_comparison_answers_line_by_line() {
    let requests = [
        json!({ "list": true }),
        json!({ "work": { "op": "matmul", "m": 8, "k": 4, "n": 4 }, "gradients": true }),
        json!({ "run": true }),
        json!({ "work": { "op": "train", "preset": "no-such", "stage": null }, "gradients": false }),
        json!({ "run": true }),
    ];
    let mut worker = program();
    worker
        .arg("bench-worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = worker.spawn().expect("it starts");
    let mut input = child.stdin.take().expect("it is piped");
    requests
        .iter()
        .for_each(|request| writeln!(input, "{request}").expect("it reads"));
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8(output.stdout).expect("text");
    let answers = text
        .lines()
        .map(|line| line.strip_prefix("answer ").expect("an answer"));
    let answers: Vec<Value> = answers
        .map(|answer| serde_json::from_str(answer).expect("JSON"))
        .collect();
    assert_eq!(answers.len(), 5, "{text}");
    // Listed entries can be sent back as requests.
    let listed = answers[0].as_array().expect("a list");
    assert!(
        listed
            .iter()
            .all(|entry| serde_json::from_value::<Work>(entry["work"].clone()).is_ok()),
        "{text}"
    );
    assert!(
        answers[1]["first_ms"].as_f64() > Some(0.0) && answers[2]["ms"].as_f64() > Some(0.0),
        "{text}"
    );
    assert!(
        answers[3]["error"]
            .as_str()
            .is_some_and(|why| why.contains("no-such")),
        "{text}"
    );
    assert!(
        answers[4]["error"]
            .as_str()
            .is_some_and(|why| why.contains("nothing to run")),
        "{text}"
    );
}

/// Counters that must not grow: buffers, bind groups, pipelines, bytes.
fn created(counters: Counters) -> [u64; 4] {
    [
        counters.buffers,
        counters.bind_groups,
        counters.pipelines,
        counters.bytes,
    ]
}

fn gpu() -> Gpu {
    Gpu::open(GpuOptions::default())
        .expect("an adapter; `cargo xtask test` installs a software one")
}

#[test]
fn training_steps_create_nothing_in_steady_state() {
    for work in [
        Work::Train {
            preset: "toy-quick".into(),
            stage: None,
        },
        Work::UnetStep {
            n: 2,
            h: 8,
            w: 8,
            c: 32,
        },
    ] {
        let gpu = gpu();
        let case = Case {
            work,
            direction: Direction::Step,
        };
        let Ok(Prepared::Step(mut step)) = Prepared::new(&gpu, &case) else {
            panic!("{case} is a step")
        };
        let mut run = |numbers: std::ops::Range<u64>| {
            for number in numbers {
                step(number).expect("noise gives no trouble");
                gpu.submit();
            }
            (created(gpu.counters()), gpu.counters().dispatches)
        };
        let (before, recorded) = run(0..6);
        let (after, more) = run(6..26);
        assert_eq!(before, after, "{case}");
        assert!(
            more >= recorded + 20 * 20,
            "{case}: {} dispatches in 20 steps",
            more - recorded
        );
    }
}

#[test]
fn sampling_steps_create_nothing_in_steady_state() {
    let gpu = gpu();
    let sets = ["unet.base=16".to_string()];
    let Ok(Experiment::Grid(config)) = Experiment::load("cifar10-small", &sets) else {
        panic!("a preset of images")
    };
    let prior = Diffusion::new(&mut Init::new(&gpu, 0), &config).expect("a preset's prior");
    let eps = |z: &Tensor, t: usize| prior.eps(z, t, None);
    let variance = config.bridge.reverse_variance;
    let process = Process {
        gpu: &gpu,
        bridge: &prior.bridge,
        variance,
        target: prior.target(),
        eps: &eps,
    };
    for sampler in [
        Sampler::Ancestral,
        Sampler::Ddim { kappa: 0.0 },
        Sampler::Dpmpp2m,
    ] {
        let mut seen = Vec::new();
        let mut look = |_: usize, _: &Tensor| seen.push(created(gpu.counters()));
        process
            .sample(
                Shape::from([4, 8, 8, config.vqvae.dim]),
                sampler,
                40,
                1,
                &mut look,
            )
            .expect("40 levels fit");
        assert_eq!(seen.len(), 41);
        assert_eq!(seen[10], seen[40], "{sampler:?}");
    }
}
