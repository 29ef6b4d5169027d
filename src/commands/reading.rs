//! Flags that say how a data set is read; the same on every command that reads one.

use clap::Args;

use crate::config::Resize;
use crate::data::MEMORY;
use crate::experiment::dataset::ReadingFlags as Reading;

#[derive(Args, Clone, Copy, Debug)]
pub(super) struct ReadingFlags {
    /// Leave out images that cannot be read, and list them, instead of stopping at the first.
    #[arg(long)]
    skip_broken: bool,
    /// Squash every image to the model's size.
    #[arg(long, conflicts_with = "crop")]
    resize: bool,
    /// Scale the middle square of every image to the model's size.
    #[arg(long)]
    crop: bool,
    /// Most memory for decoded images, MiB [default: 4096]; a larger set is packed into a file of
    /// the user's cache directory.
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

/// What the help says of `--memory`.
const _: () = assert!(MEMORY == 4096 << 20);
