//! A run killed at any moment continues with `--resume` to the same bits as the uninterrupted run.
//! Needs a GPU adapter.

mod common;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{checkpoint, logged_steps, training};
use dbvq_wgpu::nn;
use dbvq_wgpu::philox::Stream;

/// The uninterrupted run of `steps` steps with a checkpoint each, and how long it took.
fn uninterrupted(preset: &str, folder: &Path, steps: u64) -> (PathBuf, Duration) {
    let run = folder.join("uninterrupted");
    let begin = Instant::now();
    let output = training(preset, &run, steps, 1)
        .output()
        .expect("the program starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(checkpoint(&run).0, steps);
    let sessions =
        std::fs::read_to_string(run.join("sessions.jsonl")).expect("a run says what trained it");
    let session: serde_json::Value =
        serde_json::from_str(&sessions).expect("it was trained by one");
    assert_eq!(
        (&session["step"], &session["precision"]),
        (&0.into(), &"f32".into())
    );
    assert_eq!(
        (&session["command"][0], &session["command"][1]),
        (&"train".into(), &preset.into())
    );
    (run, begin.elapsed())
}

/// Lets the run continue for at most `time`, then kills it. Returns whether it was killed; if not,
/// it had finished.
fn go_on(preset: &str, run: &Path, steps: u64, time: Duration) -> bool {
    let mut command = training(preset, run, steps, 1);
    // A run killed before it had a directory starts afresh.
    command.args(run.is_dir().then_some("--resume"));
    let mut child = command
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            assert!(status.success(), "{}: {status}", run.display());
            return false;
        }
        if begin.elapsed() >= time {
            child.kill().expect("it still runs");
            // It may have ended by itself a moment before the kill.
            return !child.wait().expect("it is gone").success();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What a kill left: no checkpoint yet, or a complete one. Returns its step.
fn left_behind(run: &Path) -> u64 {
    let file = nn::checkpoint::path(run);
    if !file.exists() {
        return 0;
    }
    let found = nn::checkpoint::load(&file).expect("a kill leaves a whole checkpoint");
    let before = nn::checkpoint::previous(run);
    assert!(
        !before.exists() || nn::checkpoint::load(&before).is_ok(),
        "the checkpoint before it is whole too"
    );
    found.step
}

/// Kills runs of `preset` at `kills` moments drawn from `stream` between start and `longest`, and
/// compares each finished run with the uninterrupted one.
fn check(preset: &str, steps: u64, kills: u32, stream: Stream) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (reference, took) = uninterrupted(preset, folder.path(), steps);
    let wanted = checkpoint(&reference);
    // Long enough for progress, short enough that it rarely ends before the last kill.
    let longest =
        took.mul_f64(2.0 / f64::from(kills)).max(took.mul_f64(0.1)) + Duration::from_millis(120);
    let mut done = 0;
    let mut runs = 0;
    let mut moments = Vec::new();
    while done < kills {
        runs += 1;
        let run = folder.path().join(format!("killed-{runs}"));
        let mut finished = false;
        while done < kills && !finished {
            let time = longest.mul_f64(f64::from(stream.uniform(done)));
            finished = !go_on(preset, &run, steps, time);
            if !finished {
                done += 1;
                moments.push((time.as_millis(), left_behind(&run)));
            }
        }
        assert!(
            finished || !go_on(preset, &run, steps, Duration::from_secs(300)),
            "the run does not end"
        );
        let found = checkpoint(&run);
        assert_eq!(found.0, wanted.0);
        assert!(found.1.keys().eq(wanted.1.keys()) && found.1.len() > 20);
        for (name, bytes) in &wanted.1 {
            assert!(
                found.1[name] == *bytes,
                "{name} differs after kills at (ms, step) {moments:?}"
            );
        }
        assert_eq!(
            logged_steps(&run),
            (1..=steps).collect::<Vec<_>>(),
            "every step is logged once"
        );
        assert_eq!(
            std::fs::read(run.join("config.toml")).ok(),
            std::fs::read(reference.join("config.toml")).ok()
        );
    }
    println!(
        "{preset}: {steps} steps took {took:?}; {done} kills in {runs} runs at (ms, step left): {moments:?}"
    );
    assert!(
        moments.iter().any(|&(_, step)| step > 0 && step < steps),
        "no kill fell into the training: {moments:?}"
    );
}

#[test]
fn twenty_kills_change_no_bit() {
    check(
        "toy",
        120,
        20,
        Stream {
            seed: 11,
            step: 0,
            stream: 0,
            first: 0,
        },
    );
}

#[test]
fn learnt_codes_survive_kills_too() {
    check(
        "toy-joint",
        30,
        4,
        Stream {
            seed: 12,
            step: 0,
            stream: 0,
            first: 0,
        },
    );
}

/// The distribution of levels changes after step 100, and between steps 120 and 130 cross-entropies
/// await evaluation.
#[test]
fn levels_that_follow_the_codes_survive_kills_too() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("codes.toml");
    let text = "kind = 'toy'\npreset = 'toy'\ndenoiser.prediction = 'codes'\n[train]\nloss = 'cross-entropy'\n\
                levels = { law = 'entropy', bins = 10, uniform = 0.1 }\n";
    std::fs::write(&file, text).expect("a file");
    let preset = file.display().to_string();
    check(
        &preset,
        130,
        5,
        Stream {
            seed: 13,
            step: 0,
            stream: 0,
            first: 0,
        },
    );
}

#[test]
fn another_seed_gives_other_bits() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let train = |name: &str, seed: &str| {
        let run = folder.path().join(name);
        let status = training("toy", &run, 3, 3)
            .args(["--seed", seed])
            .stderr(Stdio::null())
            .status();
        assert!(status.expect("the program starts").success());
        checkpoint(&run).1
    };
    let first = train("first", "1");
    let again = train("again", "1");
    let other = train("other", "2");
    assert_eq!(first, again);
    assert!(
        first
            .iter()
            .filter(|(name, bytes)| other[*name] != **bytes)
            .count()
            > 20
    );
}
