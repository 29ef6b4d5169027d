//! Storage of the images' pixels: in memory, in a packed file ([`super::pack`]), or in CIFAR-10's
//! own records.
//!
//! Files are read at offsets, not memory-mapped: truncating a file during training is then an
//! error, while a mapping would kill the process. The page cache serves both equally.

use std::borrow::Cow;
use std::fs::File;
use std::path::PathBuf;

use super::record::{RECORD, interleaved};
use crate::error::{Error, Result};

/// A checksum of one image: the first 16 bytes of its BLAKE3.
pub(super) type Digest = [u8; 16];

/// The checksum of the pixels of an image.
pub(super) fn digest(pixels: &[u8]) -> Digest {
    let mut digest = Digest::default();
    digest.copy_from_slice(&blake3::hash(pixels).as_bytes()[..16]);
    digest
}

/// Pixels of images of one size, each `bytes` long.
#[derive(Debug)]
pub(super) struct Store {
    /// Bytes of an image.
    pub bytes: usize,
    /// The checksum of each image.
    pub digests: Vec<Digest>,
    pub place: Place,
}

/// Where the pixels are.
#[derive(Debug)]
pub(super) enum Place {
    /// One after the other.
    Memory(Vec<u8>),
    /// One after the other from the start of a file.
    Packed { path: PathBuf, file: File },
    /// Records of CIFAR-10.
    Records(Vec<Batch>),
}

/// A batch file of CIFAR-10.
#[derive(Debug)]
pub(super) struct Batch {
    pub path: PathBuf,
    pub file: File,
    /// Index of its first record in the store.
    pub first: usize,
}

impl Batch {
    /// The batch that holds record `i`, counted over all `batches`.
    pub fn holding(batches: &[Batch], i: usize) -> &Batch {
        &batches[batches.partition_point(|batch| batch.first <= i) - 1]
    }
}

impl Store {
    /// Images in memory.
    pub fn in_memory(images: Vec<u8>, bytes: usize) -> Store {
        let digests = images.chunks_exact(bytes.max(1)).map(digest).collect();
        Store {
            bytes,
            digests,
            place: Place::Memory(images),
        }
    }

    /// Whether its images lie in files.
    pub fn is_on_disk(&self) -> bool {
        !matches!(self.place, Place::Memory(_))
    }

    /// The pixels of image `i`.
    ///
    /// # Errors
    /// [`Error::Data`] if they have changed since the store was made, [`Error::Io`] if they cannot
    /// be read.
    pub fn image(&self, i: usize) -> Result<Cow<'_, [u8]>> {
        let (path, pixels) = match &self.place {
            Place::Memory(all) => {
                return Ok(Cow::Borrowed(&all[i * self.bytes..(i + 1) * self.bytes]));
            }
            Place::Packed { path, file } => {
                let mut pixels = vec![0; self.bytes];
                read_at(file, &mut pixels, (i * self.bytes) as u64).map_err(Error::io(path))?;
                (path, pixels)
            }
            Place::Records(batches) => {
                let batch = Batch::holding(batches, i);
                let mut record = vec![0; RECORD];
                let offset = ((i - batch.first) * RECORD) as u64;
                read_at(&batch.file, &mut record, offset).map_err(Error::io(&batch.path))?;
                (&batch.path, interleaved(&record[1..]))
            }
        };
        if digest(&pixels) != self.digests[i] {
            return Err(Error::Data(format!(
                "{} changed while in use; run the command again",
                path.display()
            )));
        }
        Ok(Cow::Owned(pixels))
    }
}

/// Fills `buffer` from `offset` of the file on.
#[cfg(unix)]
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

/// Fills `buffer` from `offset` of the file on.
#[cfg(windows)]
pub(super) fn read_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => {
                buffer = &mut buffer[read..];
                offset += read as u64;
            }
        }
    }
    Ok(())
}
