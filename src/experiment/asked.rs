//! Options for image runs.

use serde_json::{Value, json};

use crate::error::Error;
use crate::models::pixelcnn::raster::Algorithm;

/// Options that only image runs take.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ImageFlags {
    /// The class to sample.
    pub class: Option<u32>,
    /// Scale of classifier-free guidance; 0 is the unconditional model.
    pub guidance: Option<f64>,
    /// Codes ~ softmax(−‖z − e‖²/τ) at this τ; `None`: the nearest.
    pub temperature: Option<f64>,
    /// Factor on the logits of a prior that predicts codes; `None`: the one in the run's
    /// configuration.
    pub sharpen: Option<f64>,
    /// The algorithm with which a PixelCNN samples.
    pub way: Algorithm,
}

/// How pictures of images are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureFlags {
    /// Side in pixels of each drawn image pixel; `None`: large enough for small images to be seen.
    pub scale: Option<usize>,
    /// Also write each image to its own file, magnified by `scale` if that is given.
    pub separate: bool,
}

impl ImageFlags {
    /// Replaces `error`, of samples that are not finite, by one that blames a guidance above 1.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match self.guidance {
            Some(scale) if scale > 1.0 => Error::Diverged(format!(
                "--guidance {scale:e} makes the samples infinite or NaN; nothing is written. Use less: 1 is the model \
                 itself, 2 to 8 are usual"
            )),
            _ => error,
        }
    }

    /// Class and guidance as metadata for output files.
    pub(super) fn facts(&self) -> impl Iterator<Item = (&'static str, Value)> {
        let class = self.class.map(|class| ("class", json!(class)));
        class.into_iter().chain(
            self.class
                .map(|_| ("guidance", json!(self.guidance.unwrap_or(1.0)))),
        )
    }
}
