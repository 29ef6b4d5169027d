//! Images through encoder, codebook and decoder.

use super::stages::context::CHUNK;
use super::trained::Trained;
use crate::error::Result;

/// The codes [n, h, w] of `originals` [n, size, size, 3], and the decoded images, clamped to [−1,
/// 1].
///
/// # Errors
/// [`Error::Diverged`] if latents or images are not finite.
pub(crate) fn reconstructed(trained: &Trained, originals: &[f32]) -> Result<(Vec<u32>, Vec<f32>)> {
    let mut codes = Vec::new();
    let mut images = Vec::new();
    for chunk in trained.encode(originals)?.chunks(CHUNK * trained.latent()) {
        let of_chunk = trained
            .gpu
            .no_grad(|| trained.first.quantise(&trained.latents(chunk)));
        images.extend(
            trained
                .decode(&of_chunk)?
                .into_iter()
                .map(|v| v.clamp(-1.0, 1.0)),
        );
        codes.extend(of_chunk.to_vec());
    }
    Ok((codes, images))
}
