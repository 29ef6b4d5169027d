//! Results of the toy experiment.

use serde::{Deserialize, Serialize};

/// Sequences per sampler, and below fillings per number of passes.
pub const SAMPLES: usize = 16_384;

pub const FILLINGS: usize = 1024;

/// A sampler and its results.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sampled {
    /// Its name on the command line.
    pub sampler: String,
    /// Its steps.
    pub steps: usize,
    /// See [`Reached`].
    pub valid: f64,
    /// See [`Reached`].
    pub total_variation: f64,
    /// See [`Reached`].
    pub distinct: usize,
    /// Number of sequences.
    pub samples: usize,
    /// Seconds for all of them.
    pub seconds: f64,
}

/// Inpainting of q_0 = 0, q_4 = 4.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Filled {
    /// Passes over each level.
    pub resample: usize,
    /// Fraction of valid fillings.
    pub consistent: f64,
    /// Fraction of each of the two valid paths.
    pub paths: Vec<f64>,
    /// Number of fillings.
    pub samples: usize,
}

/// Results of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// Results of the samplers.
    pub samplers: Vec<Sampled>,
    /// Results of inpainting.
    pub fillings: Vec<Filled>,
    /// For learnt codes: the number of true centroids with exactly one code near them, and the
    /// largest distance of a centroid to its nearest code.
    pub codes: Option<(usize, f64)>,
    /// Adapter and driver.
    pub adapter: String,
}

/// A row of Table 4: a level and the nearest centroids at it.
pub type Row = (usize, Vec<u32>);

/// Files and captions of the figures.
pub const FIGURES: [(&str, &str); 7] = [
    (
        "figure-02-data.png",
        "Figure 2: the centroids and two samples of the data.",
    ),
    (
        "figure-03-paths.png",
        "Figure 3: one sample under noise, and one reverse path (ancestral).",
    ),
    (
        "figure-11-codes.png",
        "Figure 11: the codes of the joint training before and after.",
    ),
    (
        "figure-12-inpainting.png",
        "Figure 12: three fillings of q_0 = 0, q_4 = 4, by ten passes over each level.",
    ),
    (
        "samples.png",
        "All sampled points of the ancestral sampler, and the share of each valid chain.",
    ),
    ("training.png", "Losses of the training of seed 0."),
    ("training-joint.png", "Losses of the joint training."),
];
