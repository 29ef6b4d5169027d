//! Runs that resume, and runs that build on others.

use super::*;

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
        // Following the advice works.
        let file = run.join("checkpoint.safetensors");
        std::fs::write(&file, &whole[&file]).expect("a file");
        says(add(command(), &["--resume"]), 0, &["complete at step"]);
    }
    // A run of an older version, whose lock is empty: its log goes beyond the first checkpoint.
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
    // A run without its configuration resumes from its checkpoint.
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
    // A folder without a run starts one, and says so.
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
                "learning rate continues at 50 % of its peak",
                "step 8",
            ],
        );
        assert!(
            said.contains("differ from those of 8 steps in one go"),
            "{said}"
        );
        assert_eq!(checkpoint(run).0, 8);
        // Fewer steps than already done: one sentence, and nothing changes.
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
    // An image run: other intervals along the way give the same bits.
    let data = pictures::folder(&dir.path().join("data"), 12);
    let whole = dir.path().join("whole");
    let train = |out: &Path| pictures::train("vqvae", &data, out, 6);
    train(&whole).assert().success();
    let stopped = dir.path().join("stopped");
    train(&stopped).assert().success();
    // As if it had stopped at the checkpoint before the last.
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
        // A counter in the log, not a weight.
        tensors.remove("revived");
        (step, tensors)
    };
    assert_eq!(weights(&stopped), weights(&whole));
    let kept = std::fs::read_to_string(stopped.join("config.toml")).expect("a configuration");
    assert!(kept.contains("checkpoint_every = 3"), "{kept}");
    // The refusal comes before the images are read.
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
    // A run's own configuration and an exported one are both valid configurations.
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
    // With a learning rate of 0 the weights stay the initial ones: the averaged weights.
    let begins = |name: &str| found[&format!("model.{name}")] == first[&format!("ema.{name}")];
    assert!(begins("encoder.conv_in.weight") && begins("decoder.conv_in.weight"));
    says(
        from(&fresh, &["--from", run, "--set", "vqvae.codes=32"]),
        3,
        &["vqvae.codes = 32"],
    );
    // Likewise for the toy.
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
        &["is not a run of the toy"],
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
