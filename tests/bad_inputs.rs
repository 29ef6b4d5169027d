//! Bad inputs to training: each ends with a sentence that says what is wrong, where and what to do,
//! with its exit code, and without half-written files. Needs a GPU adapter.

mod common;
#[path = "common/pictures.rs"]
mod pictures;

use std::path::{Path, PathBuf};
use std::process::Command;

use assert_cmd::assert::OutputAssertExt;
use common::{checkpoint, program, training};
use image::{DynamicImage, GrayImage, Luma, Rgba, RgbaImage};
use pictures::{folder, train};

/// Runs, and expects exit code `code`, a one-line message with each of `words`, and no run
/// directory `out`.
fn refused(mut command: Command, code: i32, words: &[&str], out: &Path) {
    let outcome = command.assert().code(code);
    let said = String::from_utf8_lossy(&outcome.get_output().stderr).into_owned();
    let message = said.lines().last().unwrap_or_default();
    assert!(
        message.starts_with("dbvq-wgpu: ") && words.iter().all(|word| message.contains(word)),
        "{said}"
    );
    assert!(!said.contains("panicked") && !out.exists(), "{said}");
}

/// A temporary folder, and paths in it for data and a run.
fn places() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = dir.path().join("data");
    let out = dir.path().join("run");
    std::fs::create_dir(&data).expect("a folder");
    (dir, data, out)
}

#[test]
fn data_that_is_missing_or_damaged_is_8() {
    let (_dir, data, out) = places();
    let vqvae = || train("vqvae", &data, &out, 2);
    refused(
        vqvae(),
        8,
        &["data", "no images", ".png, .jpg, .jpeg"],
        &out,
    );
    folder(&data, 12);
    let jpeg = data.join("03.jpg");
    DynamicImage::new_rgb8(8, 8).save(&jpeg).expect("a picture");
    let bytes = std::fs::read(&jpeg).expect("it was written");
    std::fs::write(&jpeg, &bytes[..bytes.len() / 2]).expect("a file");
    refused(
        vqvae(),
        8,
        &["03.jpg is", "repair or remove it", "--skip-broken"],
        &out,
    );
    std::fs::remove_file(&jpeg).expect("it was written");
    DynamicImage::new_rgb8(1, 1)
        .save(data.join("04.png"))
        .expect("a picture");
    refused(
        vqvae(),
        8,
        &["04.png is a single pixel", "remove it", "--resize"],
        &out,
    );
    DynamicImage::new_rgb8(9, 7)
        .save(data.join("04.png"))
        .expect("a picture");
    refused(
        vqvae(),
        8,
        &["04.png has 9×7 pixels", "8×8", "--resize"],
        &out,
    );
    let batch = data.join("data_batch_1.bin");
    std::fs::write(&batch, vec![1; 3073 + 100]).expect("a file");
    refused(
        vqvae(),
        8,
        &[
            "data_batch_1.bin",
            "the record at offset 3073 has only 100",
            "fetch it again",
        ],
        &out,
    );
}

#[test]
fn broken_files_may_be_skipped_and_all_kinds_of_pictures_train() {
    let (_dir, data, out) = places();
    folder(&data, 10);
    std::fs::write(data.join("broken.jpg"), "no picture").expect("a file");
    GrayImage::from_pixel(8, 8, Luma([90]))
        .save(data.join("grey.png"))
        .expect("a picture");
    RgbaImage::from_pixel(8, 8, Rgba([9, 8, 7, 100]))
        .save(data.join("clear.png"))
        .expect("a picture");
    let mut command = train("vqvae", &data, &out, 2);
    let outcome = command.arg("--skip-broken").assert().success();
    let said = String::from_utf8_lossy(&outcome.get_output().stderr).into_owned();
    assert!(
        said.contains("broken.jpg is") && said.contains("11 images to train on, 1 held out"),
        "{said}"
    );
    std::fs::remove_file(data.join("broken.jpg")).expect("it was written");
    // A placeholder and an image of another shape are squashed like all others.
    DynamicImage::new_rgb8(1, 1)
        .save(data.join("dot.png"))
        .expect("a picture");
    DynamicImage::new_rgb8(30, 20)
        .save(data.join("wide.png"))
        .expect("a picture");
    let outcome = train("vqvae", &data, &out.with_extension("resized"), 2)
        .arg("--resize")
        .assert()
        .success();
    assert!(
        String::from_utf8_lossy(&outcome.get_output().stderr).contains("13 images to train on")
    );
}

#[test]
fn a_checkpoint_to_build_on_that_does_not_serve_is_7() {
    let (dir, data, out) = places();
    folder(&data, 12);
    let toy = dir.path().join("toy");
    let vqvae = dir.path().join("vqvae");
    let prior = |from: &Path| {
        let mut command = train("prior", &data, &out, 2);
        command.arg("--from").arg(from);
        command
    };
    training("toy", &toy, 2, 2).assert().success();
    refused(
        prior(&toy),
        7,
        &[
            "toy/checkpoint.safetensors",
            "not a VQ-VAE of this preset",
            "--from",
        ],
        &out,
    );
    train("vqvae", &data, &vqvae, 2).assert().success();
    let file = vqvae.join("checkpoint.safetensors");
    let whole = std::fs::read(&file).expect("a checkpoint");
    let mut boastful = whole.clone();
    boastful[..8].copy_from_slice(&(100u64 << 20).to_le_bytes());
    let claim = format!(
        "a file of {} bytes claims a header of 104857600",
        whole.len()
    );
    for (bytes, word) in [(&whole[..whole.len() / 2], "damaged"), (&boastful, &claim)] {
        std::fs::write(&file, bytes).expect("a file");
        refused(
            prior(&vqvae),
            7,
            &[
                "vqvae/checkpoint.safetensors",
                word,
                "use another checkpoint",
            ],
            &out,
        );
    }
    // Resuming with another preset.
    std::fs::write(&file, &whole).expect("a file");
    let mut resumed = train("vqvae", &data, &vqvae, 2);
    let words = ["--resume", "dim = 4", "dim = 8", "the same preset"];
    resumed.args(["--resume", "--set", "vqvae.dim=8"]);
    refused(resumed, 3, &words, &out);
    assert_eq!(std::fs::read(&file).expect("a checkpoint"), whole);
}

#[test]
fn a_training_that_does_not_fit_is_6_and_names_the_batch_that_does() {
    let (_dir, data, out) = places();
    folder(&data, 12);
    let with = |batch: usize| {
        let mut command = train("vqvae", &data, &out, 2);
        command.args([
            "--gpu-memory",
            "4",
            "--set",
            &format!("stages.vqvae.batch={batch}"),
        ]);
        command
    };
    let output = with(2048).output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for words in [
        "stage vqvae with batch 2048 takes about ",
        " MiB of GPU memory",
        "limit 4 MiB",
    ] {
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(output.status.code(), Some(6), "{said}");
    let fits = said
        .split("stages.vqvae.batch=")
        .nth(1)
        .and_then(|rest| rest.trim().parse().ok());
    let fits: usize = fits.unwrap_or_else(|| panic!("{said}"));
    assert!(
        (8..2048).contains(&fits) && !out.join("checkpoint.safetensors").exists(),
        "{said}"
    );
    // The suggested value fits, and is the largest that does.
    with(fits).assert().success();
    let out = out.with_extension("more");
    let mut command = train("vqvae", &data, &out, 2);
    command.args([
        "--gpu-memory",
        "4",
        "--set",
        &format!("stages.vqvae.batch={}", fits + 1),
    ]);
    command.assert().code(6);
}

/// Runs `command` after `mount` in a mount namespace of its own, then `after` in a shell. `None` if
/// this machine does not allow it.
fn mounted(mount: &str, command: &Command, after: &str) -> Option<std::process::Output> {
    let shell = |script: &str| {
        let mut shell = Command::new("unshare");
        shell.args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
        ]);
        shell
    };
    if !cfg!(target_os = "linux")
        || !shell(mount)
            .output()
            .is_ok_and(|output| output.status.success())
    {
        eprintln!(
            "skipped: this machine lets nobody mount in a namespace (unshare --user --mount)"
        );
        return None;
    }
    let mut all = shell(&format!("{mount}\n\"$@\"\ncode=$?\n{after}\nexit $code"));
    all.arg(command.get_program()).args(command.get_args());
    all.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    Some(all.output().expect("it has just been started"))
}

#[test]
fn a_full_disk_is_9_and_the_last_checkpoint_stays_whole() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let disk = dir.path().join("disk");
    let kept = dir.path().join("kept");
    [&disk, &kept]
        .iter()
        .for_each(|path| std::fs::create_dir(path).expect("a folder"));
    // File system sizes with room for one checkpoint of the toy but not two.
    let probe = dir.path().join("probe");
    training("toy", &probe, 2, 2).assert().success();
    let bytes = std::fs::metadata(probe.join("checkpoint.safetensors"))
        .expect("a checkpoint")
        .len();
    let mount = format!(
        "mount -t tmpfs -o size={}k tmpfs '{}'",
        bytes * 3 / 2 / 1024,
        disk.display()
    );
    let copy = format!("cp -R '{}/run/.' '{}'", disk.display(), kept.display());
    let Some(output) = mounted(&mount, &training("toy", &disk.join("run"), 9, 2), &copy) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let message = said.lines().last().unwrap_or_default();
    assert_eq!(output.status.code(), Some(9), "{said}");
    for words in [
        "run/checkpoint.safetensors",
        "No space left",
        "free space",
        "--resume",
    ] {
        assert!(message.contains(words), "{said}");
    }
    assert_eq!(
        checkpoint(&kept).0,
        2,
        "the checkpoint before the disk was full"
    );
    // With room again, it resumes as if nothing had happened.
    let straight = dir.path().join("straight");
    training("toy", &straight, 9, 2).assert().success();
    training("toy", &kept, 9, 2)
        .arg("--resume")
        .assert()
        .success();
    assert_eq!(checkpoint(&kept), checkpoint(&straight));
}

#[test]
fn a_read_only_run_directory_is_9() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let run = dir.path().join("run");
    training("toy", &run, 2, 2).assert().success();
    let before = checkpoint(&run);
    let place = run.display();
    let mount = format!("mount --bind '{place}' '{place}' && mount -o remount,ro,bind '{place}'");
    let mut resumed = training("toy", &run, 4, 2);
    resumed.arg("--resume");
    let mut sample = program();
    sample
        .args(["sample", "--count", "4", "--out"])
        .arg(run.join("samples"))
        .arg(&run);
    for command in [resumed, sample] {
        let Some(output) = mounted(&mount, &command, "") else {
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let message = said.lines().last().unwrap_or_default();
        assert_eq!(output.status.code(), Some(9), "{said}");
        assert!(
            message.contains("Read-only")
                && message.contains("run/")
                && message.contains("another place"),
            "{said}"
        );
    }
    assert_eq!(checkpoint(&run), before);
}
