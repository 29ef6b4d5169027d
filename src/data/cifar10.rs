//! CIFAR-10 in its original binary form: records of a label byte and 3,072 pixel bytes, `[3, 32, 32]`.
//!
//! The batches that are there are read, and as many records of each as it has: a set cut down for a test is as good as
//! the whole. `test_batch.bin` is the held-out set.

use std::path::{Path, PathBuf};

use super::{ImageSet, Kind, Reading, Splits, check_memory, reserve};
use crate::error::{Error, Result};

/// Pixels to a side.
pub const SIDE: usize = 32;
/// Bytes of a record.
pub const RECORD: usize = 1 + PIXELS;
const PIXELS: usize = 3 * SIDE * SIDE;
/// The folder in the official archive, and its files with their MD5.
pub const FOLDER: &str = "cifar-10-batches-bin";
/// The official batches of 10,000 records with their MD5.
pub const OFFICIAL: [(&str, &str); 6] = [
    ("data_batch_1.bin", "5dd7e06a14cb22eb9f671a540d1b7c25"),
    ("data_batch_2.bin", "5ea93a67294ea407fff1d09f752e9692"),
    ("data_batch_3.bin", "942cd6a4bcdd0dd3c604fbe906cb4421"),
    ("data_batch_4.bin", "ae636b3ba5c66a11e91e8cb52e771fcb"),
    ("data_batch_5.bin", "53f37980c15c3d472c316c40844f3f0d"),
    ("test_batch.bin", "803d5f7f4d78ea53de84dbe85f74fb6d"),
];
/// Bytes of an official batch.
pub const OFFICIAL_BYTES: u64 = 10_000 * RECORD as u64;
/// The classes' names.
pub const NAMES: &str = "batches.meta.txt";
const CLASSES: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Where the batches lie: `dir`, or the folder of the archive inside it.
pub fn folder(dir: &Path) -> Option<PathBuf> {
    [dir.to_path_buf(), dir.join(FOLDER)].into_iter().find(|dir| batches(dir).is_ok_and(|files| !files.is_empty()))
}

/// The batches in `dir`, by name.
///
/// # Errors
/// [`Error::Io`].
pub fn batches(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io(dir))? {
        let path = entry.map_err(Error::io(dir))?.path();
        if is_train(&path) || path.ends_with("test_batch.bin") {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn is_train(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("data_batch_") && name.ends_with(".bin")
}

/// Reads the batches in `dir` or in `cifar-10-batches-bin` inside it.
///
/// # Errors
/// [`Error::Data`] if there is no `data_batch_*.bin`, if a batch is no whole number of records or has a label over 9, if
/// `batches.meta.txt` does not name ten classes, or if another size than 32 is asked for. [`Error::Io`].
pub fn open(dir: &Path, reading: &Reading) -> Result<Splits> {
    if reading.size.is_some_and(|size| size != [SIDE; 2]) {
        return Err(Error::Data("CIFAR-10's pictures stay 32×32; leave --size out".into()));
    }
    let missing = || {
        Error::Data(format!(
            "{}: neither here nor in {FOLDER} lies a data_batch_*.bin of CIFAR-10's binary version; name the folder that has \
             them, or let `dbvq-wgpu data cifar10 --download` fetch them",
            dir.display()
        ))
    };
    let dir = folder(dir).ok_or_else(missing)?;
    let (train, test): (Vec<_>, Vec<_>) = batches(&dir)?.into_iter().partition(|path| is_train(path));
    if train.is_empty() {
        return Err(missing());
    }
    let names = names(&dir)?;
    let records = |files: &[PathBuf]| files.iter().map(|file| records(file)).sum::<Result<usize>>();
    let total = records(&train)? + records(&test)?;
    check_memory(&dir, total, PIXELS, 0, reading.memory)?;
    let mut done = 0;
    let mut split = |name: &str, files: &[PathBuf]| -> Result<ImageSet> {
        let mut set = empty(name, &names, reserve(&dir, records(files)? * PIXELS)?);
        for file in files {
            append(&mut set, file)?;
            if let Some(progress) = reading.progress {
                progress((done + set.len()) as u64, total as u64);
            }
        }
        if set.len() * PIXELS != set.images.len() {
            return Err(Error::Data(format!("{}: a batch of it changed while it was read; try again", dir.display())));
        }
        done += set.len();
        Ok(set)
    };
    let train = split("cifar10 train", &train)?;
    let test = if test.is_empty() { None } else { Some(split("cifar10 test", &test)?) };
    Ok(Splits { kind: Kind::Cifar10, train, val: None, test, skipped: Vec::new(), notes: Vec::new() })
}

fn empty(name: &str, classes: &[String], images: Vec<u8>) -> ImageSet {
    ImageSet { name: name.into(), height: SIDE, width: SIDE, images, labels: Vec::new(), classes: classes.into() }
}

/// The number of records of `file` by its size.
fn records(file: &Path) -> Result<usize> {
    let bytes = std::fs::metadata(file).map_err(Error::io(file))?.len();
    let (whole, rest) = (bytes / RECORD as u64, bytes % RECORD as u64);
    let wrong = |what: String| Err(Error::Data(format!("{}: {what}; fetch it again", file.display())));
    match (whole, rest) {
        (0, 0) => wrong("is empty".into()),
        (_, 0) => Ok(whole as usize),
        _ => wrong(format!(
            "its {bytes} bytes are no whole number of CIFAR-10 records of {RECORD}: the record at offset {} has only {rest}",
            whole * RECORD as u64
        )),
    }
}

/// Reads the records of `file` to where the pictures of `set` end.
fn append(set: &mut ImageSet, file: &Path) -> Result<()> {
    let bytes = std::fs::read(file).map_err(Error::io(file))?;
    for (i, record) in bytes.chunks_exact(RECORD).enumerate() {
        let (&label, planes) = record.split_first().expect("a record begins with its label");
        if usize::from(label) >= CLASSES.len() {
            return Err(Error::Data(format!(
                "{}: the byte at offset {} is {label}, and a CIFAR-10 label is at most 9; this is another format (the binary \
                 version of CIFAR-10 is wanted) or a damaged file",
                file.display(),
                i * RECORD
            )));
        }
        let at = set.labels.len() * PIXELS;
        let Some(image) = set.images.get_mut(at..at + PIXELS) else {
            return Err(Error::Data(format!("{}: changed while it was read; try again", file.display())));
        };
        for (j, pixel) in image.chunks_exact_mut(3).enumerate() {
            pixel.copy_from_slice(&[planes[j], planes[j + SIDE * SIDE], planes[j + 2 * SIDE * SIDE]]);
        }
        set.labels.push(u32::from(label));
    }
    Ok(())
}

/// The names in `batches.meta.txt`, or the ten known ones where it is missing.
fn names(dir: &Path) -> Result<Vec<String>> {
    let file = dir.join(NAMES);
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => CLASSES.join("\n"),
        Err(e) => return Err(Error::io(&file)(e)),
    };
    let names: Vec<String> = text.lines().map(str::trim).filter(|name| !name.is_empty()).map(String::from).collect();
    if names.len() == CLASSES.len() {
        return Ok(names);
    }
    Err(Error::Data(format!(
        "{}: has {} names, and CIFAR-10 has ten classes; fetch it again",
        file.display(),
        names.len()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records with those labels; byte i of picture n is n + i, planes told apart by a high bit.
    fn batch(labels: &[u8]) -> Vec<u8> {
        let record = |(n, &label): (usize, &u8)| {
            let pixels = (0..PIXELS).map(move |i| (n + i % 1024) as u8 % 64 + 64 * (i / 1024) as u8);
            std::iter::once(label).chain(pixels).collect::<Vec<u8>>()
        };
        labels.iter().enumerate().flat_map(record).collect()
    }

    fn write(dir: &Path, name: &str, bytes: &[u8]) {
        std::fs::write(dir.join(name), bytes).expect("a temporary file");
    }

    fn refused(dir: &Path, words: &[&str]) {
        let error = open(dir, &Reading::default()).expect_err("refused");
        assert_eq!(error.exit_code(), 8);
        assert!(words.iter().all(|word| error.to_string().contains(word)), "{error}");
    }

    #[test]
    fn what_is_there_is_read_with_channels_last() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let inner = dir.path().join(FOLDER);
        std::fs::create_dir(&inner).expect("a temporary folder");
        write(&inner, "data_batch_2.bin", &batch(&[3, 9]));
        write(&inner, "data_batch_5.bin", &batch(&[0]));
        write(&inner, "test_batch.bin", &batch(&[7]));
        for dir in [dir.path(), &inner] {
            let splits = super::super::open(dir, None, &Reading::default()).expect("a data set");
            assert_eq!((splits.kind, &splits.train.labels[..]), (Kind::Cifar10, &[3, 9, 0][..]));
            assert_eq!(splits.train.image(1)[..6], [1, 65, 129, 2, 66, 130]);
            assert_eq!((splits.train.height, splits.train.width, splits.train.images.len()), (32, 32, 3 * PIXELS));
            assert_eq!(splits.train.classes[3], "cat");
            assert_eq!(splits.test.map(|set| set.labels), Some(vec![7]));
        }
    }

    #[test]
    fn damaged_batches_are_named_with_their_offset() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let dir = dir.path();
        let mut bytes = batch(&[1, 2]);
        write(dir, "data_batch_1.bin", &bytes[..RECORD + 100]);
        refused(dir, &["data_batch_1.bin", "offset 3073 has only 100", "fetch it again"]);
        bytes[RECORD] = 10;
        write(dir, "data_batch_1.bin", &bytes);
        refused(dir, &["data_batch_1.bin", "offset 3073 is 10", "at most 9"]);
        write(dir, "data_batch_1.bin", b"");
        refused(dir, &["data_batch_1.bin", "is empty"]);
        write(dir, "data_batch_1.bin", &batch(&[1]));
        write(dir, NAMES, b"cat\ndog\n");
        refused(dir, &[NAMES, "has 2 names"]);
    }

    #[test]
    fn no_training_batch_says_what_was_looked_for() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        refused(dir.path(), &["data_batch_*.bin", FOLDER, "--download"]);
        write(dir.path(), "test_batch.bin", &batch(&[1]));
        refused(dir.path(), &["data_batch_*.bin"]);
    }

    #[test]
    fn sizes_and_limits_hold_here_too() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        write(dir.path(), "data_batch_1.bin", &batch(&[1, 2]));
        let said = |reading| open(dir.path(), &reading).expect_err("refused").to_string();
        assert!(said(Reading { size: Some([16, 16]), ..Reading::default() }).contains("--size"));
        assert!(said(Reading { memory: 6143, ..Reading::default() }).contains("--memory"));
        open(dir.path(), &Reading { memory: 6144, size: Some([32; 2]), ..Reading::default() }).expect("it fits");
    }
}
