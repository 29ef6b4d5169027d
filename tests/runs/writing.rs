//! What is overwritten, and what never is.

use super::*;

#[test]
fn a_training_replaces_nothing_of_others() {
    let dir = folder();
    let data = pictures::folder(&dir.path().join("data"), 12);
    for (name, text) in [
        ("config.toml", "# my settings\nx = 1\n"),
        ("data.txt", "my notes\n"),
        ("metrics.jsonl", "{\"epoch\": 1}\n"),
        ("sessions.jsonl", "{}\n"),
        ("vqvae.safetensors", "weights"),
        ("run.lock", "4711\n"),
        ("samples-000004.png", "a picture"),
    ] {
        let project = dir.path().join(format!("project-{name}"));
        write(&project.join(name), text);
        let before = files(&project);
        let whose = [
            "would replace",
            name,
            "does not belong to a run",
            "another --out",
        ];
        for flags in [&[][..], &["--resume"]] {
            says(add(training("toy", &project, 2, 2), flags), 2, &whose);
            says(
                add(pictures::train("vqvae", &data, &project, 2), flags),
                2,
                &whose,
            );
        }
        assert_eq!(files(&project), before, "{name}");
    }
    // What a project may keep beside a run.
    let beside = dir.path().join("beside");
    write(&beside.join("README.md"), "mine");
    write(&beside.join("samples.png"), "mine");
    training("toy", &beside, 2, 2).assert().success();
    assert_eq!(
        std::fs::read(beside.join("samples.png")).ok(),
        Some(b"mine".to_vec())
    );
}

#[test]
fn the_configuration_given_is_never_written() {
    let dir = folder();
    let mine = dir.path().join("mine");
    let file = mine.join("config.toml");
    write(&file, "# mine\npreset = \"toy\"\n");
    let name = file.to_str().expect("a plain path");
    let before = files(&mine);
    let words = [
        "would replace",
        "config.toml",
        "the configuration of this training",
        "another --out",
    ];
    says(training(name, &mine, 2, 2), 2, &words);
    says(add(training(name, &mine, 2, 2), &["--resume"]), 2, &words);
    assert_eq!(files(&mine), before);
    // A run's own configuration can resume it, and keeps comments that somebody added to it.
    let run = dir.path().join("run");
    training(name, &run, 4, 2).assert().success();
    let own = run.join("config.toml");
    let commented = format!(
        "# mine\n\n{}",
        std::fs::read_to_string(&own).expect("a configuration")
    );
    write(&own, &commented);
    let mut on = program();
    on.args([
        "train",
        own.to_str().expect("a plain path"),
        "--resume",
        "--out",
    ])
    .arg(&run);
    says(on, 0, &["complete at step 4", "--steps N"]);
    assert_eq!(std::fs::read_to_string(&own).ok(), Some(commented));
}

#[test]
fn results_replace_results_and_nothing_else() {
    let dir = folder();
    let run = dir.path().join("run");
    training("toy", &run, 2, 2).assert().success();
    let call = |command: &str, out: &Path| {
        let mut call = program();
        call.arg(command).arg(&run).arg("--out").arg(out);
        match command {
            "sample" => add(
                call,
                &["--count", "5", "--sampler", "ddim", "--sampling-steps", "2"],
            ),
            "inpaint" => add(call, &["--known", "0=0", "--resample", "1", "--count", "5"]),
            _ => call,
        }
    };
    for (command, files_of_it) in [
        (
            "sample",
            &["samples.safetensors", "samples.png", "summary.json"][..],
        ),
        (
            "inpaint",
            &["samples.safetensors", "inpainting.png", "summary.json"],
        ),
        ("figures", &["figure-2-data.png", "training.png"]),
        ("export", &["weights.safetensors", "weights.toml"]),
    ] {
        let place = |name: &str| {
            let folder = dir.path().join(name);
            if command == "export" {
                (folder.join("weights.safetensors"), folder)
            } else {
                (folder.clone(), folder)
            }
        };
        let (out, written) = place(command);
        call(command, &out).assert().success();
        call(command, &out).assert().success();
        assert!(
            files_of_it.iter().all(|file| written.join(file).is_file()),
            "{command}"
        );
        for file in files_of_it {
            let (out, theirs) = place(&format!("{command}-{file}"));
            write(&theirs.join(file), "{\"accuracy\": 0.9}\n");
            let before = files(&theirs);
            says(
                call(command, &out),
                2,
                &[file, "was not made by dbvq-wgpu", "write elsewhere"],
            );
            assert_eq!(files(&theirs), before, "{command} {file}");
        }
    }
    // A checkpoint is not a result, so no export replaces it.
    let other = dir.path().join("other");
    training("toy", &other, 2, 2).assert().success();
    let before = files(&other);
    says(
        call("export", &other.join("checkpoint.safetensors")),
        2,
        &["checkpoint.safetensors"],
    );
    assert_eq!(files(&other), before);
    for (command, flag) in [("bench", "--out"), ("conformance", "--report")] {
        let file = dir.path().join(format!("{command}.json"));
        write(&file, "{}");
        says(
            add(
                program(),
                &[command, flag, file.to_str().expect("a plain path")],
            ),
            2,
            &["was not made by dbvq-wgpu"],
        );
    }
    let reproduction = dir.path().join("reproduction");
    for file in [
        "report.md",
        "report.json",
        "figure-02-data.png",
        "training.png",
    ] {
        let out = reproduction.join(file.replace('.', "-"));
        write(&out.join(file), "# mine\n");
        let before = files(&out);
        let mut command = program();
        command
            .args(["reproduce", "toy", "--seeds", "1", "--out"])
            .arg(&out);
        says(command, 2, &[file]);
        assert!(
            files(&out) == before && !out.join("kept").exists() && !out.join("runs").exists(),
            "{file}"
        );
    }
}

#[test]
fn what_is_refused_leaves_no_folder() {
    let dir = folder();
    let data = pictures::folder(&dir.path().join("data"), 12);
    let run = dir.path().join("run");
    training("toy", &run, 2, 2).assert().success();
    let out = dir.path().join("deep/out");
    let call = |command: &str, arguments: &[&str]| {
        let mut call = program();
        call.arg(command)
            .arg(&run)
            .arg("--out")
            .arg(&out)
            .args(arguments);
        call
    };
    let many = ["--gpu-memory", "1", "--set", "stages.vqvae.batch=4096"];
    let mut nothing = program();
    nothing
        .args([
            "reproduce",
            "cifar10",
            "--small",
            "--data",
            "nowhere",
            "--out",
        ])
        .arg(&out);
    for (command, code) in [
        (
            call("sample", &["--sampling-steps", "51", "--sampler", "ddim"]),
            2,
        ),
        (call("sample", &["--adapter", "no such thing"]), 4),
        (
            call("inpaint", &["--known", "0=0", "--adapter", "no such thing"]),
            4,
        ),
        (call("reconstruct", &["--images", "a.png"]), 2),
        (call("chain", &[]), 2),
        (call("figures", &["--adapter", "no such thing"]), 4),
        (call("evaluate", &["--data", "nowhere"]), 2),
        (
            add(training("toy", &out, 2, 2), &["--adapter", "no such thing"]),
            4,
        ),
        (add(pictures::train("vqvae", &data, &out, 2), &many), 6),
        (
            pictures::train("vqvae", &dir.path().join("nowhere"), &out, 2),
            8,
        ),
        (nothing, 8),
    ] {
        let said = says(command, code, &[]);
        assert!(!dir.path().join("deep").exists(), "{said}");
    }
}
