//! Data sets; host only.
//!
//! [`open`] reads CIFAR-10, mini-ImageNet or any tree of images into [`ImageSet`]s. Every image is
//! decoded and checked once before the first step. A set too large for memory is stored decoded in
//! the cache directory and read from there; CIFAR-10 at its own size is read from its batches.
//! [`Loader`] turns a set into batches that depend only on the seed and the step.

pub mod cifar10;
pub mod codes;
mod decode;
mod entries;
pub mod image_folder;
mod image_set;
mod jpeg;
mod layout;
mod lists;
mod load;
pub mod loader;
mod mini_imagenet;
pub mod npy;
mod pack;
mod passed;
mod record;
mod source;
mod split_names;
mod store;

#[cfg(test)]
mod tests;
pub mod toy;
mod tree;

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

pub use decode::{Fit, picture, square};
pub use image_set::{Format, Held, ImageSet, hold_out};
pub use loader::{Batch, Loader, LoaderOptions};
pub(crate) use pack::{count as count_packed, make_room};

/// On-disk layout of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `data_batch_*.bin` and `test_batch.bin`, in the folder or in `cifar-10-batches-bin` inside
    /// it ([`cifar10`]).
    Cifar10,
    /// `train`, `val` and `test`, each with a folder for each class, and lists of what belongs
    /// there in `splits/*.csv`.
    MiniImageNet,
    /// A folder for each class, or images without classes; either may be split into `train`, `val`
    /// and `test` ([`image_folder`]).
    Folder,
}

/// What happens to an image that cannot be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Broken {
    /// Reading stops with an error that names it.
    #[default]
    Error,
    /// It is left out and named in [`Splits::skipped`].
    Skip,
}

/// How a data set is read.
#[derive(Clone)]
pub struct Reading<'a> {
    /// Resize every image to this [height, width]; `None`: all must have the same size.
    pub size: Option<[usize; 2]>,
    /// How images are resized.
    pub fit: Fit,
    /// What happens to broken images.
    pub broken: Broken,
    /// Limit on the bytes of decoded images in memory, all splits together; a larger set is packed
    /// into files in `cache`.
    pub memory: u64,
    /// Folder for packed files.
    pub cache: Option<PathBuf>,
    /// Called with (images decoded, total), from several threads.
    pub progress: Option<&'a (dyn Fn(u64, u64) + Sync)>,
    /// How the user can have images resized, for messages: the caller's flags.
    pub resizing: &'static str,
}

impl Default for Reading<'_> {
    /// No resizing, no skipping, 4 GiB of memory, no cache.
    fn default() -> Self {
        Reading {
            size: None,
            fit: Fit::Squash,
            broken: Broken::Error,
            memory: MEMORY,
            cache: None,
            progress: None,
            resizing: "have them resized",
        }
    }
}

/// Default limit on the bytes of decoded images kept in memory.
pub const MEMORY: u64 = 4 << 30;

/// A data set as it was read.
#[derive(Debug)]
pub struct Splits {
    /// The kind, given or detected.
    pub kind: Kind,
    /// To train on.
    pub train: ImageSet,
    /// For model selection; in mini-ImageNet its classes differ from those of `train`.
    pub val: Option<ImageSet>,
    /// For reported results.
    pub test: Option<ImageSet>,
    /// Images that were left out: each file and why.
    pub skipped: Vec<String>,
    /// Notes on the files for the user, one sentence each.
    pub notes: Vec<String>,
}

impl Splits {
    /// The splits that are there, with their names.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &ImageSet)> {
        let all = [
            ("train", Some(&self.train)),
            ("val", self.val.as_ref()),
            ("test", self.test.as_ref()),
        ];
        all.into_iter().filter_map(|(name, set)| Some((name, set?)))
    }
}

/// Reads the data set in `dir` as `kind`, or as the kind that [`find`] detects.
///
/// # Errors
/// [`Error::Data`] if there is no data set, a file is damaged, of another format or of another size
/// than the others, or the images fit neither into memory nor into the cache. [`Error::Io`] if a
/// file cannot be read.
pub fn open(dir: &Path, kind: Option<Kind>, reading: &Reading) -> Result<Splits> {
    if !entries::is_folder(dir)? {
        return Err(Error::Data(format!(
            "{} is not a folder; name the folder that holds the data",
            dir.display()
        )));
    }
    let kind = match kind {
        Some(kind) => kind,
        None => find(dir)?,
    };
    match kind {
        Kind::Cifar10 => cifar10::open(dir, reading),
        Kind::MiniImageNet => mini_imagenet::open(dir, reading),
        Kind::Folder => image_folder::open(dir, reading),
    }
}

/// Detects the kind of the data set in `dir`.
///
/// # Errors
/// [`Error::Data`] and [`Error::Io`] if it cannot be accessed.
pub fn find(dir: &Path) -> Result<Kind> {
    let (dir, _) = layout::enter(dir)?;
    if cifar10::place::folder(&dir).is_some() {
        return Ok(Kind::Cifar10);
    }
    Ok(if mini_imagenet::is_one(&dir)? {
        Kind::MiniImageNet
    } else {
        Kind::Folder
    })
}

/// An empty buffer with capacity `bytes`, or an error if the allocation fails.
fn reserve(dir: &Path, bytes: usize) -> Result<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(bytes).map_err(|_| {
        let gib = bytes as f64 / f64::from(1 << 30);
        let dir = dir.display();
        Error::Data(format!(
            "{dir}: not enough memory for {gib:.2} GiB of decoded images; lower the limit with --memory MIB"
        ))
    })?;
    Ok(buffer)
}
