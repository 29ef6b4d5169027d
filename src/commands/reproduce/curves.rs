//! Training curves.

use std::path::Path;

use image::RgbImage;

use super::plan::RUNS;
use crate::error::Result;
use crate::experiment::run_dir;
use crate::report::figures::{self, Block};

/// A curve: its label, its key in the log, and a factor to scale it by.
type Curve = (&'static str, &'static str, f64);

/// Curves of a diffusion prior.
const OF_PRIOR: &[Curve] = &[
    ("training", "loss", 1.0),
    ("held out", "held_out_loss", 1.0),
];

/// Title, axis label and curves of each run, in the order of [`RUNS`].
const CURVES: [(&str, &str, &[Curve]); RUNS.len()] = [
    (
        "VQ-VAE",
        "squared error of pixels in −1..1",
        &[
            ("training", "reconstruction", 1.0),
            ("held out", "held_out_mse", 1.0),
        ],
    ),
    ("Diffusion prior", "loss", OF_PRIOR),
    (
        "Diffusion prior, as in the paper",
        "squared error of the output",
        OF_PRIOR,
    ),
    (
        "PixelCNN prior",
        "bits per code",
        &[
            ("training", "loss", std::f64::consts::LOG2_E),
            ("held out", "held_out_bits_per_code", 1.0),
        ],
    ),
    (
        "Trained end to end",
        "losses",
        &[
            ("diffusion, training", "diffusion", 1.0),
            ("diffusion, held out", "held_out_loss", 1.0),
            ("reconstruction, training", "reconstruction", 1.0),
            ("reconstruction, held out", "held_out_mse", 1.0),
        ],
    ),
];

/// Draws the training curves of `runs` on one page.
///
/// # Errors
/// [`Error::Io`](crate::error::Error::Io) if a log cannot be read.
pub fn draw(runs: &Path) -> Result<RgbImage> {
    let mut pages = Vec::new();
    for (run, (title, label, curves)) in RUNS.iter().zip(CURVES) {
        let lines = run_dir::metrics(&runs.join(run))?;
        let scaled = |&(name, key, factor): &Curve| {
            let points = run_dir::series(&lines, key)
                .into_iter()
                .map(|(step, v)| (step, factor * v));
            (name, points.collect::<Vec<_>>())
        };
        let series: Vec<(&str, Vec<(f64, f64)>)> = curves
            .iter()
            .map(scaled)
            .filter(|(_, s)| !s.is_empty())
            .collect();
        let views: Vec<(&str, &[(f64, f64)])> = series
            .iter()
            .map(|(name, s)| (*name, s.as_slice()))
            .collect();
        pages.push(figures::curves(title, "step", label, true, &views));
    }
    Ok(figures::gallery(&[Block::grid("", &pages, 2)], false))
}
