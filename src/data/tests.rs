//! Trees of tiny pictures, made here.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use image::{Rgb, RgbImage};
use tempfile::TempDir;

use super::*;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A picture of one colour at `path`, lossless unless it is a JPEG.
fn paint(root: &Path, path: &str, [height, width]: [u32; 2], shade: u8) -> PathBuf {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().expect("below the root")).expect("a temporary folder");
    RgbImage::from_pixel(width, height, Rgb([shade, 0, 255])).save(&path).expect("a temporary file");
    path
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().expect("below the root")).expect("a temporary folder");
    std::fs::write(path, text).expect("a temporary file");
}

fn refused(dir: &Path, reading: Reading, words: &[&str]) -> String {
    let error = open(dir, None, &reading).expect_err("refused");
    assert_eq!(error.exit_code(), 8, "{error}");
    let said = error.to_string();
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
    said
}

/// The first byte of every picture.
fn shades(set: &ImageSet) -> Vec<u8> {
    (0..set.len()).map(|i| set.image(i)[0]).collect()
}

const SKIP: Reading = Reading { size: None, broken: Broken::Skip, memory: 1 << 20, progress: None };

#[test]
fn the_first_pictures_of_folders_are_of_all_classes() {
    let dir = folder();
    for (class, count) in [("a", 6), ("b", 3), ("c", 6)] {
        (0..count).for_each(|i| _ = paint(dir.path(), &format!("{class}/{i}.png"), [2, 2], i));
    }
    let set = open(dir.path(), None, &Reading::default()).expect("a data set").train;
    let [third, rest] =
        [&set.labels[..5], &set.labels[5..]].map(|part| [0, 1, 2].map(|c| part.iter().filter(|l| **l == c).count()));
    assert_eq!((third, rest), ([2, 1, 2], [4, 2, 4]), "{:?}", set.labels);
    let paths = |class: u32| {
        shades(&set).into_iter().zip(&set.labels).filter(|(_, l)| **l == class).map(|(s, _)| s).collect::<Vec<_>>()
    };
    assert_eq!((paths(0), paths(1)), (vec![0, 1, 2, 3, 4, 5], vec![0, 1, 2]), "in the order of their paths");
}

#[test]
fn folders_are_classes_with_all_below_them() {
    let dir = folder();
    let dir = dir.path();
    paint(dir, "cat/b.png", [4, 6], 2);
    paint(dir, "cat/a.webp", [4, 6], 1);
    paint(dir, "cat/old/older/c.png", [4, 6], 3);
    paint(dir, "ant/z.PNG", [4, 6], 0);
    paint(dir, ".hidden/a.png", [1, 1], 9);
    paint(dir, "dog/.thumbnail.png", [1, 1], 9);
    write(dir, "README.txt", "no picture");
    let splits = open(dir, None, &Reading::default()).expect("a data set");
    let set = &splits.train;
    assert_eq!((splits.kind, set.height, set.width), (Kind::Folder, 4, 6));
    assert_eq!(set.classes, ["ant", "cat"], "a folder without pictures is no class");
    assert_eq!((&set.labels[..], shades(set)), (&[1, 0, 1, 1][..], vec![1, 0, 2, 3]), "classes take turns");
    assert_eq!(set.images.len(), 4 * 4 * 6 * 3);
    assert!(splits.val.is_none() && splits.test.is_none());
}

#[test]
fn a_flat_folder_is_one_class() {
    let dir = folder();
    (0..20).for_each(|i| drop(paint(dir.path(), &format!("{i:02}.png"), [2, 2], i)));
    let count = AtomicU64::new(0);
    let progress = |done: u64, total: u64| {
        assert!(done <= total && total == 20);
        count.fetch_add(1, Ordering::Relaxed);
    };
    let reading = Reading { progress: Some(&progress), ..Reading::default() };
    let set = open(dir.path(), None, &reading).expect("a data set").train;
    assert_eq!((set.classes.len(), shades(&set)), (1, (0..20).collect()));
    assert_eq!(count.into_inner(), 20);
}

#[test]
fn splits_count_classes_alike_where_they_can() {
    let dir = folder();
    let dir = dir.path();
    ["train/a/1.png", "train/b/1.png", "train/c/1.png", "val/c/2.png", "test/a/3.png", "test/d/3.png"]
        .iter()
        .for_each(|path| drop(paint(dir, path, [2, 2], 7)));
    let splits = open(dir, None, &Reading::default()).expect("a data set");
    assert_eq!(
        splits.each().map(|(name, set)| (name, set.len())).collect::<Vec<_>>(),
        [("train", 3), ("val", 1), ("test", 2)]
    );
    let (val, test) = (splits.val.expect("it is there"), splits.test.expect("it is there"));
    assert_eq!((&val.classes, &val.labels[..]), (&splits.train.classes, &[2][..]));
    assert_eq!((&test.classes[..], &test.labels[..]), (&["a".to_string(), "d".into()][..], &[0, 1][..]));
}

#[test]
fn an_empty_folder_says_what_was_looked_for() {
    let dir = folder();
    refused(dir.path(), Reading::default(), &["no pictures", ".png, .jpg, .jpeg, .webp"]);
    write(dir.path(), "a/movie.mp4", "");
    refused(dir.path(), Reading::default(), &["no pictures", "movie.mp4"]);
    refused(&dir.path().join("nowhere"), Reading::default(), &["nowhere", "is no folder"]);
    let kinds = [(Kind::Cifar10, "data_batch_*.bin"), (Kind::MiniImageNet, "splits/train.csv")];
    for (kind, word) in kinds {
        let said = open(dir.path(), Some(kind), &Reading::default()).expect_err("refused").to_string();
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn a_broken_picture_is_named_or_skipped() {
    let dir = folder();
    let dir = dir.path();
    (0..30).for_each(|i| drop(paint(dir, &format!("c/{i:02}.png"), [8, 8], i)));
    for (name, keep) in [("c/00.png", 20), ("c/17.jpg", 300), ("c/29.png", 0)] {
        let path = paint(dir, name, [8, 8], 0);
        let bytes = std::fs::read(&path).expect("it was written");
        std::fs::write(&path, &bytes[..keep]).expect("a temporary file");
    }
    paint(dir, "c/25.webp", [1, 1], 0);
    refused(dir, Reading::default(), &["00.png is damaged", "--skip-broken"]);
    paint(dir, "c/00.png", [8, 8], 0);
    for _ in 0..20 {
        refused(dir, Reading::default(), &["17.jpg is", "--skip-broken"]);
    }
    let splits = open(dir, None, &SKIP).expect("the others are whole");
    assert_eq!(shades(&splits.train), (0..29).collect::<Vec<_>>());
    let skipped = splits.skipped.join("\n");
    assert_eq!(splits.skipped.len(), 3, "{skipped}");
    for words in ["17.jpg is", "25.webp is a single pixel", "29.png is empty"] {
        assert!(skipped.contains(words), "{skipped}");
    }
    (0..30).for_each(|i| drop(std::fs::write(dir.join(format!("c/{i:02}.png")), "")));
    refused(dir, SKIP, &["all 32 pictures are broken"]);
}

#[test]
fn other_sizes_are_an_error_unless_resized() {
    let dir = folder();
    let dir = dir.path();
    paint(dir, "train/c/a.png", [4, 6], 1);
    paint(dir, "train/c/b.png", [4, 6], 2);
    paint(dir, "val/c/d.png", [6, 4], 3);
    for reading in [Reading::default(), SKIP] {
        refused(dir, reading, &["d.png has 4×6", "a.png has 6×4", "--size N"]);
    }
    paint(dir, "val/c/e.png", [1, 1], 4);
    let reading = Reading { size: Some([3, 5]), ..Reading::default() };
    let splits = open(dir, None, &reading).expect("all are squashed");
    let val = splits.val.expect("it is there");
    assert_eq!((val.height, val.width, shades(&val)), (3, 5, vec![3, 4]));
    assert_eq!(val.images.len(), 2 * 3 * 5 * 3);
}

#[test]
fn more_than_the_memory_is_refused_before_decoding() {
    let dir = folder();
    let dir = dir.path();
    (0..4).for_each(|i| drop(paint(dir, &format!("train/c/{i}.png"), [8, 8], i)));
    (0..4).for_each(|i| drop(paint(dir, &format!("val/c/{i}.png"), [8, 8], i)));
    let limited = |memory| Reading { memory, ..Reading::default() };
    refused(dir, limited(8 * 192 - 1), &["val", "GiB of memory", "--size", "--memory"]);
    refused(dir, limited(4 * 192 - 1), &["train"]);
    open(dir, None, &limited(8 * 192)).expect("it fits to the byte");
}

#[test]
fn what_cannot_be_told_apart_is_refused() {
    let dir = folder();
    paint(dir.path(), "a.png", [2, 2], 0);
    paint(dir.path(), "cat/b.png", [2, 2], 0);
    refused(dir.path(), Reading::default(), &["a.png lies beside folders of pictures (cat)"]);
    paint(dir.path(), "train/b.png", [2, 2], 0);
    std::fs::remove_file(dir.path().join("a.png")).expect("it is there");
    refused(dir.path(), Reading::default(), &["cat holds pictures beside train"]);
}

#[cfg(unix)]
#[test]
fn a_link_in_a_circle_is_refused() {
    let dir = folder();
    paint(dir.path(), "cat/b.png", [2, 2], 0);
    std::os::unix::fs::symlink(dir.path(), dir.path().join("cat/loop")).expect("a link");
    refused(dir.path(), Reading::default(), &["loop is reached twice"]);
}

#[test]
fn mini_imagenet_is_held_to_its_lists() {
    let dir = folder();
    let dir = dir.path();
    ["train/n1/a.png", "train/n1/b.png", "train/n2/c.png", "val/n3/d.png"]
        .iter()
        .for_each(|path| drop(paint(dir, path, [2, 2], 0)));
    write(dir, "splits/train.csv", "filename,label\r\na.png,n1\r\nb.png,n1\r\nc.png,n2\r\ne.png,n2\r\n");
    write(dir, "splits/subset_train.csv", "filename,label\na.png,n1\nb.png,n1\n");
    write(dir, "splits/val.csv", "filename,label\nd.png,n3\n");
    let splits = open(dir, None, &Reading::default()).expect("a data set");
    assert_eq!((splits.kind, splits.train.counts()), (Kind::MiniImageNet, vec![2, 1]));
    assert_eq!(splits.val.map(|set| (set.name, set.classes)), Some(("mini-imagenet val".into(), vec!["n3".into()])));
    assert_eq!(splits.notes, ["3 of the 4 pictures of splits/train.csv are here"]);
    paint(dir, "train/n2/d.png", [2, 2], 0);
    refused(dir, Reading::default(), &["d.png is not in", "splits/train.csv"]);
    write(dir, "splits/train.csv", "filename,label\na.png,n1\nb.png,n1\nc.png,n1\n");
    refused(dir, Reading::default(), &["c.png lies in class n2", "has it in n1"]);
    write(dir, "splits/train.csv", "filename,label\na.png n1\n");
    refused(dir, Reading::default(), &["splits/train.csv: line 2", "a.png n1"]);
}
