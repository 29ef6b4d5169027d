//! Packed files: the decoded images of a set too large for memory, in the user's cache directory.
//!
//! A file holds the pixels of its images, a 16-byte checksum of each, the `u32` index of each in
//! the source, a JSON object (`Contents`), the length of that object and `MAGIC`. Its name is a
//! hash of the source's files (paths, lengths, modification times) and of how they are read, so a
//! changed set is packed again. It is written atomically: under its name it is always complete.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use atomic_write_file::AtomicWriteFile;
use serde::{Deserialize, Serialize};

use super::Reading;
use super::source::{Skipped, Source};
use super::store::{Digest, Place, Store};
use crate::error::{Error, Result};

/// Last bytes of each file, after the length of the JSON object.
const MAGIC: &[u8; 16] = b"dbvq-wgpu pack 1";
/// Bytes of length and magic.
const TAIL: u64 = 8 + 16;
/// Most bytes of all packed files except the newest; the oldest are removed.
const LIMIT: u64 = 64 << 30;

/// The JSON object near the end of a file.
#[derive(Serialize, Deserialize)]
struct Contents {
    /// Images.
    count: usize,
    /// Bytes of each.
    bytes: usize,
    /// BLAKE3 of the checksums of all images and of `kept`.
    checksum: String,
    /// Images that were left out.
    skipped: Skipped,
}

/// A packed file that was found.
pub(super) struct Packed {
    /// Indices of its images in the source.
    pub kept: Vec<u32>,
    pub skipped: Skipped,
    pub store: Store,
}

/// Path of the packed file of `source`, read as `reading` says.
pub(super) fn path(
    cache: &Path,
    source: &dyn Source,
    reading: &Reading,
    size: [usize; 2],
) -> PathBuf {
    let mut hasher = blake3::Hasher::new();
    let root = source
        .root()
        .canonicalize()
        .unwrap_or_else(|_| source.root().to_path_buf());
    let how = (reading.size, reading.fit, reading.broken, size);
    hasher.update(format!("{}\n{how:?}\n", root.display()).as_bytes());
    source.identify(&mut hasher);
    cache.join(format!("images-{}.pack", &hasher.finalize().to_hex()[..32]))
}

/// The packed file at `path`, if it exists and is complete.
pub(super) fn open(path: &Path, bytes: usize) -> Option<Packed> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    let mut tail = [0; TAIL as usize];
    file.seek(SeekFrom::Start(length.checked_sub(TAIL)?)).ok()?;
    file.read_exact(&mut tail).ok()?;
    let (json, magic) = tail.split_first_chunk::<8>()?;
    let json = u64::from_le_bytes(*json);
    if magic != MAGIC || json > length - TAIL {
        return None;
    }
    let begin = length - TAIL - json;
    file.seek(SeekFrom::Start(begin)).ok()?;
    let contents: Contents = serde_json::from_reader((&mut file).take(json)).ok()?;
    // For each image a 16-byte checksum and a 4-byte index.
    let lists = (contents.count as u64).checked_mul(16 + 4)?;
    let pixels = (contents.count as u64).checked_mul(bytes as u64)?;
    if contents.bytes != bytes || pixels.checked_add(lists) != Some(begin) {
        return None;
    }
    file.seek(SeekFrom::Start(pixels)).ok()?;
    let mut lists = vec![0; lists as usize];
    file.read_exact(&mut lists).ok()?;
    if blake3::hash(&lists).to_string() != contents.checksum {
        return None;
    }
    let (digests, kept) = lists.split_at(contents.count * 16);
    let (digests, _) = digests.as_chunks::<16>();
    let kept: Vec<u32> = bytemuck::pod_collect_to_vec(kept);
    // Marks the file as recently used, so that it is removed last. A read-only cache works too.
    let _ = File::options()
        .append(true)
        .open(path)
        .and_then(|file| file.set_modified(std::time::SystemTime::now()));
    let place = Place::Packed {
        path: path.to_path_buf(),
        file,
    };
    let store = Store {
        bytes,
        digests: digests.to_vec(),
        place,
    };
    Some(Packed {
        kept,
        skipped: contents.skipped,
        store,
    })
}

/// Number of images of `bytes` bytes in the packed file `path`, and how many of them still match
/// their checksum; `None` if the file is not complete.
pub fn count(path: &Path, bytes: usize) -> Option<[usize; 2]> {
    let store = open(path, bytes)?.store;
    let count = store.digests.len();
    Some([
        count,
        (0..count).filter(|&i| store.image(i).is_ok()).count(),
    ])
}

/// Writes a packed file.
pub(super) struct Packer {
    path: PathBuf,
    file: std::io::BufWriter<AtomicWriteFile>,
    expected: u64,
}

impl Packer {
    /// Begins the file at `path`, of about `expected` bytes.
    ///
    /// # Errors
    /// [`Error::Data`] if the file cannot be written.
    pub fn new(path: &Path, expected: u64) -> Result<Packer> {
        let trouble = |e: std::io::Error| trouble(path, expected, &e);
        let folder = path.parent().expect("a file in the cache directory");
        std::fs::create_dir_all(folder).map_err(trouble)?;
        make_room(folder, path, 0, LIMIT).map_err(trouble)?;
        let file = AtomicWriteFile::open(path).map_err(trouble)?;
        Ok(Packer {
            path: path.to_path_buf(),
            file: std::io::BufWriter::with_capacity(1 << 20, file),
            expected,
        })
    }

    /// Adds an image.
    pub fn put(&mut self, pixels: &[u8]) -> Result<()> {
        self.file
            .write_all(pixels)
            .map_err(|e| trouble(&self.path, self.expected, &e))
    }

    /// Completes the file and commits it under its name.
    pub fn finish(
        mut self,
        bytes: usize,
        digests: Vec<Digest>,
        kept: &[u32],
        skipped: &Skipped,
    ) -> Result<Store> {
        let lists = [digests.as_flattened(), bytemuck::cast_slice(kept)].concat();
        let checksum = blake3::hash(&lists).to_string();
        let contents = Contents {
            count: kept.len(),
            bytes,
            checksum,
            skipped: skipped.clone(),
        };
        let json = serde_json::to_vec(&contents).expect("plain data");
        let length = (json.len() as u64).to_le_bytes();
        for part in [&lists[..], &json, &length, MAGIC] {
            self.put(part)?;
        }
        let path = self.path;
        let expected = self.expected;
        let trouble = |e: std::io::Error| trouble(&path, expected, &e);
        let file = self
            .file
            .into_inner()
            .map_err(|e| trouble(e.into_error()))?;
        file.commit().map_err(trouble)?;
        let file = File::open(&path).map_err(trouble)?;
        Ok(Store {
            bytes,
            digests,
            place: Place::Packed { path, file },
        })
    }
}

fn trouble(path: &Path, expected: u64, error: &std::io::Error) -> Error {
    let gib = expected as f64 / f64::from(1 << 30);
    Error::Data(format!(
        "{}: the decoded images do not fit in memory and cannot be packed here ({error}); free {gib:.2} GiB, set \
         XDG_CACHE_HOME to another place, or allow more memory with --memory MIB",
        path.display()
    ))
}

/// Removes the oldest files in `folder`, except `kept`, until `needed` more bytes fit within
/// `limit`.
pub(crate) fn make_room(
    folder: &Path,
    kept: &Path,
    needed: u64,
    limit: u64,
) -> std::io::Result<()> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let facts = entry.metadata()?;
        if entry.path() != kept && facts.is_file() {
            files.push((facts.modified()?, facts.len(), entry.path()));
        }
    }
    files.sort();
    let mut total = needed + files.iter().map(|(_, bytes, _)| bytes).sum::<u64>();
    for (_, bytes, path) in files {
        if total > limit {
            std::fs::remove_file(path)?;
            total -= bytes;
        }
    }
    Ok(())
}
