//! Images that a user names, at the size of the model.

use std::path::PathBuf;

use crate::config::{ImagesConfig, Resize};
use crate::data::{self, Fit, ImageSet};
use crate::error::{Error, Result};

/// How images that a user names get the size of the model: as those of the run's training did.
pub(super) fn fit(config: &ImagesConfig) -> Fit {
    match config.data.resize {
        Resize::Squash => Fit::Squash,
        Resize::Crop | Resize::Off => Fit::Crop,
    }
}

/// The images `files` at the size of the model, with a word for each that had another: squashed
/// where the run's training squashed its images, else their middle squares.
///
/// # Errors
/// [`Error::Data`] naming the file that is no image.
pub(super) fn pictures(files: &[PathBuf], config: &ImagesConfig) -> Result<ImageSet> {
    let size = config.vqvae.size;
    let fit = fit(config);
    let how = if fit == Fit::Squash {
        "it is squashed"
    } else {
        "its middle is scaled"
    };
    let mut images = Vec::new();
    for file in files {
        let (picture, was) = data::square(file, size, fit)
            .map_err(|what| Error::Data(format!("{}: {what}", file.display())))?;
        if let Some([height, width]) = was {
            note!(
                "{}: {width}×{height}, {how} to {size}×{size}",
                file.display()
            );
        }
        images.extend(picture.into_raw());
    }
    let labels = vec![0; files.len()];
    Ok(ImageSet::from_pixels(
        "named images",
        [size, size],
        images,
        labels,
        vec!["image".into()],
    ))
}
