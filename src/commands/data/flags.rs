//! Flags of `data`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::DataArgs;
use crate::commands::data;
use crate::data::{Broken, Fit, Kind, MEMORY};
use crate::error::{Error, Result};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KindName {
    /// CIFAR-10's binary version: data_batch_*.bin, test_batch.bin.
    Cifar10,
    /// mini-ImageNet: train, val and test, each with a folder per class, and splits/*.csv.
    MiniImagenet,
    /// A folder per class, or images without classes: PNG, JPEG, WebP, GIF, BMP, TIFF.
    Folder,
}

#[derive(Args, Debug)]
pub(crate) struct DataFlags {
    /// The kind of data set.
    kind: KindName,
    /// The folder of the data set.
    #[arg(long)]
    dir: PathBuf,
    /// Skip and list unreadable images instead of stopping at the first.
    #[arg(long)]
    skip_broken: bool,
    /// Squash every image to N×N.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16_384))]
    size: Option<u32>,
    /// With --size: crop every image to its centre square first, instead of squashing it.
    #[arg(long, requires = "size")]
    crop: bool,
    /// Maximum memory for decoded images, MiB; a larger set is packed into a file in the user's
    /// cache directory.
    #[arg(long, value_name = "MIB", default_value_t = MEMORY >> 20)]
    memory: u64,
    /// First download the official CIFAR-10 (162 MiB) into the folder, or resume the download.
    #[arg(long)]
    download: bool,
    /// Alternative URL of the official archive.
    #[arg(long, hide = true)]
    url: Option<String>,
    /// Draw some images of every class of the training set into this PNG file.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl DataFlags {
    pub(crate) fn run(self) -> Result<()> {
        let kind = match self.kind {
            KindName::Cifar10 => Kind::Cifar10,
            KindName::MiniImagenet => Kind::MiniImageNet,
            KindName::Folder => Kind::Folder,
        };
        if self.download && kind != Kind::Cifar10 {
            let what = "--download works only with cifar10; download other data sets by hand (docs/data.md)";
            return Err(Error::Usage(what.into()));
        }
        data::run(&DataArgs {
            kind,
            dir: self.dir,
            broken: if self.skip_broken {
                Broken::Skip
            } else {
                Broken::Error
            },
            size: self.size.map(|side| [side as usize; 2]),
            fit: if self.crop { Fit::Crop } else { Fit::Squash },
            memory: self.memory.saturating_mul(1 << 20),
            download: self.download,
            url: self.url,
            out: self.out,
        })
    }
}
