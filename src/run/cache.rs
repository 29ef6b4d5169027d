//! What commands keep in the user's cache directory.

use std::path::{Path, PathBuf};

/// The folder of this program there.
pub(super) fn folder() -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    etcetera::choose_base_strategy().ok().map(|dirs| dirs.cache_dir().join("dbvq-wgpu"))
}

/// Removes the oldest files of `folder` but `kept`, until `needed` bytes more are within `limit`.
pub(super) fn make_room(folder: &Path, kept: &Path, needed: u64, limit: u64) -> std::io::Result<()> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let (path, facts) = {
            let entry = entry?;
            (entry.path(), entry.metadata()?)
        };
        if path != kept {
            files.push((facts.modified()?, facts.len(), path));
        }
    }
    files.sort();
    let mut total = needed + files.iter().map(|(_, bytes, _)| bytes).sum::<u64>();
    for (_, bytes, path) in files {
        if total > limit {
            std::fs::remove_file(path)?;
            total -= bytes;
        }
    }
    Ok(())
}
