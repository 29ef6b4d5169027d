//! Fréchet and kernel Inception distances (Heusel et al. 2017; Bińkowski et al. 2018) between two
//! sets of images.
//!
//! [`FeatureNetwork`] turns images into [`Features`]; [`Statistics`] and [`frechet_distance`] give
//! FID as pytorch-fid defines it, `kid` gives KID as torch-fidelity does. `docs/metrics.md`
//! describes how each preprocesses the images, and where to get the weights.

mod cache;
mod kid;
mod network;
mod npz;
mod statistics;

pub use kid::{Kid, kid, mmd2, subsets};
pub use network::{FeatureNetwork, cache_folder};
pub use npz::{read_npz, write_npz};
pub use statistics::{Statistics, frechet_distance};

pub(crate) use cache::{unpack, verified};
pub(crate) use network::{numbers, parse_weights};

use crate::error::{Error, Result};

/// With fewer images the bias of FID makes values hard to compare.
pub const ENOUGH: usize = 10_000;

/// The report's warning about a FID of `n` images, if they are few.
pub fn warning(n: usize) -> Option<String> {
    (n < ENOUGH).then(|| {
        format!(
            "FID of {n} images: its bias grows with fewer images, so compare it only with values of as many; \
             published ones take {ENOUGH} or more"
        )
    })
}

/// The report's text in place of FID and KID if there are no weights.
pub const NO_WEIGHTS: &str = "FID and KID need the weights of Inception-v3: get pt_inception-2015-12-05-6726825d.pth from \
                              pytorch-fid's releases, convert it with tools/inception_weights.py, and pass the result as \
                              --inception FILE";

/// One row of features for each image.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    values: Vec<f32>,
    width: usize,
}

impl Features {
    /// Features from `values` [n, width].
    ///
    /// # Errors
    /// [`Error::Data`] for a number that is not finite, or a length that is not a multiple of
    /// `width`.
    pub fn new(values: Vec<f32>, width: usize) -> Result<Features> {
        if width == 0 || !values.len().is_multiple_of(width) {
            return Err(Error::Data(format!(
                "{} numbers are not whole rows of {width} features",
                values.len()
            )));
        }
        match values.iter().position(|v| !v.is_finite()) {
            Some(at) => Err(Error::Data(format!(
                "feature {} of image {} is {}: the weights are not those of an Inception-v3, or \
                 the adapter computes wrong results (check with `dbvq-wgpu conformance`)",
                at % width,
                at / width,
                values[at]
            ))),
            None => Ok(Features { values, width }),
        }
    }

    /// Number of images.
    pub fn count(&self) -> usize {
        self.values.len() / self.width
    }

    /// Features per image.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Row-major, [n, width].
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The features of image number `image`.
    pub fn row(&self, image: usize) -> &[f32] {
        &self.values[image * self.width..][..self.width]
    }
}
