//! What the VQ-VAE loses of held-out pictures.

use serde::{Deserialize, Serialize};

use super::EvaluateArgs;
use crate::data::ImageSet;
use crate::error::Result;
use crate::metrics::picture;
use crate::run::images::reconstruct::reconstructed;
use crate::run::images::trained::Trained;

/// Of one VQ-VAE.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReconstructionRow {
    /// The run's directory.
    pub run: String,
    /// Held-out pictures.
    pub count: usize,
    /// Mean squared error of values in [−1, 1].
    pub mse: f64,
    /// 10 log₁₀ (4 / MSE), dB.
    pub psnr: f64,
    /// Mean structural similarity.
    pub ssim: f64,
}

pub(super) fn row(trained: &Trained, held_out: &ImageSet, args: &EvaluateArgs) -> Result<ReconstructionRow> {
    let count = args.count.min(held_out.len());
    let originals = held_out.floats(&(0..count as u32).collect::<Vec<_>>())?;
    let (_, images) = reconstructed(trained, &originals);
    let (size, image) = (trained.config.vqvae.size, trained.image());
    let pairs = originals.chunks_exact(image).zip(images.chunks_exact(image));
    let mse = picture::mse(&originals, &images);
    let ssim = pairs.map(|(a, b)| picture::ssim(a, b, size)).sum::<f64>() / count as f64;
    let run = trained.run.display().to_string();
    Ok(ReconstructionRow { run, count, mse, psnr: picture::psnr(mse), ssim })
}
