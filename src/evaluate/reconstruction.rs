//! Reconstruction error of the VQ-VAE on held-out images.

use serde::{Deserialize, Serialize};

use super::measure::{Measure, Run};
use super::tables::{Rows, Section, or_dash};
use super::{Evaluation, Material};
use crate::data::ImageSet;
use crate::error::Result;
use crate::experiment::reconstruct::reconstructed;
use crate::experiment::trained::Trained;
use crate::metrics::picture;

/// Reconstruction error of one VQ-VAE.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReconstructionRow {
    /// The run's directory.
    pub run: String,
    /// Number of held-out images.
    pub count: usize,
    /// Mean squared error of values in [−1, 1].
    pub mse: f64,
    /// 10 log₁₀ (4 / MSE), dB; `None` if the MSE is 0.
    pub psnr: Option<f64>,
    /// Mean structural similarity; `None` for images smaller than its window.
    pub ssim: Option<f64>,
}

/// Why images of `size` × `size` have no structural similarity, if they have none.
pub(super) fn no_ssim(size: usize) -> Option<String> {
    let window = picture::WINDOW;
    (size < window)
        .then(|| format!("{size} x {size} images are smaller than its {window} x {window} window"))
}

fn row(trained: &Trained, held_out: &ImageSet, count: usize) -> Result<ReconstructionRow> {
    let originals = held_out.floats(&(0..count as u32).collect::<Vec<_>>())?;
    let (_, images) = reconstructed(trained, &originals)?;
    let size = trained.config.vqvae.size;
    let image = trained.image();
    let pairs = originals
        .chunks_exact(image)
        .zip(images.chunks_exact(image));
    let similarities: Option<Vec<f64>> = pairs.map(|(a, b)| picture::ssim(a, b, size)).collect();
    let mse = picture::mse(&originals, &images);
    let psnr = picture::psnr(mse);
    let ssim = similarities.map(|all| all.iter().sum::<f64>() / count as f64);
    Ok(ReconstructionRow {
        run: trained.run.display().to_string(),
        count,
        mse,
        psnr,
        ssim,
    })
}

/// Reconstruction error of VQ-VAEs.
pub(super) struct Reconstruction;

impl Measure for Reconstruction {
    type Row = ReconstructionRow;

    const IS_OF_IMAGES: bool = true;
    const IS_OF_PRIORS: bool = false;
    const VALUES: &'static [&'static str] = &["psnr", "ssim"];

    fn run(row: &ReconstructionRow) -> &str {
        &row.run
    }

    fn rows(run: &Run) -> Result<Vec<ReconstructionRow>> {
        let Material {
            pictures, count, ..
        } = run.material;
        Ok(vec![row(run.trained, &pictures.held_out, *count)?])
    }

    fn gap(row: &ReconstructionRow) -> Option<(&'static str, &'static str)> {
        let reason = "the reconstructions equal the images exactly";
        row.psnr.is_none().then_some(("psnr", reason))
    }

    fn table(rows: &Rows<ReconstructionRow>, _evaluation: &Evaluation) -> Section {
        let columns = vec![
            rows.runs(),
            rows.right("images", 1, |r| r.count.to_string()),
            rows.right("MSE", 2, |r| format!("{:.4}", r.mse)),
            rows.right("PSNR, dB", 0, |r| or_dash(r.psnr, 2)),
            rows.right("SSIM", 0, |r| or_dash(r.ssim, 3)),
        ];
        Section {
            title: "Reconstruction of held-out images".into(),
            columns,
            note: String::new(),
        }
    }
}
