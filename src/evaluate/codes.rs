//! Laws of codes and of pairs of neighbours.

use serde::{Deserialize, Serialize};

use super::draws::{DataCodes, Draws};
use crate::experiment::images::trained::Trained;
use crate::experiment::images::usage::Usage;
use crate::metrics::histogram::{code_distance, pair_distance};

/// Samples of a run beside the data, in codes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CodesRow {
    /// The run's directory.
    pub run: String,
    /// How the samples were made.
    pub sampler: String,
    /// Factor of the logits, of priors that predict codes.
    #[serde(default)]
    pub sharpen: Option<f64>,
    /// Samples, and encodings of pictures.
    pub count: usize,
    /// Total variation between the laws of single codes, samples against data.
    pub codes: f64,
    /// Between two draws of the data.
    pub codes_floor: f64,
    /// Total variation between the laws of pairs of neighbours, right and below.
    pub pairs: f64,
    /// Between two draws of the data.
    pub pairs_floor: f64,
    /// Perplexity of the samples' codes, and of the data's.
    pub perplexity: [f64; 2],
    /// Codes that occur in the samples, and in the data.
    pub used: [usize; 2],
}

pub(super) fn row(trained: &Trained, data: &DataCodes, drawn: &Draws) -> CodesRow {
    let k = trained.config.vqvae.codes;
    let grid = trained.config.vqvae.grid();
    let [of_samples, of_data] = [&drawn.codes, &data.first].map(|codes| Usage::of(codes, k));
    CodesRow {
        run: trained.run.display().to_string(),
        sampler: drawn.sampler.clone(),
        sharpen: drawn.sharpen,
        count: drawn.count,
        codes: code_distance(&data.first, &drawn.codes, k),
        codes_floor: code_distance(&data.first, &data.second, k),
        pairs: pair_distance(&data.first, &drawn.codes, [grid, grid]),
        pairs_floor: pair_distance(&data.first, &data.second, [grid, grid]),
        perplexity: [of_samples.perplexity, of_data.perplexity],
        used: [of_samples.used, of_data.used],
    }
}
