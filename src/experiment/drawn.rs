//! Samples as they are written to files.

use serde_json::Value;

/// Metadata for files on how samples were drawn.
pub(crate) type Facts = Vec<(&'static str, Value)>;

/// Samples and what they look like.
#[derive(Default)]
pub(crate) struct Drawn {
    /// [n, h, w].
    pub codes: Vec<u32>,
    /// Latents from a diffusion prior, at the encoder's scale, [n, h, w, d]; empty from a PixelCNN.
    pub z0: Vec<f32>,
    /// [n, height, width, 3].
    pub images: Vec<f32>,
    /// Sampler and number of steps, for captions.
    pub how: String,
}

impl Drawn {
    /// Appends the samples of `more`.
    pub fn append(&mut self, more: Drawn) {
        self.codes.extend(more.codes);
        self.z0.extend(more.z0);
        self.images.extend(more.images);
    }
}
