//! `--vectors DIR`: cases made by others, one file each.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::kernels_test::vectors::{self, Header};

/// Stands for the op of a file that cannot be read, or names no known op.
pub const UNREADABLE: &str = "unreadable";

/// The `.safetensors` files of a folder, sorted by name, or the one file. `grad` keeps only those
/// with a gradient, and unreadable ones, whose fault would go unnoticed otherwise.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::Usage`] if there is none.
pub fn files(place: &Path, grad: bool) -> Result<Vec<PathBuf>> {
    let mut files = all(place)?;
    if files.is_empty() {
        return Err(Error::Usage(format!(
            "--vectors {}: no .safetensors file in it",
            place.display()
        )));
    }
    if grad {
        files.retain(|file| Header::read(file).is_none_or(|header| header.has_gradient));
    }
    if files.is_empty() {
        Err(Error::Usage(format!(
            "--vectors {}: no file has a gradient, which --grad requires",
            place.display()
        )))
    } else {
        Ok(files)
    }
}

fn all(place: &Path) -> Result<Vec<PathBuf>> {
    if place.is_file() {
        return Ok(vec![place.to_path_buf()]);
    }
    let entries = std::fs::read_dir(place).map_err(Error::io(place))?;
    let paths: std::io::Result<Vec<PathBuf>> =
        entries.map(|entry| entry.map(|e| e.path())).collect();
    let mut files = paths.map_err(Error::io(place))?;
    files.retain(|path| {
        path.extension()
            .is_some_and(|ending| ending == "safetensors")
    });
    files.sort();
    Ok(files)
}

/// The op of a file, from its header alone: the rest may do harm, so only a child process reads it.
pub fn op(file: &Path) -> String {
    Header::read(file)
        .and_then(|header| header.op)
        .filter(|op| vectors::ops().any(|known| known == op))
        .unwrap_or_else(|| UNREADABLE.into())
}
