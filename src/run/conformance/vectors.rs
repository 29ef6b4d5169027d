//! `--vectors DIR`: golden vectors that somebody else has made.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::kernels_test::{Outcome, Verdict};

/// The files of a folder by name, or the one file.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::Usage`] if there is none.
pub fn files(place: &Path) -> Result<Vec<PathBuf>> {
    if place.is_file() {
        return Ok(vec![place.to_path_buf()]);
    }
    let entries = std::fs::read_dir(place).map_err(Error::io(place))?;
    let paths: std::io::Result<Vec<PathBuf>> = entries.map(|entry| entry.map(|e| e.path())).collect();
    let mut files: Vec<_> = paths.map_err(Error::io(place))?.into_iter().filter(|path| path.is_file()).collect();
    files.sort();
    match files.is_empty() {
        true => Err(Error::Usage(format!("--vectors {}: there is no file in it", place.display()))),
        false => Ok(files),
    }
}

/// Runs the vector in `file`.
pub fn check(_gpu: &Gpu, file: &Path) -> Outcome {
    let detail = format!("{}: this program reads no vectors yet", file.display());
    Outcome::failed(Verdict::Fail, detail)
}
