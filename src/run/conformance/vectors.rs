//! `--vectors DIR`: cases that somebody else has made, one file each.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::kernels_test::vectors::load;
use crate::kernels_test::{Outcome, Verdict};

/// What stands for the op of a file that cannot be read.
pub const UNREADABLE: &str = "unreadable";

/// The `.safetensors` files of a folder by name, or the one file.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::Usage`] if there is none.
pub fn files(place: &Path) -> Result<Vec<PathBuf>> {
    if place.is_file() {
        return Ok(vec![place.to_path_buf()]);
    }
    let entries = std::fs::read_dir(place).map_err(Error::io(place))?;
    let paths: std::io::Result<Vec<PathBuf>> = entries.map(|entry| entry.map(|e| e.path())).collect();
    let mut files = paths.map_err(Error::io(place))?;
    files.retain(|path| path.extension().is_some_and(|ending| ending == "safetensors"));
    files.sort();
    match files.is_empty() {
        true => Err(Error::Usage(format!("--vectors {}: there is no .safetensors file in it", place.display()))),
        false => Ok(files),
    }
}

/// The op of a file.
pub fn op(file: &Path) -> String {
    load(file).map_or_else(|_| UNREADABLE.into(), |vector| vector.op)
}

/// Runs the vector in `file`; one that cannot be read fails.
pub fn check(gpu: &Gpu, file: &Path) -> Outcome {
    load(file).map_or_else(|what| Outcome::failed(Verdict::Fail, what), |vector| vector.check(gpu))
}
