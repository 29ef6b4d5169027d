//! Tests on generated trees of tiny images.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use image::{Rgb, RgbImage};
use tempfile::TempDir;

use super::*;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// An image of one colour at `path`, lossless unless it is a JPEG.
fn paint(root: &Path, path: &str, [height, width]: [u32; 2], shade: u8) -> PathBuf {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().expect("below the root")).expect("a temporary folder");
    RgbImage::from_pixel(width, height, Rgb([shade, 0, 255]))
        .save(&path)
        .expect("a temporary file");
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

/// The first byte of every image.
fn shades(set: &ImageSet) -> Vec<u8> {
    (0..set.len())
        .map(|i| set.image(i).expect("in memory")[0])
        .collect()
}

fn skip() -> Reading<'static> {
    Reading {
        broken: Broken::Skip,
        ..Reading::default()
    }
}

#[test]
fn the_first_pictures_of_folders_are_of_all_classes() {
    let dir = folder();
    for (class, count) in [("a", 6), ("b", 3), ("c", 6)] {
        (0..count).for_each(|i| _ = paint(dir.path(), &format!("{class}/{i}.png"), [2, 2], i));
    }
    let set = open(dir.path(), None, &Reading::default())
        .expect("a data set")
        .train;
    let [third, rest] = [&set.labels[..5], &set.labels[5..]]
        .map(|part| [0, 1, 2].map(|c| part.iter().filter(|l| **l == c).count()));
    assert_eq!((third, rest), ([2, 1, 2], [4, 2, 4]), "{:?}", set.labels);
    let paths = |class: u32| {
        shades(&set)
            .into_iter()
            .zip(&set.labels)
            .filter(|(_, l)| **l == class)
            .map(|(s, _)| s)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (paths(0), paths(1)),
        (vec![0, 1, 2, 3, 4, 5], vec![0, 1, 2]),
        "in the order of their paths"
    );
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
    assert_eq!(
        set.classes,
        ["ant", "cat"],
        "a folder without pictures is no class"
    );
    assert_eq!(
        (&set.labels[..], shades(set)),
        (&[1, 0, 1, 1][..], vec![1, 0, 2, 3]),
        "classes take turns"
    );
    assert_eq!(set.len(), 4);
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
    let reading = Reading {
        progress: Some(&progress),
        ..Reading::default()
    };
    let set = open(dir.path(), None, &reading).expect("a data set").train;
    assert_eq!((set.classes.len(), shades(&set)), (1, (0..20).collect()));
    assert_eq!(count.into_inner(), 20);
}

#[test]
fn splits_count_classes_alike_where_they_can() {
    let dir = folder();
    let dir = dir.path();
    [
        "train/a/1.png",
        "train/b/1.png",
        "train/c/1.png",
        "val/c/2.png",
        "test/a/3.png",
        "test/d/3.png",
    ]
    .iter()
    .for_each(|path| drop(paint(dir, path, [2, 2], 7)));
    let splits = open(dir, None, &Reading::default()).expect("a data set");
    assert_eq!(
        splits
            .each()
            .map(|(name, set)| (name, set.len()))
            .collect::<Vec<_>>(),
        [("train", 3), ("val", 1), ("test", 2)]
    );
    let val = splits.val.expect("it is there");
    let test = splits.test.expect("it is there");
    assert_eq!(
        (&val.classes, &val.labels[..]),
        (&splits.train.classes, &[2][..])
    );
    assert_eq!(
        (&test.classes[..], &test.labels[..]),
        (&["a".to_string(), "d".into()][..], &[0, 1][..])
    );
}

#[test]
fn an_empty_folder_says_what_was_looked_for() {
    let dir = folder();
    refused(
        dir.path(),
        Reading::default(),
        &["no images", ".png, .jpg, .jpeg, .jpe, .jfif, .webp"],
    );
    write(dir.path(), "a/movie.mp4", "");
    refused(dir.path(), Reading::default(), &["no images", "movie.mp4"]);
    refused(
        &dir.path().join("nowhere"),
        Reading::default(),
        &["nowhere", "is not a folder"],
    );
    let kinds = [
        (Kind::Cifar10, "data_batch_*.bin"),
        (Kind::MiniImageNet, "splits/train.csv"),
    ];
    for (kind, word) in kinds {
        let said = open(dir.path(), Some(kind), &Reading::default())
            .expect_err("refused")
            .to_string();
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
    refused(
        dir,
        Reading::default(),
        &["00.png is damaged", "--skip-broken"],
    );
    paint(dir, "c/00.png", [8, 8], 0);
    for _ in 0..20 {
        refused(dir, Reading::default(), &["17.jpg is", "--skip-broken"]);
    }
    let splits = open(dir, None, &skip()).expect("the others are whole");
    assert_eq!(shades(&splits.train), (0..29).collect::<Vec<_>>());
    let skipped = splits.skipped.join("\n");
    assert_eq!(splits.skipped.len(), 3, "{skipped}");
    for words in ["17.jpg is", "25.webp is a single pixel", "29.png is empty"] {
        assert!(skipped.contains(words), "{skipped}");
    }
    (0..30).for_each(|i| drop(std::fs::write(dir.join(format!("c/{i:02}.png")), "")));
    refused(dir, skip(), &["all its images are broken (32)"]);
}

#[test]
fn other_sizes_are_an_error_unless_resized() {
    let dir = folder();
    let dir = dir.path();
    paint(dir, "train/c/a.png", [4, 6], 1);
    paint(dir, "train/c/b.png", [4, 6], 2);
    paint(dir, "val/c/d.png", [6, 4], 3);
    for reading in [Reading::default(), skip()] {
        refused(
            dir,
            reading,
            &["d.png has 4×6", "a.png has 6×4", "have them resized"],
        );
    }
    paint(dir, "val/c/e.png", [1, 1], 4);
    refused(dir, Reading::default(), &["d.png has 4×6"]);
    let reading = Reading {
        size: Some([3, 5]),
        ..Reading::default()
    };
    let splits = open(dir, None, &reading).expect("all are squashed");
    let val = splits.val.expect("it is there");
    assert_eq!((val.height, val.width, shades(&val)), (3, 5, vec![3, 4]));
    assert_eq!(val.len(), 2);
}

#[test]
fn what_cannot_be_told_apart_is_refused() {
    let dir = folder();
    paint(dir.path(), "a.png", [2, 2], 0);
    paint(dir.path(), "cat/b.png", [2, 2], 0);
    refused(
        dir.path(),
        Reading::default(),
        &["a.png is next to folders of images (cat)"],
    );
    paint(dir.path(), "train/b.png", [2, 2], 0);
    std::fs::remove_file(dir.path().join("a.png")).expect("it is there");
    refused(
        dir.path(),
        Reading::default(),
        &["cat holds images next to train"],
    );
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
    [
        "train/n1/a.png",
        "train/n1/b.png",
        "train/n2/c.png",
        "val/n3/d.png",
    ]
    .iter()
    .for_each(|path| drop(paint(dir, path, [2, 2], 0)));
    write(
        dir,
        "splits/train.csv",
        "filename,label\r\na.png,n1\r\nb.png,n1\r\nc.png,n2\r\ne.png,n2\r\n",
    );
    write(
        dir,
        "splits/subset_train.csv",
        "filename,label\na.png,n1\nb.png,n1\n",
    );
    write(dir, "splits/val.csv", "filename,label\nd.png,n3\n");
    let splits = open(dir, None, &Reading::default()).expect("a data set");
    assert_eq!(
        (splits.kind, splits.train.counts()),
        (Kind::MiniImageNet, vec![2, 1])
    );
    assert_eq!(
        splits.val.map(|set| (set.name, set.classes)),
        Some(("mini-imagenet val".into(), vec!["n3".into()]))
    );
    assert_eq!(
        splits.notes,
        ["3 of the 4 images of splits/train.csv are here"]
    );
    paint(dir, "train/n2/d.png", [2, 2], 0);
    refused(
        dir,
        Reading::default(),
        &["d.png is not in", "splits/train.csv"],
    );
    write(
        dir,
        "splits/train.csv",
        "filename,label\na.png,n1\nb.png,n1\nc.png,n1\n",
    );
    refused(
        dir,
        Reading::default(),
        &["c.png is in class n2", "puts it in n1"],
    );
    write(dir, "splits/train.csv", "filename,label\na.png n1\n");
    refused(
        dir,
        Reading::default(),
        &["splits/train.csv: line 2", "a.png n1"],
    );
}

/// The names and sizes of the splits.
fn sizes(splits: &Splits) -> Vec<(&'static str, usize)> {
    splits.each().map(|(name, set)| (name, set.len())).collect()
}

#[cfg(unix)]
#[test]
fn what_cannot_be_looked_at_is_an_error_or_listed() {
    use std::os::unix::fs::symlink;
    let dir = folder();
    let dir = dir.path();
    (0..3).for_each(|i| drop(paint(dir, &format!("store/{i}.png"), [2, 2], i)));
    std::fs::create_dir_all(dir.join("set/a")).expect("a folder");
    let set = dir.join("set");
    symlink("../../store/0.png", set.join("a/0.png")).expect("a link");
    symlink("../store", set.join("b")).expect("a link");
    let splits = open(&set, None, &Reading::default()).expect("links that lead somewhere");
    assert_eq!(splits.train.counts(), [1, 3]);
    for (link, target) in [
        ("a/1.png", "../../gone/1.png"),
        ("c", "../nowhere"),
        ("a/sub", "sub"),
        ("train", "../gone"),
    ] {
        symlink(target, set.join(link)).expect("a link");
        refused(&set, Reading::default(), &[link, target, "--skip-broken"]);
        let skipped = open(&set, None, &skip())
            .expect("the others are whole")
            .skipped;
        assert!(
            skipped.len() == 1 && skipped[0].contains(link),
            "{skipped:?}"
        );
        std::fs::remove_file(set.join(link)).expect("it is there");
    }
    // A split that cannot be accessed, and such a list.
    paint(dir, "split/train/a/0.png", [2, 2], 0);
    let split = dir.join("split");
    symlink("../gone", split.join("test")).expect("a link");
    refused(&split, Reading::default(), &["test", "../gone"]);
    std::fs::remove_file(split.join("test")).expect("it is there");
    std::fs::create_dir(split.join("splits")).expect("a folder");
    symlink("../gone.csv", split.join("splits/train.csv")).expect("a link");
    refused(&split, Reading::default(), &["train.csv", "../gone.csv"]);
    // A pipe is neither file nor folder.
    let mut pipe = std::process::Command::new("mkfifo");
    if pipe
        .arg(set.join("a/pipe.png"))
        .status()
        .is_ok_and(|status| status.success())
    {
        let notes = open(&set, None, &Reading::default())
            .expect("the rest")
            .notes;
        assert!(
            notes[0].contains("1 neither file nor folder (pipe.png)"),
            "{notes:?}"
        );
    }
}

#[test]
fn splits_have_many_names_and_may_be_wrapped() {
    for [train, val, test] in [
        ["Train", "Val", "Test"],
        ["training", "validation", "testing"],
        ["train2017", "val2017", "test2017"],
        ["archive/train", "archive/valid", "archive/test"],
        ["a/b/Train_Images", "a/b/dev", "a/b/TestSet"],
    ] {
        let dir = folder();
        for (split, count) in [(train, 4), (val, 2), (test, 1)] {
            for class in ["cat", "dog"] {
                (0..count).for_each(|i| {
                    drop(paint(
                        dir.path(),
                        &format!("{split}/{class}/{i}.png"),
                        [2, 2],
                        i,
                    ))
                });
            }
        }
        let splits = open(dir.path(), None, &Reading::default()).expect(train);
        assert_eq!(
            sizes(&splits),
            [("train", 8), ("val", 4), ("test", 2)],
            "{train}"
        );
        assert_eq!(splits.train.classes, ["cat", "dog"]);
        assert_eq!(
            splits.notes.len(),
            usize::from(train.contains('/')),
            "{:?}",
            splits.notes
        );
    }
    let dir = folder();
    paint(dir.path(), "images/cat/0.png", [2, 2], 0);
    paint(dir.path(), "images/dog/0.png", [2, 2], 0);
    let splits = open(dir.path(), None, &Reading::default()).expect("classes one level down");
    assert_eq!(
        (splits.train.classes, splits.notes[0].contains("images")),
        (vec!["cat".into(), "dog".into()], true)
    );
}

#[test]
fn what_looks_like_splits_and_is_not_taken_so_is_told_or_refused() {
    let dir = folder();
    let dir = dir.path();
    paint(dir, "a/test/cat/0.png", [2, 2], 0);
    paint(dir, "a/val/cat/0.png", [2, 2], 0);
    refused(
        &dir.join("a"),
        Reading::default(),
        &["looks like a split", "no folder `train`"],
    );
    paint(dir, "b/test/0.png", [2, 2], 0);
    paint(dir, "b/cat/0.png", [2, 2], 0);
    let splits = open(&dir.join("b"), None, &Reading::default()).expect("a class called test");
    assert!(
        splits.notes[0].contains("test is taken for a class"),
        "{:?}",
        splits.notes
    );
    paint(dir, "c/cat/train/0.png", [2, 2], 0);
    paint(dir, "c/cat/test/0.png", [2, 2], 0);
    paint(dir, "c/dog/train/0.png", [2, 2], 0);
    refused(
        &dir.join("c"),
        Reading::default(),
        &["cat would be a class", "train/cat"],
    );
    paint(dir, "d/train/cat/0.png", [2, 2], 0);
    paint(dir, "d/Training/cat/0.png", [2, 2], 0);
    refused(
        &dir.join("d"),
        Reading::default(),
        &["Training", "train", "both"],
    );
}

#[test]
fn lists_beside_images_divide_them() {
    let dir = folder();
    let dir = dir.path();
    (0..10).for_each(|i| drop(paint(dir, &format!("images/{i}.png"), [2, 2], i)));
    write(
        dir,
        "train.csv",
        "filename,label\n0.png,b\n1.png,a\n2.png,b\n3.png,a\n9.jpg,a\n",
    );
    write(dir, "val.csv", "filename,label\n4.png,a\n5.png,b\n");
    write(dir, "test.csv", "label,filename\nc,6.png\nc,images/7.png\n");
    let said = open(dir, None, &Reading::default()).expect("a data set");
    assert_eq!(sizes(&said), [("train", 4), ("val", 2), ("test", 1)]);
    assert_eq!(
        (&said.train.classes[..], &said.train.labels[..]),
        (&["a".to_string(), "b".into()][..], &[0, 1, 0, 1][..])
    );
    assert_eq!(shades(&said.train), [1, 0, 3, 2]);
    let notes = said.notes.join("; ");
    for words in [
        "4 of the 5 images of",
        "1 of the 2 images of",
        "3 images are in no list",
        "7.png",
    ] {
        assert!(notes.contains(words), "{notes}");
    }
    write(dir, "val.csv", "filename,label\n0.png,b\n5.png,b\n");
    refused(
        dir,
        Reading::default(),
        &["0.png", "in the list of train as well"],
    );
    write(dir, "val.csv", "a,b,c\n");
    refused(dir, Reading::default(), &["val.csv", "line 1"]);
    // An unrelated table beside folders of classes is not used.
    std::fs::remove_dir_all(dir.join("images")).expect("it is there");
    paint(dir, "cat/0.png", [2, 2], 0);
    paint(dir, "dog/0.png", [2, 2], 0);
    let notes = open(dir, None, &Reading::default())
        .expect("two classes")
        .notes;
    assert!(
        notes.iter().any(|note| note.contains("val.csv")),
        "{notes:?}"
    );
}

#[test]
fn what_is_passed_over_is_counted() {
    let dir = folder();
    let dir = dir.path();
    paint(dir, "a/0.png", [2, 2], 0);
    for (path, kind) in [("a/1.gif", "GIF"), ("a/2.bmp", "BMP"), ("b/3.tif", "TIFF")] {
        assert_eq!(
            paint(dir, path, [2, 2], 0).extension().map(|e| e.len()),
            Some(3),
            "{kind}"
        );
    }
    let jpeg = std::fs::read(paint(dir, "b/4.jpg", [2, 2], 0)).expect("a JPEG");
    std::fs::write(dir.join("b/5.jfif"), &jpeg).expect("a file");
    std::fs::write(dir.join("b/6.JPE"), &jpeg).expect("a file");
    for path in [
        "b/x.heic",
        "b/.DS_Store",
        "b/Thumbs.db",
        "b/@eaDir/0.png",
        "__MACOSX/a/._0.png",
        "c/readme.txt",
    ] {
        write(dir, path, "x");
    }
    let splits = open(dir, None, &Reading::default()).expect("two classes");
    assert_eq!(
        (splits.train.classes.len(), splits.train.counts()),
        (2, vec![3, 4])
    );
    let notes = splits.notes.join("; ");
    for words in [
        "1 .heic",
        "1 .db",
        "1 .txt",
        "3 hidden",
        ".DS_Store",
        "@eaDir",
        "__MACOSX",
        "convert .heic",
        "is not a class: c",
    ] {
        assert!(notes.contains(words), "{words}: {notes}");
    }
}

#[test]
fn a_set_too_large_for_memory_is_packed_and_reads_the_same() {
    let dir = folder();
    let cache = folder();
    (0..20).for_each(|i| {
        drop(paint(
            dir.path(),
            &format!("train/{}/{i:02}.png", i % 3),
            [4, 6],
            i,
        ))
    });
    (0..5).for_each(|i| {
        drop(paint(
            dir.path(),
            &format!("test/1/{i}.png"),
            [4, 6],
            100 + i,
        ))
    });
    write(dir.path(), "train/0/99.png", "broken");
    let in_memory = open(dir.path(), None, &skip()).expect("a data set");
    let reading = Reading {
        memory: 25 * 72 - 1,
        cache: Some(cache.path().join("images")),
        ..skip()
    };
    let files = || {
        std::fs::read_dir(cache.path().join("images"))
            .expect("the cache")
            .count()
    };
    for _ in 0..2 {
        let packed = open(dir.path(), None, &reading).expect("a data set");
        assert!(packed.train.is_on_disk() && !in_memory.train.is_on_disk());
        assert_eq!(shades(&packed.train), shades(&in_memory.train));
        assert_eq!(packed.train.labels, in_memory.train.labels);
        assert_eq!(packed.train.checksum(), in_memory.train.checksum());
        assert_eq!(
            packed.skipped, in_memory.skipped,
            "a packed file knows what was left out"
        );
        assert_eq!(packed.train.checksum_of_pixels().expect("it reads"), {
            in_memory.train.checksum_of_pixels().expect("in memory")
        });
        assert_eq!(files(), 2, "one for each split");
    }
    // A new image gives a new packed file; a damaged packed file is packed again.
    paint(dir.path(), "train/0/50.png", [4, 6], 50);
    assert_eq!(
        open(dir.path(), None, &reading)
            .expect("a data set")
            .train
            .len(),
        21
    );
    assert_eq!(files(), 3);
    for entry in std::fs::read_dir(cache.path().join("images")).expect("the cache") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("a packed file");
        std::fs::write(&path, &bytes[..bytes.len() - 1]).expect("a packed file");
    }
    let again = open(dir.path(), None, &reading).expect("a data set");
    assert_eq!(
        (again.train.len(), shades(&again.test.expect("five")).len()),
        (21, 5)
    );
}

#[test]
fn batches_of_a_packed_set_are_those_of_memory() {
    let dir = folder();
    let cache = folder();
    (0..30).for_each(|i| drop(paint(dir.path(), &format!("{i:02}.png"), [4, 4], 8 * i)));
    let reading = Reading {
        memory: 0,
        cache: Some(cache.path().into()),
        ..Reading::default()
    };
    let sets = [Reading::default(), reading]
        .map(|reading| open(dir.path(), None, &reading).expect("a data set").train);
    let options = LoaderOptions {
        batch: 7,
        seed: 1,
        flip: true,
        first_step: 3,
    };
    let [a, b] = sets.map(|set| Loader::start(set.into(), options).expect("it starts"));
    for _ in 0..10 {
        assert_eq!(a.next().expect("in memory"), b.next().expect("it reads"));
    }
}
