//! Disk cache of features and statistics in the user's cache directory: the network is slow, and
//! data sets do not change.
//!
//! One file per block of images or set of features, named by a checksum of everything its content
//! depends on. A file begins with a checksum of the rest, so that a partly written one counts as
//! missing.

use std::path::{Path, PathBuf};

use super::Statistics;
use crate::error::Error;
use crate::experiment::cache;
use crate::report::file;

/// Maximum bytes of all files; the oldest are evicted. The features of a million images take 8 GB.
const LIMIT: u64 = 4 << 30;
/// Bytes of a checksum.
const CHECKSUM: usize = 32;

/// The folder of the files.
pub(super) struct Cache(PathBuf);

impl Cache {
    /// Creates the folder; if that fails, tells the user and returns `None`.
    pub fn open(folder: &Path) -> Option<Cache> {
        match std::fs::create_dir_all(folder) {
            Ok(()) => Some(Cache(folder.to_path_buf())),
            Err(error) => {
                note!(
                    "note: features are not cached between runs ({}: {error})",
                    folder.display()
                );
                None
            }
        }
    }

    /// The bytes stored under `key`.
    pub fn read(&self, key: &str) -> Option<Vec<u8>> {
        std::fs::read(self.0.join(key))
            .ok()
            .as_deref()
            .and_then(verified)
            .map(<[u8]>::to_vec)
    }

    /// Stores `bytes` under `key`.
    pub fn keep(&self, key: &str, bytes: &[u8]) -> Result<(), Error> {
        let file = self.0.join(key);
        let whole = [&blake3::hash(bytes).as_bytes()[..], bytes].concat();
        cache::make_room(&self.0, &file, whole.len() as u64, LIMIT).map_err(Error::io(&self.0))?;
        file::write(&file, &whole)
    }
}

/// The payload after the checksum in a file's `bytes`, if the checksum matches.
pub(crate) fn verified(bytes: &[u8]) -> Option<&[u8]> {
    let (sum, rest) = bytes.split_at_checked(CHECKSUM)?;
    (blake3::hash(rest).as_bytes()[..] == *sum).then_some(rest)
}

/// Serialises statistics: n, the mean, the covariance.
pub(super) fn pack(statistics: &Statistics) -> Vec<u8> {
    let n = [statistics.n.unwrap_or(0) as f64];
    n.iter()
        .chain(&statistics.mean)
        .chain(&statistics.covariance)
        .flat_map(|v| v.to_le_bytes())
        .collect()
}

/// The inverse of [`pack`], for `d` features.
pub(crate) fn unpack(bytes: &[u8], d: usize) -> Option<Statistics> {
    let numbers: Vec<f64> = bytes
        .chunks_exact(8)
        .map(|b| f64::from_le_bytes(b.try_into().unwrap_or_default()))
        .collect();
    if numbers.len() != 1 + d + d * d {
        return None;
    }
    let n = Some(numbers[0] as usize).filter(|&n| n > 0);
    Some(Statistics {
        n,
        mean: numbers[1..=d].to_vec(),
        covariance: numbers[1 + d..].to_vec(),
    })
}
