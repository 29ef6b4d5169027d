//! An image experiment under way.

use std::path::Path;

use super::ReproduceArgs;
use super::paper::{Effort, Paper};
use super::pipeline::Pipeline;
use crate::config::GridConfig;
use crate::evaluate::NllSettings;

/// The reproduction of an image experiment.
pub struct Reproduction<'a> {
    /// What was asked for.
    pub args: &'a ReproduceArgs,
    /// Folder of the pictures.
    pub data: &'a Path,
    /// The preset with its changes.
    pub config: GridConfig,
    /// How much work the figures may be.
    pub effort: Effort,
    /// And the evaluations.
    pub amounts: Amounts,
    /// The stages.
    pub pipeline: Pipeline,
    /// Models and pictures, once they were wanted.
    pub paper: Option<Paper>,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Amounts {
    /// Samples of each prior, and encodings of held-out pictures: M of section 4.3.
    pub samples: usize,
    /// The same of the model trained end to end.
    pub end_to_end: usize,
    /// Samples of each point of quality against steps.
    pub steps: usize,
    /// Likelihoods.
    pub nll: NllSettings,
    /// Seconds that the time of one sampler may take, about.
    pub time: f64,
}

impl Amounts {
    /// With a GPU.
    pub const FULL: Amounts = Amounts {
        samples: 1000,
        end_to_end: 1000,
        steps: 512,
        nll: NllSettings {
            images: 64,
            fit: 16,
            samples: 32,
            steps: 50,
            resample: 2,
        },
        time: 20.0,
    };
    /// Without.
    pub const SMALL: Amounts = Amounts {
        samples: 1000,
        end_to_end: 256,
        steps: 64,
        nll: NllSettings {
            images: 64,
            fit: 8,
            samples: 8,
            steps: 25,
            resample: 2,
        },
        time: 8.0,
    };
}
