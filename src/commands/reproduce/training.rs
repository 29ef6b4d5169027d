//! A finished training of a reproduction.

use serde::{Deserialize, Serialize};

use crate::config::{GridConfig, Stage};
use crate::error::Result;
use crate::experiment::memory;
use crate::experiment::stages::rehearsal;
use crate::gpu::Gpu;

/// A trained run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Training {
    /// Its name in `runs/`.
    pub name: String,
    /// Training steps.
    pub steps: u64,
    /// Wall seconds including resumed parts, if its log has them.
    pub seconds: Option<f64>,
    /// Its cost, if determined.
    #[serde(flatten)]
    pub work: Option<Work>,
}

/// Cost of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Number of trained parameters.
    pub parameters: usize,
    /// Batch size in images.
    pub batch: usize,
    /// Floating-point operations per step, forward and backward.
    pub flop_a_step: f64,
    /// Floating-point operations of all steps.
    pub flop: f64,
}

impl Work {
    /// The cost of `stage`, determined in a rehearsal.
    pub(crate) fn of(config: &GridConfig, stage: Stage) -> Result<Work> {
        let gpu = Gpu::rehearsal(None, u64::MAX)?;
        let (mut task, needs) = memory::rehearse(&gpu, || rehearsal::task(&gpu, config, stage))?;
        let parameters = task.parameters();
        let batch = config.stage(stage).batch;
        let flop_a_step = needs.flops as f64;
        let flop = flop_a_step * config.stage(stage).steps as f64;
        Ok(Work {
            parameters,
            batch,
            flop_a_step,
            flop,
        })
    }
}
