//! Run directories and results as a user meets them: nothing of others is replaced, a run goes on
//! or says why not, and what is refused leaves nothing behind. Needs a GPU adapter.

mod common;
#[path = "common/pictures.rs"]
mod pictures;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use assert_cmd::assert::OutputAssertExt;
use common::{checkpoint, logged_steps, program, training};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Runs, and expects exit code `code` with each of `words` in what is said, which is returned.
fn says(mut command: Command, code: i32, words: &[&str]) -> String {
    let output = command.output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{command:?}: {said}");
    assert!(
        words.iter().all(|word| said.contains(word)) && !said.contains("panicked"),
        "{words:?}: {said}"
    );
    said
}

fn add(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    command
}

/// Names and bytes of the files in a folder.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(dir)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path());
    entries
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), std::fs::read(path).expect("a file")))
        .collect()
}

fn write(file: &Path, text: &str) {
    std::fs::create_dir_all(file.parent().expect("it has one")).expect("a folder");
    std::fs::write(file, text).expect("a file");
}

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
            "no run of dbvq-wgpu",
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
    // What a project may have beside a run.
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
        "the configuration that this training is given",
        "another --out",
    ];
    says(training(name, &mine, 2, 2), 2, &words);
    says(add(training(name, &mine, 2, 2), &["--resume"]), 2, &words);
    assert_eq!(files(&mine), before);
    // A run's own configuration serves to go on with it, and keeps the comments that somebody wrote
    // into it.
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
                &[file, "not of dbvq-wgpu's making", "write elsewhere"],
            );
            assert_eq!(files(&theirs), before, "{command} {file}");
        }
    }
    // A checkpoint is no result: no export takes its place.
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
            &["not of dbvq-wgpu's making"],
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

#[test]
fn a_log_without_its_checkpoint_is_kept() {
    let dir = folder();
    let data = pictures::folder(&dir.path().join("data"), 12);
    let toy = dir.path().join("toy");
    let images = dir.path().join("images");
    let of_toy = || training("toy", &toy, 6, 100);
    let of_images = || pictures::train("vqvae", &data, &images, 4);
    for (run, command) in [
        (&toy, &of_toy as &dyn Fn() -> Command),
        (&images, &of_images),
    ] {
        command().assert().success();
        let whole = files(run);
        for file in ["checkpoint.safetensors", "checkpoint.previous.safetensors"] {
            let _ = std::fs::remove_file(run.join(file));
        }
        let before = files(run);
        let words = [
            "the log reaches step",
            "checkpoint is gone",
            "checkpoint.safetensors back",
            "another --out",
        ];
        says(add(command(), &["--resume"]), 7, &words);
        says(command(), 2, &words);
        assert_eq!(files(run), before);
        // The advice works.
        let file = run.join("checkpoint.safetensors");
        std::fs::write(&file, &whole[&file]).expect("a file");
        says(add(command(), &["--resume"]), 0, &["complete at step"]);
    }
    // A run of an older version, whose lock says nothing: the log went on beyond the first
    // checkpoint.
    let old = dir.path().join("old");
    training("toy", &old, 6, 2).assert().success();
    std::fs::write(old.join("run.lock"), "").expect("a file");
    for file in ["checkpoint.safetensors", "checkpoint.previous.safetensors"] {
        std::fs::remove_file(old.join(file)).expect("it was written");
    }
    says(
        add(training("toy", &old, 6, 2), &["--resume"]),
        7,
        &["the log reaches step 6"],
    );
    // A run whose configuration is gone goes on by its checkpoint.
    let bare = dir.path().join("bare");
    training("toy", &bare, 4, 2).assert().success();
    std::fs::remove_file(bare.join("config.toml")).expect("it was written");
    says(training("toy", &bare, 4, 2), 2, &["holds a run already"]);
    says(
        add(training("toy", &bare, 6, 2), &["--resume"]),
        0,
        &["training"],
    );
    assert_eq!(checkpoint(&bare).0, 6);
    // A folder without a run is begun, and that is said.
    let new = dir.path().join("new");
    std::fs::create_dir(&new).expect("a folder");
    says(
        add(training("toy", &new, 2, 2), &["--resume"]),
        0,
        &["holds no run yet", "begins at step 0"],
    );
}

#[test]
fn a_finished_run_goes_on() {
    let dir = folder();
    let data = pictures::folder(&dir.path().join("data"), 12);
    let toy = dir.path().join("toy");
    let images = dir.path().join("images");
    let of_toy = |steps: u64| training("toy", &toy, steps, 2);
    let of_images = |steps: u64| pictures::train("vqvae", &data, &images, steps);
    for (run, command) in [
        (&toy, &of_toy as &dyn Fn(u64) -> Command),
        (&images, &of_images),
    ] {
        command(4).assert().success();
        let on = |steps: u64| add(command(steps), &["--resume"]);
        let said = says(
            on(8),
            0,
            &[
                "steps is 8 now, was 4",
                "learning rate goes on at 50 % of its peak",
                "step 8",
            ],
        );
        assert!(
            said.contains("differ from those of 8 steps at once"),
            "{said}"
        );
        assert_eq!(checkpoint(run).0, 8);
        // Fewer steps than are done: one sentence, and nothing changes.
        let before = checkpoint(run);
        says(
            on(6),
            3,
            &["has done 8 steps already", ".steps = 6 is less", "--steps"],
        );
        let said = says(on(8), 0, &["complete at step 8"]);
        assert!(
            !said.contains("images to train on"),
            "the pictures are not read for that: {said}"
        );
        assert_eq!(checkpoint(run), before);
    }
    assert_eq!(logged_steps(&toy), (1..=8).collect::<Vec<_>>());
}

#[test]
fn settings_that_reach_no_weight_may_differ() {
    let dir = folder();
    let run = dir.path().join("run");
    training("toy", &run, 4, 2).assert().success();
    let other = [
        "--resume",
        "--set",
        "train.log_every=3",
        "--set",
        "train.checkpoint_every=5",
    ];
    says(add(training("toy", &run, 4, 2), &other), 0, &["complete"]);
    // Of images: other intervals on the way, to the same bits.
    let data = pictures::folder(&dir.path().join("data"), 12);
    let whole = dir.path().join("whole");
    let train = |out: &Path| pictures::train("vqvae", &data, out, 6);
    train(&whole).assert().success();
    let stopped = dir.path().join("stopped");
    train(&stopped).assert().success();
    // As if it had been stopped at the checkpoint before the last.
    std::fs::copy(
        stopped.join("checkpoint.previous.safetensors"),
        stopped.join("checkpoint.safetensors"),
    )
    .expect("a file");
    let sets = [
        "stages.vqvae.log_every=2",
        "stages.vqvae.checkpoint_every=3",
        "stages.evaluate_every=0",
        "stages.prior.lr=0.5",
    ];
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    says(
        add(add(train(&stopped), &["--resume"]), &sets),
        0,
        &["training"],
    );
    let weights = |run: &Path| {
        let (step, mut tensors) = checkpoint(run);
        // A counter of the log, not a weight.
        tensors.remove("revived");
        (step, tensors)
    };
    assert_eq!(weights(&stopped), weights(&whole));
    let kept = std::fs::read_to_string(stopped.join("config.toml")).expect("a configuration");
    assert!(kept.contains("checkpoint_every = 3"), "{kept}");
    // A refusal comes before the pictures are read.
    let lr = ["--resume", "--set", "stages.vqvae.lr=0.5"];
    says(
        add(
            pictures::train("vqvae", &dir.path().join("nowhere"), &stopped, 6),
            &lr,
        ),
        3,
        &["stages.vqvae.lr = 0.5"],
    );
}

#[test]
fn a_comment_above_the_stage_changes_nothing() {
    let dir = folder();
    let data = pictures::folder(&dir.path().join("data"), 12);
    let run = dir.path().join("run");
    pictures::train("vqvae", &data, &run, 2).assert().success();
    let file = run.join("config.toml");
    let text = std::fs::read_to_string(&file).expect("a configuration");
    let reconstruct = || {
        let mut command = program();
        command
            .arg("reconstruct")
            .arg(&run)
            .arg("--images")
            .arg(data.join("00.png"));
        command.arg("--out").arg(dir.path().join("out"));
        command
    };
    let old = text.replace("kind = \"images\"\n", "");
    for text in [
        format!("\u{feff}# mine\n\n{text}"),
        format!("# mine\n{old}"),
        old.clone(),
    ] {
        write(&file, &text);
        reconstruct().assert().success();
        says(
            add(pictures::train("vqvae", &data, &run, 2), &["--resume"]),
            0,
            &["complete"],
        );
    }
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(&file, utf16).expect("a file");
    says(
        reconstruct(),
        3,
        &["config.toml is UTF-16", "save it as UTF-8"],
    );
    write(&file, &text.replace("stage = \"vqvae\"\n", ""));
    says(reconstruct(), 3, &["names no stage"]);
}

#[test]
fn later_stages_take_the_vqvae_as_it_is() {
    let dir = folder();
    let data = pictures::folder(&dir.path().join("data"), 12);
    let vqvae = dir.path().join("vqvae");
    let said = says(
        pictures::train("vqvae", &data, &vqvae, 4),
        0,
        &["PSNR of held-out images", "reconstructions-000004.png"],
    );
    assert!(
        said.contains("next: dbvq-wgpu train cifar10-small --stage prior --from"),
        "{said}"
    );
    let small = [
        "unet.base=8",
        "unet.blocks=1",
        "bridge.steps=40",
        "bridge.beta_end=0.4",
        "stages.prior.batch=4",
    ];
    let small: Vec<&str> = small.iter().flat_map(|set| ["--set", set]).collect();
    let prior = |out: &Path, from: bool| {
        let mut command = program();
        command
            .args([
                "train",
                "mini-imagenet-small",
                "--stage",
                "prior",
                "--steps",
                "4",
                "--data",
            ])
            .arg(&data);
        command
            .args(from.then_some("--from"))
            .args(from.then_some(&vqvae))
            .args(&small)
            .arg("--out")
            .arg(out);
        command
    };
    let run = dir.path().join("prior");
    let words = [
        "was trained: vqvae.",
        "size = 8 (not 84)",
        "held-out loss of the codes at random levels",
        "next: dbvq-wgpu sample",
    ];
    says(prior(&run, true), 0, &words);
    says(
        add(prior(&run, false), &["--resume"]),
        0,
        &["complete at step 4"],
    );
    let other = dir.path().join("other");
    let said = says(
        add(prior(&other, true), &["--set", "vqvae.codes=32"]),
        3,
        &["`vqvae.codes = 32`", "`vqvae.codes = 16`"],
    );
    assert!(said.contains("--from") && !other.exists(), "{said}");
    add(prior(&other, true), &["--set", "vqvae.codes=16"])
        .assert()
        .success();
    // A run's own configuration, and an exported one, are configurations.
    let again = dir.path().join("again");
    let own = run.join("config.toml");
    let train = |file: &Path| {
        let mut command = program();
        command
            .arg("train")
            .arg(file)
            .arg("--data")
            .arg(&data)
            .arg("--from")
            .arg(&vqvae)
            .arg("--out")
            .arg(&again);
        command
    };
    train(&own).assert().success();
    assert_eq!(checkpoint(&again), checkpoint(&run));
    let exported = dir.path().join("weights.safetensors");
    add(program(), &["export"])
        .arg(&run)
        .arg("--out")
        .arg(&exported)
        .assert()
        .success();
    let settings = exported.with_extension("toml");
    says(add(train(&settings), &["--resume"]), 0, &["complete"]);
    for command in [&["presets"][..], &["schedule"], &["presets", "--summary"]] {
        add(program(), command).arg(&settings).assert().success();
    }
}

#[test]
fn every_stage_starts_from_another_run() {
    let dir = folder();
    let data = pictures::folder(&dir.path().join("data"), 12);
    let [first, second, fresh] = ["first", "second", "fresh"].map(|name| dir.path().join(name));
    pictures::train("vqvae", &data, &first, 4)
        .assert()
        .success();
    let from = |out: &Path, flags: &[&str]| {
        let mut command = program();
        command
            .args([
                "train",
                "images-small",
                "--stage",
                "vqvae",
                "--steps",
                "1",
                "--data",
            ])
            .arg(&data)
            .arg("--out")
            .arg(out);
        command
            .args([
                "--set",
                "stages.vqvae.batch=4",
                "--set",
                "stages.vqvae.lr=0",
            ])
            .args(flags);
        command
    };
    let run = first.to_str().expect("a plain path");
    says(from(&second, &["--from", run]), 0, &["was trained"]);
    let first = checkpoint(&first).1;
    let found = checkpoint(&second).1;
    // Without a learning rate the weights are those that it began with: the averaged ones.
    let begins = |name: &str| found[&format!("model.{name}")] == first[&format!("ema.{name}")];
    assert!(begins("encoder.conv_in.weight") && begins("decoder.conv_in.weight"));
    says(
        from(&fresh, &["--from", run, "--set", "vqvae.codes=32"]),
        3,
        &["vqvae.codes = 32"],
    );
    // The toy too.
    let [toy, on] = ["toy", "on"].map(|name| dir.path().join(name));
    training("toy", &toy, 3, 3).assert().success();
    let run = toy.to_str().expect("a plain path");
    add(
        training("toy", &on, 1, 1),
        &["--from", run, "--set", "train.lr=0"],
    )
    .assert()
    .success();
    let before = checkpoint(&toy).1;
    let after = checkpoint(&on).1;
    let names: Vec<&str> = after
        .keys()
        .filter_map(|name| name.strip_prefix("model."))
        .collect();
    assert!(names.len() > 10);
    assert!(
        names
            .iter()
            .all(|name| after[&format!("model.{name}")] == before[&format!("ema.{name}")])
    );
    let images = second.to_str().expect("a plain path");
    says(
        add(training("toy", &fresh, 1, 1), &["--from", images]),
        2,
        &["is a run of image models"],
    );
    says(from(&fresh, &["--from", run]), 7, &["is a run of the toy"]);
}

#[test]
fn a_training_of_warm_up_alone_says_so() {
    let dir = folder();
    let out = |name: &str| dir.path().join(name);
    let said = says(
        training("toy", &out("a"), 6, 6),
        0,
        &["next: dbvq-wgpu sample"],
    );
    assert!(!said.contains("warning"), "{said}");
    let slow = ["--set", "train.warmup=100"];
    says(
        add(training("toy", &out("b"), 6, 6), &slow),
        0,
        &["warm-up takes 100 steps, the training 6", "never reaches"],
    );
}
