//! Where the batches lie and what they are called.

use std::path::{Path, PathBuf};

use crate::data::entries::{entries, name_of};
use crate::error::Result;

/// The folder in the official archive.
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

/// Where the batches lie: `dir`, or the folder of the archive inside it.
pub fn folder(dir: &Path) -> Option<PathBuf> {
    [dir.to_path_buf(), dir.join(FOLDER)]
        .into_iter()
        .find(|dir| is_one(dir))
}

/// Whether batches lie in `dir`.
pub(crate) fn is_one(dir: &Path) -> bool {
    batches(dir).is_ok_and(|files| !files.is_empty())
}

/// The batches in `dir`, by name.
///
/// # Errors
/// [`Error::Io`](crate::error::Error::Io).
pub fn batches(dir: &Path) -> Result<Vec<PathBuf>> {
    Ok(files(dir)?
        .into_iter()
        .filter(|path| is_official(path))
        .collect())
}

/// Files in `dir` that look like batches but have no official name: copies, versions for other
/// languages, the user's own batches.
///
/// # Errors
/// [`Error::Io`](crate::error::Error::Io).
pub fn strangers(dir: &Path) -> Result<Vec<PathBuf>> {
    let looks = |path: &PathBuf| {
        let name = name_of(path).to_lowercase();
        (name.contains("batch") && !name.starts_with("batches.meta")) || name.ends_with(".bin")
    };
    Ok(files(dir)?
        .into_iter()
        .filter(|path| !is_official(path) && looks(path))
        .collect())
}

pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    Ok(entries(dir)?
        .into_iter()
        .filter(|entry| !entry.is_folder())
        .map(|entry| entry.path)
        .collect())
}

fn is_official(path: &Path) -> bool {
    OFFICIAL.iter().any(|(name, _)| path.ends_with(name))
}
