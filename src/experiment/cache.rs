//! What commands keep in the user's cache directory.

use std::path::PathBuf;

pub(crate) use crate::data::make_room;

/// The folder of this program there.
pub(crate) fn folder() -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    etcetera::choose_base_strategy()
        .ok()
        .map(|dirs| dirs.cache_dir().join("dbvq-wgpu"))
}
