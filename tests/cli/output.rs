//! What commands print and write.

use super::*;

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
        // Infinite at t = 1 under the bridge variance, which is null in JSON.
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
    // A reader that reads nothing at all is no error either, for training and for what follows.
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
