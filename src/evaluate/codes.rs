//! Distributions of codes and of neighbouring pairs.

use serde::{Deserialize, Serialize};

use super::Evaluation;
use super::draws::{DataCodes, Draws};
use super::measure::{Measure, Run};
use super::tables::{Rows, Section, floor, sampler};
use crate::error::Result;
use crate::experiment::trained::Trained;
use crate::experiment::usage::Usage;
use crate::metrics::histogram::{code_distance, pair_distance};

/// Codes of a run's samples compared with those of the data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CodesRow {
    /// The run's directory.
    pub run: String,
    /// How the samples were made.
    pub sampler: String,
    /// Factor on the logits, for priors that predict codes.
    #[serde(default)]
    pub sharpen: Option<f64>,
    /// Number of samples, and of encoded images.
    pub count: usize,
    /// Total variation distance between the distributions of single codes, samples against data.
    pub codes: f64,
    /// The same between two draws of the data.
    pub codes_floor: f64,
    /// Total variation distance between the distributions of neighbouring pairs, right and below.
    pub pairs: f64,
    /// The same between two draws of the data.
    pub pairs_floor: f64,
    /// Perplexity of the samples' codes, and of the data's.
    pub perplexity: [f64; 2],
    /// Codes that occur in the samples, and in the data.
    pub used: [usize; 2],
}

fn row(trained: &Trained, data: &DataCodes, drawn: &Draws) -> CodesRow {
    let k = trained.config.codes();
    let [h, w] = trained.config.grid();
    let [of_samples, of_data] = [&drawn.codes, &data.first].map(|codes| Usage::of(codes, k));
    CodesRow {
        run: trained.run.display().to_string(),
        sampler: drawn.sampler.clone(),
        sharpen: drawn.sharpen,
        count: drawn.count,
        codes: code_distance(&data.first, &drawn.codes, k),
        codes_floor: code_distance(&data.first, &data.second, k),
        pairs: pair_distance(&data.first, &drawn.codes, [h, w]),
        pairs_floor: pair_distance(&data.first, &data.second, [h, w]),
        perplexity: [of_samples.perplexity, of_data.perplexity],
        used: [of_samples.used, of_data.used],
    }
}

/// Distributions of codes and of neighbouring pairs.
pub(super) struct Codes;

impl Measure for Codes {
    type Row = CodesRow;

    fn run(row: &CodesRow) -> &str {
        &row.run
    }

    fn rows(run: &Run) -> Result<Vec<CodesRow>> {
        Ok(vec![row(run.trained, run.data, run.draws()?)])
    }

    fn table(rows: &Rows<CodesRow>, evaluation: &Evaluation) -> Section {
        let beside = |value: f64, floor: f64| format!("{value:.3} ({floor:.3})");
        let columns = vec![
            rows.runs(),
            rows.left("sampler", 1, |r| sampler(&r.sampler, r.sharpen)),
            rows.right("samples", 2, |r| r.count.to_string()),
            rows.right("codes (floor)", 0, |r| beside(r.codes, r.codes_floor)),
            rows.right("pairs (floor)", 0, |r| beside(r.pairs, r.pairs_floor)),
            rows.right("perplexity (data)", 3, |r| {
                format!("{:.1} ({:.1})", r.perplexity[0], r.perplexity[1])
            }),
            rows.right("used (data)", 4, |r| {
                format!("{} ({})", r.used[0], r.used[1])
            }),
        ];
        let title =
            "Codes: total variation from the data, for single codes and neighbouring pairs".into();
        Section {
            title,
            columns,
            note: floor(evaluation),
        }
    }
}
