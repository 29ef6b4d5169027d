//! Samples as they go to files.

/// Samples and what they look like.
#[derive(Default)]
pub(crate) struct Drawn {
    /// [n, h, w].
    pub codes: Vec<u32>,
    /// What a diffusion prior gave, as the encoder scales it, [n, h, w, d]; empty from a PixelCNN.
    pub z0: Vec<f32>,
    /// [n, height, width, 3].
    pub images: Vec<f32>,
    /// By which sampler, in how many steps.
    pub how: String,
}

impl Drawn {
    /// Puts the samples of `more` behind these.
    pub fn append(&mut self, more: Drawn) {
        self.codes.extend(more.codes);
        self.z0.extend(more.z0);
        self.images.extend(more.images);
    }
}
