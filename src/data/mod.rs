//! Data sets; host only.
//!
//! [`open`] reads CIFAR-10, mini-ImageNet or any tree of pictures into [`ImageSet`]s, all of it checked and decoded
//! before the first step; [`Loader`] turns a set into batches that depend on the seed and the step alone.

pub mod cifar10;
mod decode;
pub mod image_folder;
mod image_set;
pub mod loader;
mod mini_imagenet;
#[cfg(test)]
mod tests;
pub mod toy;

use std::path::Path;

use crate::error::{Error, Result};

pub use decode::{picture, square};
pub use image_set::{Held, ImageSet, hold_out};
pub use loader::{Batch, Loader, LoaderOptions};

/// How a data set lies on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `data_batch_*.bin` and `test_batch.bin`, in the folder or in `cifar-10-batches-bin` inside it ([`cifar10`]).
    Cifar10,
    /// `train`, `val` and `test`, each with a folder for each class, and lists of what belongs there in `splits/*.csv`.
    MiniImageNet,
    /// A folder for each class, or pictures without classes; both also in `train`, `val` and `test` ([`image_folder`]).
    Folder,
}

/// What happens to a picture that cannot be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Broken {
    /// Nothing is read: an error names it.
    #[default]
    Error,
    /// It is left out and named in [`Splits::skipped`].
    Skip,
}

/// How a data set is read.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// Squash every picture to [height, width]. Without, all must have one size.
    pub size: Option<[usize; 2]>,
    /// What happens to broken pictures.
    pub broken: Broken,
    /// Most bytes of decoded pictures, all splits together.
    pub memory: u64,
    /// Called with how many pictures are decoded, and of how many; from several threads.
    pub progress: Option<&'a (dyn Fn(u64, u64) + Sync)>,
}

impl Default for Reading<'_> {
    /// No resizing, no skipping, 8 GiB.
    fn default() -> Self {
        Reading { size: None, broken: Broken::Error, memory: 8 << 30, progress: None }
    }
}

/// A data set as it was read.
#[derive(Debug)]
pub struct Splits {
    /// What the folder was taken for.
    pub kind: Kind,
    /// To train on.
    pub train: ImageSet,
    /// To choose by; of mini-ImageNet other classes than those of `train`.
    pub val: Option<ImageSet>,
    /// To report.
    pub test: Option<ImageSet>,
    /// Broken pictures that were left out: each file and why.
    pub skipped: Vec<String>,
    /// What a user may want to know of the files, a sentence each.
    pub notes: Vec<String>,
}

impl Splits {
    /// The splits that are there, with their names.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &ImageSet)> {
        let all = [("train", Some(&self.train)), ("val", self.val.as_ref()), ("test", self.test.as_ref())];
        all.into_iter().filter_map(|(name, set)| Some((name, set?)))
    }
}

/// Reads the data set in `dir`, of the `kind` that is given or found.
///
/// # Errors
/// [`Error::Data`] if there is none, or a file of it is damaged, foreign, of another size than the others; or if it takes
/// more memory than `reading` allows. [`Error::Io`] if a file cannot be read.
pub fn open(dir: &Path, kind: Option<Kind>, reading: &Reading) -> Result<Splits> {
    if !dir.is_dir() {
        return Err(Error::Data(format!("{} is no folder; name the folder that holds the data", dir.display())));
    }
    match kind.unwrap_or_else(|| find(dir)) {
        Kind::Cifar10 => cifar10::open(dir, reading),
        Kind::MiniImageNet => mini_imagenet::open(dir, reading),
        Kind::Folder => image_folder::open(dir, reading),
    }
}

/// The kind of the data set in `dir`.
pub fn find(dir: &Path) -> Kind {
    match () {
        () if cifar10::folder(dir).is_some() => Kind::Cifar10,
        () if mini_imagenet::is_one(dir) => Kind::MiniImageNet,
        () => Kind::Folder,
    }
}

/// An error if `count` pictures of `pixels` bytes, beside `taken` bytes of other splits, are over the limit.
fn check_memory(dir: &Path, count: usize, pixels: usize, taken: u64, limit: u64) -> Result<()> {
    let needed = count as u128 * pixels as u128 + u128::from(taken);
    if needed <= u128::from(limit) && count <= u32::MAX as usize {
        return Ok(());
    }
    let gib = |bytes: u128| bytes as f64 / f64::from(1 << 30);
    Err(Error::Data(format!(
        "{}: decoded, its pictures take {:.2} GiB of memory, over the limit of {:.2} GiB; make them smaller (--size), take \
         fewer, or raise the limit (--memory)",
        dir.display(),
        gib(needed),
        gib(u128::from(limit))
    )))
}

/// `bytes` zeros, or an error where the machine has no room for them.
fn reserve(dir: &Path, bytes: usize) -> Result<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(bytes).map_err(|_| {
        let gib = bytes as f64 / f64::from(1 << 30);
        Error::Data(format!(
            "{}: no room for {gib:.2} GiB of decoded pictures; make them smaller (--size)",
            dir.display()
        ))
    })?;
    buffer.resize(bytes, 0);
    Ok(buffer)
}
