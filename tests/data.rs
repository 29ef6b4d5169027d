//! `dbvq-wgpu data` as a user sees it. Needs no GPU and no network.

use std::path::Path;
use std::process::Command;

use assert_cmd::assert::OutputAssertExt;
use image::{Rgb, RgbImage};
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use tempfile::TempDir;

fn data(kind: &str, dir: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dbvq-wgpu"));
    command.args(["data", kind, "--dir"]).arg(dir).args(flags);
    command
}

/// Three images of two classes.
fn pictures() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (i, path) in ["cat/1.png", "cat/2.jpg", "dog/3.webp"].iter().enumerate() {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("a temporary folder");
        RgbImage::from_pixel(8, 6, Rgb([i as u8 * 100; 3]))
            .save(path)
            .expect("a temporary file");
    }
    dir
}

#[test]
fn a_folder_is_counted_and_drawn() {
    let dir = pictures();
    let beside = tempfile::tempdir().expect("a temporary folder");
    let sheet = beside.path().join("sheet.png");
    let mut command = data("folder", dir.path(), &["--out"]);
    let mut outcome = command.arg(&sheet).assert().success();
    for words in [
        "3 images of 8×6, 2 classes",
        "cat 2, dog 1",
        "red    mean 0.39",
        "wrote",
    ] {
        outcome = outcome.stdout(contains(words));
    }
    assert!(
        std::fs::read(&sheet)
            .expect("it is there")
            .starts_with(b"\x89PNG")
    );
    std::fs::remove_file(&sheet).expect("it is there");
    data("folder", dir.path(), &["--size", "4"])
        .assert()
        .success()
        .stdout(contains("4×4").and(contains("--out")));
}

#[test]
fn broken_files_are_8_or_skipped() {
    let dir = pictures();
    std::fs::write(dir.path().join("dog/4.png"), "no picture").expect("a temporary file");
    data("folder", dir.path(), &[])
        .assert()
        .code(8)
        .stderr(contains("4.png").and(contains("--skip-broken")));
    let outcome = data("folder", dir.path(), &["--skip-broken"])
        .assert()
        .success();
    outcome.stdout(
        contains("1 left out:")
            .and(contains("4.png"))
            .and(contains("cat 2, dog 1")),
    );
    // What does not fit into memory is packed, which is refused without a cache directory.
    let cache = dir.path().join(".cache");
    let mut packed = data("folder", dir.path(), &["--skip-broken", "--memory", "0"]);
    packed
        .env("XDG_CACHE_HOME", &cache)
        .assert()
        .success()
        .stdout(contains("read from disk as they are needed"));
    assert_eq!(
        std::fs::read_dir(cache.join("dbvq-wgpu/images"))
            .expect("the cache")
            .count(),
        1
    );
    std::fs::write(dir.path().join("file"), "x").expect("a file");
    let mut nowhere = data("folder", dir.path(), &["--skip-broken", "--memory", "0"]);
    nowhere.env("XDG_CACHE_HOME", dir.path().join("file"));
    nowhere
        .assert()
        .code(8)
        .stderr(contains("--memory MIB").and(contains("XDG_CACHE_HOME")));
    for (kind, word) in [
        ("cifar10", "data_batch_*.bin"),
        ("mini-imagenet", "splits/train.csv"),
    ] {
        data(kind, dir.path(), &[])
            .assert()
            .code(8)
            .stderr(contains(word));
    }
    data("folder", &dir.path().join("nowhere"), &[])
        .assert()
        .code(8)
        .stderr(contains("nowhere"));
}

#[test]
fn batches_are_told_from_the_official_ones() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(dir.path().join("data_batch_1.bin"), vec![1; 2 * 3073])
        .expect("a temporary file");
    std::fs::write(dir.path().join("data_batch_5.bin"), vec![2; 3073]).expect("a temporary file");
    std::fs::write(dir.path().join("data_batch_9.bin"), vec![2; 3073]).expect("a temporary file");
    let mut outcome = data("cifar10", dir.path(), &[]).assert().success();
    for words in [
        "2 records, shorter than the official",
        "not read, not named like",
        "data_batch_9.bin",
        "missing: data_batch_2.bin",
        "1 of them are copies",
    ] {
        outcome = outcome.stdout(contains(words));
    }
    #[cfg(unix)]
    {
        let link = dir.path().join("data_batch_3.bin");
        std::os::unix::fs::symlink("gone", &link).expect("a link");
        data("cifar10", dir.path(), &[])
            .assert()
            .code(8)
            .stderr(contains("link to gone").and(contains("--skip-broken")));
        data("cifar10", dir.path(), &["--skip-broken"])
            .assert()
            .success()
            .stdout(contains("1 left out:"));
        std::fs::remove_file(link).expect("it is there");
    }
    std::fs::write(dir.path().join("data_batch_5.bin"), vec![2; 3072]).expect("a temporary file");
    data("cifar10", dir.path(), &[])
        .assert()
        .code(8)
        .stderr(contains("data_batch_5.bin").and(contains("offset 0")));
}

#[test]
fn downloads_without_a_network_or_a_source_say_what_to_do() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let flags = ["--download", "--url", "http://127.0.0.1:1/x"];
    data("cifar10", dir.path(), &flags)
        .assert()
        .code(8)
        .stderr(contains("by hand").and(contains("MD5")));
    assert_eq!(
        std::fs::read_dir(dir.path()).expect("it is there").count(),
        0,
        "nothing is left behind"
    );
    data("folder", dir.path(), &["--download"])
        .assert()
        .code(2)
        .stderr(contains("cifar10"));
    data("folder", dir.path(), &["--size", "0"])
        .assert()
        .code(2)
        .stderr(contains("--size"));
}

#[test]
fn a_sheet_among_the_images_is_refused() {
    let dir = pictures();
    for out in [
        "sheet.png",
        "cat/sheet.png",
        "new/sheet.png",
        "cat/../sheet.png",
    ] {
        let out = dir.path().join(out);
        let mut command = data("folder", dir.path(), &["--out"]);
        command
            .arg(&out)
            .assert()
            .code(2)
            .stderr(contains("is inside the image folder").and(contains("--out")));
        assert!(!out.exists());
    }
}

#[test]
fn any_data_set_can_be_resized() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(dir.path().join("data_batch_1.bin"), vec![1; 2 * 3073])
        .expect("a temporary file");
    data("cifar10", dir.path(), &["--size", "28"])
        .assert()
        .success()
        .stdout(contains("2 images of 28×28"));
    let dir = pictures();
    data("folder", dir.path(), &["--size", "4", "--crop"])
        .assert()
        .success()
        .stdout(contains("4×4"));
    data("folder", dir.path(), &["--crop"])
        .assert()
        .code(2)
        .stderr(contains("--size"));
}
