//! Distances in the feature space of Inception-v3: the second column of tables 2 and 3.

use serde::{Deserialize, Serialize};

use super::EvaluateArgs;
use super::draws::Draws;
use crate::config::Stage;
use crate::data::ImageSet;
use crate::error::Result;
use crate::run::fid::{FeatureNetwork, Features, SUBSET_SIZE, SUBSETS, frechet_distance, kid};
use crate::run::images::CHUNK;
use crate::run::images::reconstruct::reconstructed;
use crate::run::images::trained::Trained;
use crate::run::progress::Progress;
use crate::tensor::Codes;

/// Images whose pixels are in memory at a time.
const BLOCK: usize = 8 * CHUNK;

/// Samples of a run beside as many held-out pictures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FidRow {
    /// The run's directory.
    pub run: String,
    /// The run's stage.
    pub stage: Stage,
    /// How the samples were made.
    pub sampler: String,
    /// Samples, and pictures.
    pub count: usize,
    /// FID against what the run's VQ-VAE makes of the pictures, as in the paper.
    pub fid: f64,
    /// FID against the pictures.
    pub fid_data: f64,
    /// KID against the reconstructions, mean and standard deviation over subsets.
    pub kid: [f64; 2],
    /// KID against the pictures.
    pub kid_data: [f64; 2],
    /// Subsets, and images in each.
    pub subsets: [usize; 2],
    /// BLAKE3 of the weights.
    pub weights: String,
}

pub(super) fn row(
    trained: &Trained,
    network: &FeatureNetwork,
    held_out: &ImageSet,
    drawn: &Draws,
    args: &EvaluateArgs,
) -> Result<FidRow> {
    let (grid, count) = (trained.config.vqvae.grid(), drawn.count);
    let cells = grid * grid;
    let samples = features(trained, network, count, |range| {
        let codes = &drawn.codes[range.start * cells..range.end * cells];
        let decode =
            |codes: &[u32]| trained.decode(&Codes::from_slice(&trained.gpu, codes, [codes.len() / cells, grid, grid]));
        Ok(codes.chunks(CHUNK * cells).flat_map(decode).collect())
    })?;
    let pictures = |range: std::ops::Range<usize>| held_out.floats(&range.map(|i| i as u32).collect::<Vec<_>>());
    let data = features(trained, network, count, pictures)?;
    let kept = features(trained, network, count, |range| Ok(reconstructed(trained, &pictures(range)?).1))?;
    let of = network.statistics(&samples)?;
    let fid = |other: &Features| frechet_distance(&of, &network.statistics(other)?);
    let size = SUBSET_SIZE.min(count);
    // Subsets that are the whole set are all the same.
    let subsets = if size == count { 1 } else { SUBSETS };
    let kid = |other: &Features| {
        kid(&samples, other, subsets, size, args.seed, &mut |_| {}).map(|found| [found.mean, found.std])
    };
    Ok(FidRow {
        run: trained.run.display().to_string(),
        stage: trained.stage,
        sampler: drawn.sampler.clone(),
        count,
        fid: fid(&kept)?,
        fid_data: fid(&data)?,
        kid: kid(&kept)?,
        kid_data: kid(&data)?,
        subsets: [subsets, size],
        weights: network.checksum().to_string(),
    })
}

/// Features of `count` images, some at a time.
fn features(
    trained: &Trained,
    network: &FeatureNetwork,
    count: usize,
    images: impl Fn(std::ops::Range<usize>) -> Result<Vec<f32>>,
) -> Result<Features> {
    let mut progress = Progress::new("features", 0, count as u64);
    let (mut values, mut width) = (Vec::new(), 0);
    for first in (0..count).step_by(BLOCK) {
        let block = images(first..count.min(first + BLOCK))?;
        let found = network.features(&block, trained.config.vqvae.size, &mut |done| {
            progress.at((first + done) as u64, String::new);
        })?;
        values.extend_from_slice(found.values());
        width = found.width();
    }
    progress.finish();
    Features::new(values, width)
}
