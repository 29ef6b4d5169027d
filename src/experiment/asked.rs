//! What users can ask of image runs.

use serde_json::{Value, json};

use crate::error::Error;
use crate::models::pixelcnn::raster::Algorithm;

/// What only image runs can be told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ImageFlags {
    /// The class to sample.
    pub class: Option<u32>,
    /// Scale of classifier-free guidance; 0 is the unconditional model.
    pub guidance: Option<f64>,
    /// Codes ~ softmax(−‖z − e‖²/τ) at this τ; `None`: the nearest.
    pub temperature: Option<f64>,
    /// Factor of the logits of a prior that predicts codes; `None`: that of the run's
    /// configuration.
    pub sharpen: Option<f64>,
    /// How a PixelCNN computes.
    pub way: Algorithm,
}

/// How pictures of images are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureFlags {
    /// Pixels to a side for each pixel of an image; `None`: what makes small images large enough to
    /// look at.
    pub scale: Option<usize>,
    /// Each image in a file of its own too, `scale` times its size, its own without.
    pub separate: bool,
}

impl ImageFlags {
    /// `error` of samples that are not finite, which a large guidance makes.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match self.guidance {
            Some(scale) if scale > 1.0 => Error::Diverged(format!(
                "--guidance {scale:e} drives the samples out of the finite numbers; nothing is written. Take less: 1 is the model \
                 itself, 2 to 8 are usual"
            )),
            _ => error,
        }
    }

    /// What the files say of classes.
    pub(super) fn facts(&self) -> impl Iterator<Item = (&'static str, Value)> {
        let class = self.class.map(|class| ("class", json!(class)));
        class.into_iter().chain(
            self.class
                .map(|_| ("guidance", json!(self.guidance.unwrap_or(1.0)))),
        )
    }
}
