//! CIFAR-10 in its original binary form: records of a label byte and 3,072 pixel bytes,
//! `[3, 32, 32]`.
//!
//! Batches are read under their official names only, each with as many records as it has, so a set
//! cut down for a test works like the whole. `test_batch.bin` is the held-out set. Other files
//! beside them are reported but not read: a copy such as `data_batch_1 (1).bin` would put images
//! into training twice, or into both halves of a hold-out.

pub(crate) mod batches;
pub mod place;

use std::path::Path;

use self::batches::Batches;
use super::cifar10::place::{FOLDER, batches, folder, strangers};
use super::decode::is_picture;
use super::entries::{entries, name_of};
use super::load::Reader;
use super::passed::shown;
use super::source::Source;
use super::{ImageSet, Kind, Reading, Splits, layout};
use crate::error::{Error, Result};

pub use super::record::{RECORD, SIDE};

/// Bytes of an official batch.
pub const OFFICIAL_BYTES: u64 = 10_000 * RECORD as u64;
/// File with the names of the classes.
pub const NAMES: &str = "batches.meta.txt";
const CLASSES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

/// Reads the batches in `dir` or in `cifar-10-batches-bin` inside it. If they exceed the memory
/// limit and no other size is requested, images are read from the batches on demand.
///
/// # Errors
/// [`Error::Data`] if there is no `data_batch_*.bin`, if a batch is not a whole number of records
/// or has a label over 9, or if `batches.meta.txt` does not name ten classes. [`Error::Io`].
pub fn open(dir: &Path, reading: &Reading) -> Result<Splits> {
    let (dir, entered) = layout::enter(dir)?;
    let missing = || {
        Error::Data(format!(
            "{}: no data_batch_*.bin (1 to 5) of CIFAR-10's binary version here or in {FOLDER}; name the folder that \
             has them, or fetch them with `dbvq-wgpu data cifar10 --dir DIR --download`",
            dir.display()
        ))
    };
    let folder = folder(&dir).ok_or_else(missing)?;
    let (test, train): (Vec<_>, Vec<_>) = batches(&folder)?
        .into_iter()
        .partition(|path| path.ends_with("test_batch.bin"));
    if train.is_empty() {
        return Err(missing());
    }
    let names = names(&folder)?;
    let mut notes: Vec<String> = entered.into_iter().collect();
    let strange: Vec<String> = strangers(&folder)?
        .iter()
        .map(|path| name_of(path))
        .collect();
    if !strange.is_empty() {
        notes.push(format!(
            "{} not read, not named like a CIFAR-10 batch: {}",
            strange.len(),
            strange.join(", ")
        ));
    }
    notes.extend(beside(&dir, &folder)?);
    let mut skipped = Vec::new();
    let mut batches = |paths| Batches::open(&folder, paths, reading.broken, &mut skipped);
    let [train, test] = [batches(train)?, batches(test)?];
    let Some(train) = train else {
        let folder = folder.display();
        return Err(Error::Data(format!(
            "{folder}: no training batch is complete; fetch them again"
        )));
    };
    let splits = [("cifar10 train", Some(train)), ("cifar10 test", test)];
    let [train, test] = if reading.size.is_some_and(|size| size != [SIDE; 2]) {
        resized(&splits, &names, reading, &mut notes)?
    } else {
        plain(splits, &names, reading)?
    };
    let train = train.expect("there is a training batch");
    Ok(Splits {
        kind: Kind::Cifar10,
        train,
        val: None,
        test,
        skipped,
        notes,
    })
}

/// Training and test batches with the names of their sets.
type Named = [(&'static str, Option<Batches>); 2];

/// The images at another size.
fn resized(
    splits: &Named,
    classes: &[String],
    reading: &Reading,
    notes: &mut Vec<String>,
) -> Result<[Option<ImageSet>; 2]> {
    let all: Vec<&dyn Source> = splits
        .iter()
        .flat_map(|(_, batches)| batches)
        .map(|b| b as &dyn Source)
        .collect();
    let mut reader = Reader::new(&all, reading)?;
    let mut read = |(name, batches): &(&str, Option<Batches>)| {
        let set = batches
            .as_ref()
            .map(|batches| reader.read(batches, (*name).into(), classes.into()));
        set.transpose()
    };
    let sets = [read(&splits[0])?, read(&splits[1])?];
    notes.extend(reader.notes);
    Ok(sets)
}

/// The images at their own size, in memory or read from their batches on demand.
fn plain(splits: Named, classes: &[String], reading: &Reading) -> Result<[Option<ImageSet>; 2]> {
    let total: usize = splits
        .iter()
        .filter_map(|(_, batches)| batches.as_ref())
        .map(Source::len)
        .sum();
    let on_disk = total as u128 * (RECORD - 1) as u128 > u128::from(reading.memory);
    let mut done = 0;
    let mut read = |(name, batches): (&str, Option<Batches>)| -> Result<Option<ImageSet>> {
        let Some(batches) = batches else {
            return Ok(None);
        };
        let count = batches.len();
        let mut tick = |n: usize| {
            reading
                .progress
                .iter()
                .for_each(|p| p((done + n) as u64, total as u64))
        };
        let (store, labels) = batches.into_store(on_disk, &mut tick)?;
        done += count;
        Ok(Some(ImageSet::from_store(
            name.into(),
            [SIDE; 2],
            store,
            labels,
            classes.into(),
        )))
    };
    let [train, test] = splits;
    Ok([read(train)?, read(test)?])
}

/// A note on images and folders in `dir` beside the batches in `folder`: the user may have meant
/// those.
fn beside(dir: &Path, folder: &Path) -> Result<Option<String>> {
    let mut names = Vec::new();
    for entry in entries(dir)? {
        if entry.path != folder && (entry.is_folder() || is_picture(&entry.path)) {
            names.push(entry.name());
        }
    }
    Ok((!names.is_empty())
        .then(|| format!("next to the CIFAR-10 batches, not read: {}", shown(&names))))
}

/// The names in `batches.meta.txt`, or the ten built-in ones if it is missing.
fn names(dir: &Path) -> Result<Vec<String>> {
    let file = dir.join(NAMES);
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => CLASSES.join("\n"),
        Err(e) => return Err(Error::io(&file)(e)),
    };
    let names: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(String::from)
        .collect();
    if names.len() == CLASSES.len() {
        return Ok(names);
    }
    Err(Error::Data(format!(
        "{}: has {} names, but CIFAR-10 has ten classes; fetch it again",
        file.display(),
        names.len()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Broken;
    use crate::data::record::PIXELS;

    /// Records with those labels; byte i of a plane of image n is (n + i) mod 64, plus 64 times the
    /// plane's index.
    fn batch(labels: &[u8]) -> Vec<u8> {
        let record = |(n, &label): (usize, &u8)| {
            let pixels =
                (0..PIXELS).map(move |i| (n + i % 1024) as u8 % 64 + 64 * (i / 1024) as u8);
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
        assert!(
            words.iter().all(|word| error.to_string().contains(word)),
            "{error}"
        );
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
            assert_eq!(
                (splits.kind, &splits.train.labels[..]),
                (Kind::Cifar10, &[3, 9, 0][..])
            );
            assert_eq!(
                splits.train.image(1).expect("in memory")[..6],
                [1, 65, 129, 2, 66, 130]
            );
            assert_eq!(
                (splits.train.height, splits.train.width, splits.train.len()),
                (32, 32, 3)
            );
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
        refused(
            dir,
            &[
                "data_batch_1.bin",
                "offset 3073 has only 100",
                "fetch it again",
            ],
        );
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
    fn damaged_batches_may_be_left_out() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        write(dir.path(), "data_batch_1.bin", &batch(&[1, 2]));
        write(dir.path(), "data_batch_2.bin", &batch(&[1, 2])[1..]);
        write(dir.path(), "data_batch_3.bin", &batch(&[1, 12]));
        write(dir.path(), "test_batch.bin", b"");
        let skip = Reading {
            broken: Broken::Skip,
            ..Reading::default()
        };
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("gone", dir.path().join("data_batch_4.bin"))
                .expect("a link");
        }
        let splits = open(dir.path(), &skip).expect("one is whole");
        assert_eq!((splits.train.len(), splits.test.is_none()), (2, true));
        let skipped = splits.skipped.join("; ");
        for words in [
            "data_batch_2.bin",
            "data_batch_3.bin: the byte at offset 3073 is 12",
            "test_batch.bin: is empty",
        ] {
            assert!(skipped.contains(words), "{skipped}");
        }
        assert_eq!(splits.skipped.len(), if cfg!(unix) { 4 } else { 3 });
        write(dir.path(), "data_batch_1.bin", b"");
        assert!(
            open(dir.path(), &skip)
                .expect_err("none is whole")
                .to_string()
                .contains("no training batch")
        );
    }

    #[test]
    fn no_training_batch_says_what_was_looked_for() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        refused(dir.path(), &["data_batch_*.bin", FOLDER, "--download"]);
        write(dir.path(), "test_batch.bin", &batch(&[1]));
        refused(dir.path(), &["data_batch_*.bin"]);
    }

    #[test]
    fn images_are_the_same_in_memory_on_disk_and_packed() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let cache = dir.path().join("cache");
        write(dir.path(), "data_batch_1.bin", &batch(&[1, 2]));
        write(dir.path(), "data_batch_3.bin", &batch(&[3, 4, 5]));
        let whole = open(dir.path(), &Reading::default())
            .expect("it fits")
            .train;
        let disk = open(
            dir.path(),
            &Reading {
                memory: 5 * PIXELS as u64 - 1,
                ..Reading::default()
            },
        )
        .expect("on disk");
        assert!(disk.train.is_on_disk() && !whole.is_on_disk());
        let all = [0, 1, 2, 3, 4];
        assert_eq!(
            disk.train.floats(&all).expect("it reads"),
            whole.floats(&all).expect("in memory")
        );
        assert_eq!(
            (disk.train.labels.clone(), disk.train.checksum()),
            (whole.labels.clone(), whole.checksum())
        );
        assert_eq!(
            disk.train.moments().expect("it reads"),
            whole.moments().expect("in memory")
        );
        let small = Reading {
            size: Some([16, 8]),
            ..Reading::default()
        };
        let small_whole = open(dir.path(), &small).expect("it is resized").train;
        let packed = Reading {
            memory: 0,
            cache: Some(cache.clone()),
            ..small
        };
        for _ in 0..2 {
            let packed = open(dir.path(), &packed).expect("it is packed").train;
            assert!(packed.is_on_disk());
            assert_eq!((packed.height, packed.width), (16, 8));
            assert_eq!(
                packed.floats(&all).expect("it reads"),
                small_whole.floats(&all).expect("in memory")
            );
        }
        assert_eq!(
            std::fs::read_dir(cache).expect("the cache").count(),
            1,
            "packed once"
        );
        let said = open(dir.path(), &Reading { memory: 0, ..small })
            .expect_err("no cache")
            .to_string();
        assert!(
            said.contains("--memory") && said.contains("cache"),
            "{said}"
        );
    }

    #[test]
    fn a_batch_that_changes_while_it_is_in_use_is_told() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        write(dir.path(), "data_batch_1.bin", &batch(&[1, 2]));
        let set = open(
            dir.path(),
            &Reading {
                memory: 0,
                ..Reading::default()
            },
        )
        .expect("on disk")
        .train;
        let mut bytes = batch(&[1, 2]);
        bytes[RECORD + 7] ^= 1;
        write(dir.path(), "data_batch_1.bin", &bytes);
        assert!(set.image(0).is_ok());
        let said = set.image(1).expect_err("it changed").to_string();
        assert!(said.contains("data_batch_1.bin changed"), "{said}");
        write(dir.path(), "data_batch_1.bin", &bytes[..RECORD]);
        assert_eq!(set.floats(&[1]).expect_err("it is cut off").exit_code(), 9);
    }

    #[test]
    fn only_official_names_are_read_and_the_rest_named() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        write(dir.path(), "data_batch_1.bin", &batch(&[1, 2]));
        let others = [
            "data_batch_1 (1).bin",
            "data_batch_1.bin.bak",
            "data_batch_6.bin",
            "test_batch copy.bin",
            "data_batch_1",
        ];
        others
            .iter()
            .for_each(|name| write(dir.path(), name, &batch(&[1, 2])));
        let splits = open(dir.path(), &Reading::default()).expect("a data set");
        assert_eq!((splits.train.len(), splits.test.is_none()), (2, true));
        let notes = splits.notes.join("; ");
        assert!(others.iter().all(|name| notes.contains(name)), "{notes}");
    }
}
