//! State of an image experiment.

use std::path::Path;

use super::ReproduceArgs;
use super::paper::{Effort, Paper};
use super::pipeline::Pipeline;
use crate::config::GridConfig;
use crate::evaluate::NllSettings;

/// The reproduction of an image experiment.
pub struct Reproduction<'a> {
    /// The command's arguments.
    pub args: &'a ReproduceArgs,
    /// Folder of the images.
    pub data: &'a Path,
    /// The preset with its overrides.
    pub config: GridConfig,
    /// Amount of work for the figures.
    pub effort: Effort,
    /// Amount of work for the evaluations.
    pub amounts: Amounts,
    /// The stages.
    pub pipeline: Pipeline,
    /// Models and images, loaded on first use.
    pub paper: Option<Paper>,
}

/// Amount of work for the evaluations.
#[derive(Clone, Copy, Debug)]
pub struct Amounts {
    /// Samples of each prior, and held-out images to encode: M of section 4.3.
    pub samples: usize,
    /// The same for the model trained end to end.
    pub end_to_end: usize,
    /// Samples per point of the quality-against-steps curve.
    pub steps: usize,
    /// Settings of the likelihood estimates.
    pub nll: NllSettings,
    /// Approximate seconds spent on timing one sampler.
    pub time: f64,
}

impl Amounts {
    /// For machines with a GPU.
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
    /// For machines without a GPU.
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
