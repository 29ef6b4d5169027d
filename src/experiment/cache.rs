//! The program's folder in the user's cache directory.

use std::path::PathBuf;

pub(crate) use crate::data::make_room;

/// The cache folder; `None` if the user's cache directory cannot be determined.
pub(crate) fn folder() -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    etcetera::choose_base_strategy()
        .ok()
        .map(|dirs| dirs.cache_dir().join("dbvq-wgpu"))
}
