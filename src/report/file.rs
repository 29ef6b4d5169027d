//! Atomic file writes.

use std::io::Write;
use std::path::Path;

use crate::error::{Error, Result};

/// Writes a file atomically and syncs it to disk.
///
/// # Errors
/// [`Error::Io`] naming the file.
pub fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    let mut out = atomic_write_file::AtomicWriteFile::open(file).map_err(Error::io(file))?;
    out.write_all(bytes)
        .and_then(|()| out.sync_all())
        .and_then(|()| out.commit())
        .map_err(Error::io(file))
}
