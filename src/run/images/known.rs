//! Pictures that a user names, at the size of the model.

use std::path::PathBuf;

use crate::data::{self, ImageSet};
use crate::error::{Error, Result};

/// The middle squares of `files`, `size` × `size`, with a word for each that had another size.
///
/// # Errors
/// [`Error::Data`] naming the file that is no picture.
pub(super) fn pictures(files: &[PathBuf], size: usize) -> Result<ImageSet> {
    let mut images = Vec::new();
    for file in files {
        let (picture, was) =
            data::square(file, size).map_err(|what| Error::Data(format!("{}: {what}", file.display())))?;
        if let Some([h, w]) = was {
            note!("{}: {w} x {h}, its middle is scaled to {size} x {size}", file.display());
        }
        images.extend(picture.into_raw());
    }
    let (name, classes) = ("named pictures".to_string(), vec!["picture".to_string()]);
    Ok(ImageSet { name, height: size, width: size, images, labels: vec![0; files.len()], classes })
}
