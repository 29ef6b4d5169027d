//! What a training is asked for.

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
    /// Training steps instead of the preset's.
    pub steps: Option<u64>,
    /// `key.path=value`, over the preset.
    pub sets: Vec<String>,
    /// Go on where the run directory's checkpoint stands.
    pub resume: bool,
    /// Train on a schedule whose end is far from the prior.
    pub allow_bad_terminal: bool,
    /// What to train of the image models.
    pub stage: Option<Stage>,
    /// Folder of the images.
    pub data: Option<PathBuf>,
    /// How they are read.
    pub reading: ReadingFlags,
    /// Side of the images, instead of the preset's.
    pub size: Option<u32>,
    /// The run whose weights this stage starts from.
    pub from: Option<PathBuf>,
    /// Say at the end what the run is good for.
    pub advise: bool,
    /// The adapter.
    pub device: Device,
}

/// A path as a shell takes it.
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
    Error::Usage(format!("{} is an image preset: {what}", args.preset))
}
