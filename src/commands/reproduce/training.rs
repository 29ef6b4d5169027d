//! A training of a reproduction, finished.

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
    /// Steps behind it.
    pub steps: u64,
    /// Wall seconds of all its parts, if its log says so.
    pub seconds: Option<f64>,
    /// What it costs, where that was found out.
    #[serde(flatten)]
    pub work: Option<Work>,
}

/// What a training costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Parameters that it trains.
    pub parameters: usize,
    /// Pictures a step.
    pub batch: usize,
    /// Floating-point operations of a step, forward and backward.
    pub flop_a_step: f64,
    /// Of all steps.
    pub flop: f64,
}

impl Work {
    /// Of `stage`, found out in a rehearsal.
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
