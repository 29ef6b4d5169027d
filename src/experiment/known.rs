//! Images named by the user, at the size of the model, and the codes of `--known`.

use std::path::PathBuf;

use super::codebook;
use super::trained::Trained;
use crate::config::{GridConfig, Resize};
use crate::data::{self, Fit, ImageSet};
use crate::error::{Error, Result};

/// Parses `0=0,4=4`: POSITION=CODE pairs, with `cells` positions in raster order and `codes` codes.
///
/// # Errors
/// [`Error::Usage`] saying what a position and a code may be.
pub fn parse(text: &str, [cells, codes]: [usize; 2]) -> Result<Vec<(usize, u32)>> {
    let wrong = |part: &str| {
        Error::Usage(format!(
            "--known {text}: `{part}` is not POSITION=CODE with a position of 0 to {} and a code of 0 to {}",
            cells - 1,
            codes - 1
        ))
    };
    let mut known = Vec::new();
    for part in text.split(',') {
        let (position, code) = part.split_once('=').ok_or_else(|| wrong(part))?;
        let (Ok(position), Ok(code)) =
            (position.trim().parse::<usize>(), code.trim().parse::<u32>())
        else {
            return Err(wrong(part));
        };
        if position >= cells || code as usize >= codes {
            return Err(wrong(part));
        }
        if known.iter().any(|&(p, _)| p == position) {
            return Err(Error::Usage(format!(
                "--known {text}: position {position} is given twice"
            )));
        }
        known.push((position, code));
    }
    Ok(known)
}

/// How user-named images are fitted to the size of the model: as in the run's training.
pub(crate) fn fit(config: &GridConfig) -> Fit {
    match config.data.resize {
        Resize::Squash => Fit::Squash,
        Resize::Crop | Resize::Off => Fit::Crop,
    }
}

/// The examples in `files`, flat, in the format of the run's data set: images, or the first sample
/// of each file of codes.
///
/// # Errors
/// [`Error::Data`] naming the file that cannot be read as one.
pub(crate) fn examples(files: &[PathBuf], trained: &Trained) -> Result<Vec<f32>> {
    let Some(codebook) = &trained.config.codebook else {
        let set = pictures(files, &trained.config)?;
        return set.floats(&(0..set.len() as u32).collect::<Vec<_>>());
    };
    let symbols = trained.subject.symbols();
    let mut examples = Vec::new();
    for file in files {
        let codes = codebook::first_of(symbols, file, codebook)?;
        examples.extend(codes.into_iter().map(|code| code as f32));
    }
    Ok(examples)
}

/// The images `files` at the size of the model: squashed if the run's training squashed its images,
/// else the middle square scaled. Prints a note for each image of another size.
///
/// # Errors
/// [`Error::Data`] naming the file that is no image.
pub(crate) fn pictures(files: &[PathBuf], config: &GridConfig) -> Result<ImageSet> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_codes_are_read_or_refused() {
        let parse = |text: &str| parse(text, [5, 8]);
        assert_eq!(parse("0=0,4=4").ok(), Some(vec![(0, 0), (4, 4)]));
        for wrong in ["", "0", "5=0", "0=8", "0=0,0=1", "a=b"] {
            assert_eq!(parse(wrong).expect_err(wrong).exit_code(), 2, "{wrong}");
        }
    }
}
