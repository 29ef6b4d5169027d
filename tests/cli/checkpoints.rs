//! Runs with a missing, damaged or unsuitable checkpoint, and losses that are not finite.

use super::*;

#[test]
fn a_missing_checkpoint_is_7() {
    let dir = folder();
    let out = dir.path().join("out");
    fails(
        sampling(dir.path(), &out),
        7,
        &["not a run directory", "config.toml"],
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
    let kept = std::fs::read(&before).expect("the previous checkpoint");
    assert!(
        !damages.iter().any(|(_, bytes, _)| *bytes == kept),
        "a damaged file is never kept as the good one"
    );
    // Nor is a missing one treated as a fresh start.
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
            &["does not match the config.toml"],
        );
        let resumed = add(training("toy", &other, 6, 2), &["--set", set, "--resume"]);
        fails(resumed, 7, &["has a different configuration"]);
    }
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
