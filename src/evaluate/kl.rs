//! KL divergence of code histograms at each position: table 1 and figure 4.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Evaluation;
use super::draws::{DataCodes, Draws};
use super::measure::{Measure, Run};
use super::tables::{Rows, Section, floor, sampler};
use crate::config::Stage;
use crate::error::Result;
use crate::experiment::trained::Trained;
use crate::metrics::histogram::kl_map;
use crate::report::figures;

/// KL divergence between the data and a prior's samples.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KlRow {
    /// The run's directory.
    pub run: String,
    /// The run's stage.
    pub stage: Stage,
    /// How the samples were made.
    pub sampler: String,
    /// Factor on the logits, for priors that predict codes.
    #[serde(default)]
    pub sharpen: Option<f64>,
    /// Number of samples, and of encoded images.
    pub count: usize,
    /// Mean KL divergence over the positions, nats.
    pub mean: f64,
    /// The same between two draws of the data.
    pub floor: f64,
    /// Rows and columns of the map.
    pub grid: usize,
    /// KL(data ‖ samples) at each position, [grid, grid], nats.
    pub map: Vec<f64>,
    /// The same map between two draws of the data.
    pub floor_map: Vec<f64>,
    /// Wall seconds per sample.
    pub seconds: f64,
}

fn row(trained: &Trained, data: &DataCodes, drawn: &Draws) -> KlRow {
    let k = trained.config.codes();
    let [h, w] = trained.config.grid();
    let map = kl_map(&data.first, &drawn.codes, h * w, k);
    let floor_map = kl_map(&data.first, &data.second, h * w, k);
    let mean = |map: &[f64]| map.iter().sum::<f64>() / map.len() as f64;
    KlRow {
        run: trained.run.display().to_string(),
        stage: trained.stage,
        sampler: drawn.sampler.clone(),
        sharpen: drawn.sharpen,
        count: drawn.count,
        mean: mean(&map),
        floor: mean(&floor_map),
        grid: w,
        map,
        floor_map,
        seconds: drawn.seconds,
    }
}

impl KlRow {
    /// The prior's name in figures.
    pub fn title(&self) -> &'static str {
        match self.stage {
            Stage::PixelCnn => "PixelCNN prior",
            Stage::Joint => "End to end",
            Stage::Prior | Stage::VqVae => "Diffusion prior",
        }
    }
}

/// Draws figure 4: the maps of `rows` and the first row's floor map side by side, on one scale.
///
/// # Errors
/// [`Error::Io`](crate::error::Error::Io) for the file.
pub fn draw(rows: &[KlRow], file: &Path, seed: u64) -> Result<()> {
    let maps = rows.iter().map(|row| {
        (
            format!("{}: {:.3}", row.title(), row.mean),
            row.grid,
            row.map.as_slice(),
        )
    });
    let floor = rows.first().map(|row| {
        (
            format!("Two draws of the data: {:.3}", row.floor),
            row.grid,
            row.floor_map.as_slice(),
        )
    });
    let maps: Vec<_> = maps.chain(floor).collect();
    let picture = figures::heat_maps(&maps, "KL, nats");
    let count = rows.first().map_or(0, |row| row.count);
    figures::save(
        file,
        &picture,
        &[("count", count.to_string()), ("seed", seed.to_string())],
    )
}

/// KL divergence of code histograms.
pub(super) struct Kl;

impl Measure for Kl {
    type Row = KlRow;

    fn run(row: &KlRow) -> &str {
        &row.run
    }

    fn rows(run: &Run) -> Result<Vec<KlRow>> {
        Ok(vec![row(run.trained, run.data, run.draws()?)])
    }

    fn table(rows: &Rows<KlRow>, evaluation: &Evaluation) -> Section {
        let columns = vec![
            rows.runs(),
            rows.left("sampler", 1, |r| sampler(&r.sampler, r.sharpen)),
            rows.right("samples", 2, |r| r.count.to_string()),
            rows.right("KL", 0, |r| format!("{:.3}", r.mean)),
            rows.right("floor", 0, |r| format!("{:.3}", r.floor)),
        ];
        let title = "KL of the code distributions, averaged over positions, nats".into();
        Section {
            title,
            columns,
            note: floor(evaluation),
        }
    }
}
