//! Images that a user names, at the size of the model.

use std::path::PathBuf;

use super::codebook;
use super::trained::Trained;
use crate::config::{GridConfig, Resize};
use crate::data::{self, Fit, ImageSet};
use crate::error::{Error, Result};

/// How images that a user names get the size of the model: as those of the run's training did.
pub(super) fn fit(config: &GridConfig) -> Fit {
    match config.data.resize {
        Resize::Squash => Fit::Squash,
        Resize::Crop | Resize::Off => Fit::Crop,
    }
}

/// The examples that `files` hold, flat, as the data set of the run has them: images, or the first
/// sample of each file of codes.
///
/// # Errors
/// [`Error::Data`] naming the file that is none.
pub(super) fn examples(files: &[PathBuf], trained: &Trained) -> Result<Vec<f32>> {
    let Some(codebook) = &trained.config.codebook else {
        let set = pictures(files, &trained.config)?;
        return set.floats(&(0..set.len() as u32).collect::<Vec<_>>());
    };
    let mut examples = Vec::new();
    for file in files {
        let codes = codebook::first_of(&trained.run, file, codebook)?;
        examples.extend(codes.into_iter().map(|code| code as f32));
    }
    Ok(examples)
}

/// The images `files` at the size of the model, with a word for each that had another: squashed
/// where the run's training squashed its images, else their middle squares.
///
/// # Errors
/// [`Error::Data`] naming the file that is no image.
pub(super) fn pictures(files: &[PathBuf], config: &GridConfig) -> Result<ImageSet> {
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
