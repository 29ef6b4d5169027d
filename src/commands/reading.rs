//! Flags for reading a data set, shared by all commands that read one.

use clap::Args;

use crate::config::Resize;
use crate::data::MEMORY;
use crate::experiment::dataset::ReadingFlags as Reading;

#[derive(Args, Clone, Copy, Debug)]
pub(super) struct ReadingFlags {
    /// Skip and list unreadable images instead of stopping at the first.
    #[arg(long)]
    skip_broken: bool,
    /// Squash every image to the model's size.
    #[arg(long, conflicts_with = "crop")]
    resize: bool,
    /// Crop every image to its centre square and scale that to the model's size.
    #[arg(long)]
    crop: bool,
    /// Maximum memory for decoded images, MiB [default: 4096]; a larger set is packed into a file
    /// in the user's cache directory.
    #[arg(long, value_name = "MIB", allow_negative_numbers = true)]
    memory: Option<u32>,
}

impl From<ReadingFlags> for Reading {
    fn from(flags: ReadingFlags) -> Reading {
        let ReadingFlags {
            skip_broken,
            resize,
            crop,
            memory,
        } = flags;
        let resize = match (resize, crop) {
            (_, true) => Some(Resize::Crop),
            (true, _) => Some(Resize::Squash),
            _ => None,
        };
        Reading {
            skip_broken,
            resize,
            memory: memory.map(|mib| u64::from(mib) << 20),
        }
    }
}

/// The help of `--memory` states this default.
const _: () = assert!(MEMORY == 4096 << 20);
