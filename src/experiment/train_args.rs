//! Training options.

use std::path::{Path, PathBuf};

use super::dataset::ReadingFlags;
use super::device::Device;
use crate::config::Stage;
use crate::error::Error;

/// Arguments of `train`.
#[derive(Clone, Debug)]
pub struct TrainArgs {
    /// A preset's name or a TOML file.
    pub preset: String,
    /// The run directory.
    pub out: PathBuf,
    /// Training steps, overriding the preset's.
    pub steps: Option<u64>,
    /// Seed of all randomness, overriding the preset's.
    pub seed: Option<u64>,
    /// `key.path=value` settings, overriding the preset.
    pub sets: Vec<String>,
    /// Continue from the checkpoint in the run directory.
    pub resume: bool,
    /// Accept a schedule that ends far from the prior.
    pub allow_bad_terminal: bool,
    /// The stage to train; image and code runs only.
    pub stage: Option<Stage>,
    /// Folder of the images, or file of the codes.
    pub data: Option<PathBuf>,
    /// How the images are read.
    pub reading: ReadingFlags,
    /// Side of the images, overriding the preset's.
    pub size: Option<u32>,
    /// The run whose weights this stage starts from.
    pub from: Option<PathBuf>,
    /// Suggest the next command at the end.
    pub advise: bool,
    /// The adapter.
    pub device: Device,
}

/// Quotes a path for a shell if necessary.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

pub(crate) fn usage(args: &TrainArgs, what: &str) -> Error {
    Error::Usage(format!("{}: {what}", args.preset))
}
