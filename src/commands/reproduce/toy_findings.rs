//! What the toy experiment finds.

use serde::{Deserialize, Serialize};

/// Sequences of each sampler, and fillings, with their seeds.
pub const SAMPLES: usize = 16_384;

pub const FILLINGS: usize = 1024;

/// A sampler and what it reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sampled {
    /// As on the command line.
    pub sampler: String,
    /// Its steps.
    pub steps: usize,
    /// See [`Reached`].
    pub valid: f64,
    /// See [`Reached`].
    pub total_variation: f64,
    /// See [`Reached`].
    pub distinct: usize,
    /// Sequences.
    pub samples: usize,
    /// Seconds of all of them.
    pub seconds: f64,
}

/// Inpainting of q_0 = 0, q_4 = 4.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Filled {
    /// Passes over each level.
    pub resample: usize,
    /// Share of valid fillings.
    pub consistent: f64,
    /// Share of each of the two.
    pub paths: Vec<f64>,
    /// Fillings.
    pub samples: usize,
}

/// What a run reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// Samplers.
    pub samplers: Vec<Sampled>,
    /// Inpainting.
    pub fillings: Vec<Filled>,
    /// Learnt codes: true centroids with one code of their own near them, and the farthest distance
    /// of a centroid to its nearest code.
    pub codes: Option<(usize, f64)>,
    /// Adapter and driver.
    pub adapter: String,
}

/// A row of Table 4: the level, and the nearest centroids there.
pub type Row = (usize, Vec<u32>);

/// The figures, with their files.
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
