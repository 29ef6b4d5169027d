//! The program as a user meets it: exit codes, messages, files, signals. Training needs a GPU
//! adapter.

mod common;

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

/// A finished run of six steps: its newest checkpoint is of step 6, the one before of step 4.
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
    // A run goes on only as the run it was.
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

/// On a machine with no other interface than the ones that WGPU_BACKEND leaves out.
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
fn a_missing_checkpoint_is_7() {
    let dir = folder();
    let out = dir.path().join("out");
    fails(
        sampling(dir.path(), &out),
        7,
        &["no run directory", "config.toml"],
    );
    fails(
        add(training("toy", &out, 6, 2), &["--resume"]),
        7,
        &["no run to resume"],
    );
    assert!(!out.exists());
    let run = trained(dir.path());
    for file in ["checkpoint.safetensors", "checkpoint.previous.safetensors"] {
        std::fs::remove_file(run.join(file)).expect("it was written");
    }
    fails(
        sampling(&run, &out),
        7,
        &["there is no checkpoint", "train first"],
    );
    assert!(!out.exists());
}

#[test]
fn a_damaged_checkpoint_falls_back_to_the_one_before() {
    let dir = folder();
    let run = trained(dir.path());
    let out = dir.path().join("out");
    let newest = run.join("checkpoint.safetensors");
    let before = run.join("checkpoint.previous.safetensors");
    let whole = std::fs::read(&newest).expect("a checkpoint");
    let good = checkpoint(&run);
    assert_eq!(good.0, 6);
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let mut boastful = whole.clone();
    boastful[..8].copy_from_slice(&(100u64 << 20).to_le_bytes());
    let mut endless = whole.clone();
    endless[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let damages: [(&str, &[u8], &str); 6] = [
        ("cut", &whole[..middle], "damaged"),
        ("flipped", &flipped, "checksum"),
        ("boastful", &boastful, "claims a header of 104857600"),
        ("endless", &endless, "claims a header"),
        ("empty", &[], "damaged"),
        ("text", b"this is no checkpoint at all", "damaged"),
    ];
    for (name, bytes, word) in damages {
        std::fs::write(&newest, bytes).expect(name);
        let outcome = sampling(&run, &out).assert().success();
        outcome
            .stderr(contains("warning"))
            .stderr(contains(word))
            .stderr(contains("step 4"));
    }
    // Training goes on from step 4, to the same bits.
    let resumed = add(training("toy", &run, 6, 2), &["--resume"])
        .assert()
        .success();
    resumed
        .stderr(contains("warning"))
        .stderr(contains("step 4"));
    assert_eq!(checkpoint(&run), good);
    assert_eq!(logged_steps(&run), [1, 2, 3, 4, 5, 6]);
    let kept = std::fs::read(&before).expect("the checkpoint before it");
    assert!(
        !damages.iter().any(|(_, bytes, _)| *bytes == kept),
        "a damaged file is never kept as the good one"
    );
    // A missing one is no fresh start either.
    std::fs::remove_file(&newest).expect("it was written");
    fails(training("toy", &run, 6, 2), 2, &["holds a run already"]);
    add(training("toy", &run, 6, 2), &["--resume"])
        .assert()
        .success()
        .stderr(contains("step 4"));
    assert_eq!(checkpoint(&run), good);
    for (name, bytes, word) in damages {
        std::fs::write(&newest, bytes).expect(name);
        std::fs::write(&before, bytes).expect(name);
        fails(sampling(&run, &out), 7, &["checkpoint.safetensors", word]);
    }
    fails(
        add(training("toy", &run, 6, 2), &["--resume"]),
        7,
        &["checkpoint.safetensors", "damaged"],
    );
}

#[test]
fn a_checkpoint_of_another_configuration_is_7() {
    let dir = folder();
    let run = trained(dir.path());
    for (name, set) in [
        ("small", "denoiser.channels=8"),
        ("slow", "bridge.theta=1.9"),
    ] {
        let other = dir.path().join(name);
        add(training("toy", &other, 6, 2), &["--set", set])
            .assert()
            .success();
        for file in ["checkpoint.safetensors", "checkpoint.previous.safetensors"] {
            std::fs::copy(run.join(file), other.join(file)).expect("a checkpoint");
        }
        fails(
            sampling(&other, &dir.path().join("out")),
            7,
            &["of another configuration"],
        );
        let resumed = add(training("toy", &other, 6, 2), &["--set", set, "--resume"]);
        fails(resumed, 7, &["of another configuration"]);
    }
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

#[test]
fn a_loss_that_is_not_finite_is_10_and_keeps_the_last_checkpoint() {
    let dir = folder();
    let wild = |out: &Path| {
        let sets = [
            "--set",
            "train.lr=1e30",
            "--set",
            "train.clip=0",
            "--set",
            "train.warmup=4",
        ];
        add(training("toy", out, 40, 1), &sets)
    };
    let run = dir.path().join("run");
    fails(
        wild(&run),
        10,
        &[
            "the loss is",
            "at step",
            "is kept",
            "smaller learning rate (train.lr",
        ],
    );
    let (step, tensors) = checkpoint(&run);
    assert!((1..40).contains(&step) && !tensors.is_empty());
    assert_eq!(
        logged_steps(&run).last(),
        Some(&step),
        "the step that left the numbers is neither logged nor saved"
    );
    fails(add(wild(&run), &["--resume"]), 10, &["at step"]);
    assert_eq!(checkpoint(&run), (step, tensors));
}

/// A training that runs until it is stopped, once it has written a checkpoint.
fn endless(run: &Path, resume: bool) -> Child {
    let mut command = training("toy", run, 1_000_000, 5);
    command
        .args(if resume { &["--resume"][..] } else { &[] })
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let modified = || {
        std::fs::metadata(run.join("checkpoint.safetensors"))
            .and_then(|m| m.modified())
            .ok()
    };
    let before = modified();
    let mut child = command.spawn().expect("the program starts");
    let begin = Instant::now();
    while modified() == before {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "no checkpoint in a minute"
        );
        let ended = child.try_wait().expect("a child can be waited for");
        assert!(
            ended.is_none(),
            "the training ended by itself ({ended:?}); it needs a GPU adapter"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

#[test]
fn a_run_directory_in_use_is_11() {
    let dir = folder();
    let run = dir.path().join("run");
    let mut child = endless(&run, false);
    let second = training("toy", &run, 1_000_000, 5);
    fails(
        add(second, &["--resume"]),
        11,
        &["another process", "run", "--out"],
    );
    child.kill().expect("it still runs");
    child.wait().expect("it is gone");
    // A dead process holds no lock.
    drop(stop(endless(&run, true)));
}

/// Kills the child and waits for it.
fn stop(mut child: Child) -> Child {
    child.kill().expect("it still runs");
    child.wait().expect("it is gone");
    child
}

#[cfg(unix)]
#[test]
fn signals_save_and_say_so() {
    let dir = folder();
    let run = dir.path().join("run");
    let mut last = 0;
    for (resume, signal, code) in [
        (false, "-INT", 130),
        (true, "-TERM", 143),
        (true, "-HUP", 129),
    ] {
        let child = endless(&run, resume);
        let sent = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()
            .expect("kill is installed");
        assert!(sent.success());
        let output = child.wait_with_output().expect("it is gone");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        let (step, _) = checkpoint(&run);
        assert!(
            step > last && said.contains(&format!("stopped at step {step}, saved")),
            "{step} after {last}: {said}"
        );
        assert!(said.contains("--resume"), "{said}");
        assert_eq!(
            logged_steps(&run),
            (1..=step).collect::<Vec<_>>(),
            "every step once"
        );
        last = step;
    }
}

#[cfg(unix)]
#[test]
fn an_ignored_hangup_stays_ignored() {
    let dir = folder();
    let run = dir.path().join("run");
    let mut command = Command::new("sh");
    let training = training("toy", &run, 1_000_000, 5);
    // As `nohup` does.
    command
        .args(["-c", "trap '' HUP; exec \"$@\"", "sh"])
        .arg(training.get_program())
        .args(training.get_args());
    command.stderr(Stdio::null());
    let mut child = command.spawn().expect("a shell is installed");
    let await_step = |least: u64| {
        let begin = Instant::now();
        while !run.join("checkpoint.safetensors").exists() || checkpoint(&run).0 < least {
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "no step {least} in a minute"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        checkpoint(&run).0
    };
    let step = await_step(5);
    assert!(
        Command::new("kill")
            .args(["-HUP", &child.id().to_string()])
            .status()
            .expect("kill is installed")
            .success()
    );
    await_step(step + 10);
    assert!(
        child
            .try_wait()
            .expect("a child can be waited for")
            .is_none(),
        "it goes on"
    );
    drop(stop(child));
}

#[cfg(unix)]
#[test]
fn a_limit_on_the_size_of_files_is_9_and_leaves_nothing_half_written() {
    let dir = folder();
    let run = dir.path().join("run");
    let mut command = Command::new("sh");
    let training = training("toy", &run, 6, 2);
    command
        .args(["-c", "ulimit -f 16; exec \"$@\"", "sh"])
        .arg(training.get_program())
        .args(training.get_args());
    command.env("XDG_CACHE_HOME", dir.path().join("cache"));
    fails(command, 9, &["checkpoint", "ulimit -f"]);
    let names = std::fs::read_dir(&run)
        .expect("the run")
        .map(|entry| entry.expect("an entry").file_name());
    let names: Vec<String> = names
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    assert!(
        !names.iter().any(|name| name.contains("checkpoint")),
        "{names:?}"
    );
}

#[test]
fn schedules_are_printed_or_refused() {
    fails(
        with(&["schedule", "--steps", "10"]),
        3,
        &["nats per dimension", "--allow-bad-terminal"],
    );
    with(&["schedule", "--steps", "10", "--allow-bad-terminal"])
        .assert()
        .success()
        .stdout(contains("terminal KL"));
    let output = with(&["schedule", "toy", "--json"])
        .output()
        .expect("the program starts");
    let table: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for (key, number) in [
        ("theta", 2.0),
        ("eta", 0.1),
        ("target", 0.0),
        ("stationary_variance", 0.0025),
    ] {
        assert!(
            (table[key].as_f64().expect(key) - number).abs() < 1e-12,
            "{key}: {}",
            table[key]
        );
    }
    assert!(
        table["terminal_kl_per_dim"]
            .as_f64()
            .is_some_and(|kl| (0.0..0.5).contains(&kl))
    );
    let steps = table["steps"].as_array().expect("a list");
    assert_eq!(
        steps.iter().map(|s| s["t"].as_u64()).collect::<Vec<_>>(),
        (1..=50).map(Some).collect::<Vec<_>>()
    );
    for step in steps {
        for key in [
            "delta",
            "beta",
            "alpha_bar",
            "log_snr",
            "mean_z",
            "mean_eps",
            "sigma2_bridge",
            "sigma2_forward",
        ] {
            assert!(step[key].is_f64(), "{key} in {step}");
        }
        // Infinite at t = 1 under the bridge variance, which JSON says as null.
        assert!(
            step["weight_forward"].is_f64() && step["weight_bridge"].is_f64() == (step["t"] != 1),
            "{step}"
        );
    }
    let last = steps[49]["alpha_bar"].as_f64().expect("a number");
    assert!((last - 1e-3).abs() < 1e-12, "alpha_bar_T = {last}");
}

#[test]
fn a_reader_who_stops_early_is_no_failure() {
    let mut child = with(&["schedule", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Nor is one who reads nothing at all, of a training or of what comes of it.
    let dir = folder();
    let run = dir.path().join("run");
    let out = dir.path().join("out");
    for mut command in [training("toy", &run, 6, 2), sampling(&run, &out)] {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        drop((child.stdout.take(), child.stderr.take()));
        assert!(child.wait().expect("it ends").success(), "{command:?}");
    }
    assert_eq!(checkpoint(&run).0, 6);
    assert!(out.join("samples.png").exists());
}

#[test]
fn samples_have_their_documented_form() {
    let dir = folder();
    let run = trained(dir.path());
    let out = dir.path().join("out");
    let read = |out: &Path| {
        let bytes = std::fs::read(out.join("samples.safetensors")).expect("samples");
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
        let codes = file.tensor("codes").expect("codes");
        let z0 = file.tensor("z0").expect("z0");
        assert_eq!(
            (codes.dtype(), z0.dtype()),
            (safetensors::Dtype::U32, safetensors::Dtype::F32)
        );
        assert_eq!((codes.shape(), z0.shape()), (&[20, 5][..], &[20, 5, 2][..]));
        let codes: Vec<u32> = bytemuck::pod_collect_to_vec(codes.data());
        let z0: Vec<f32> = bytemuck::pod_collect_to_vec(z0.data());
        assert!(codes.iter().all(|&c| c < 8) && z0.iter().all(|z| z.is_finite()));
        (codes, bytemuck::pod_collect_to_vec::<f32, u32>(&z0))
    };
    sampling(&run, &out)
        .assert()
        .success()
        .stdout(contains("valid chains"));
    let first = read(&out);
    let text = std::fs::read_to_string(out.join("summary.json")).expect("a summary");
    let summary: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (&summary["sampler"], &summary["steps"], &summary["samples"]),
        (&"ddim".into(), &5.into(), &20.into())
    );
    let png = std::fs::read(out.join("samples.png")).expect("a picture");
    assert!(png.starts_with(b"\x89PNG"));
    let again = dir.path().join("again");
    sampling(&run, &again).assert().success();
    assert_eq!(read(&again), first, "the same seed gives the same bits");
    let filled = dir.path().join("filled");
    let mut command = with(&[
        "inpaint",
        "--known",
        "0=0,4=4",
        "--resample",
        "1",
        "--count",
        "20",
    ]);
    command
        .arg("--out")
        .arg(&filled)
        .arg(&run)
        .assert()
        .success();
    let (codes, _) = read(&filled);
    assert!(
        codes.chunks_exact(5).all(|c| c[0] == 0 && c[4] == 4),
        "what is known stays"
    );
    assert_eq!(logged_steps(&run), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn help_names_commands_and_exit_codes() {
    let mut outcome = with(&["--help"]).assert().success();
    for word in [
        "data",
        "train",
        "sample",
        "inpaint",
        "schedule",
        "adapters",
        "presets",
        "Exit codes",
        "DBVQ_PROFILE",
    ] {
        outcome = outcome.stdout(contains(word));
    }
    with(&["presets"])
        .assert()
        .success()
        .stdout(contains("toy-joint"));
    let text = with(&["presets", "toy"])
        .output()
        .expect("the program starts")
        .stdout;
    let dir = folder();
    let file = dir.path().join("mine.toml");
    let run = dir.path().join("run");
    std::fs::write(&file, text).expect("a temporary file");
    training(file.to_str().expect("a plain path"), &run, 2, 2)
        .assert()
        .success();
    assert_eq!(
        checkpoint(&run).0,
        2,
        "a printed preset is a configuration file"
    );
}
