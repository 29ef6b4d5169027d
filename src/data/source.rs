//! Where images come from, before they are read.

use std::path::Path;

use image::RgbImage;

use super::Reading;
use crate::error::Result;

/// Images that can be decoded one by one, from several threads.
pub(super) trait Source: Sync {
    /// Its folder, by which messages name it.
    fn root(&self) -> &Path;

    /// Number of images.
    fn len(&self) -> usize;

    /// The class of image `i`.
    fn label(&self, i: usize) -> u32;

    /// Name of image `i` in messages.
    fn name(&self, i: usize) -> String;

    /// Image `i` decoded as `reading` asks, or what is wrong with it, without its name.
    fn decode(&self, i: usize, reading: &Reading) -> Result<RgbImage, String>;

    /// Feeds `hasher` with data that change whenever an image does.
    fn identify(&self, hasher: &mut blake3::Hasher);
}

/// Images that are left out, each as `name why`.
pub(super) type Skipped = Vec<String>;
