//! Estimates how much GPU memory a training takes, by a rehearsal, and what to advise if there is
//! not enough.

use super::session::Task;
use super::stages::rehearsal;
use crate::config::{GridConfig, Stage, Stored};
use crate::error::{Error, Result};
use crate::gpu::{self, AdapterFacts, Gpu};

/// Steps of a rehearsal: from the second on, all are alike.
const STEPS: u64 = 2;

/// Requirements found by a rehearsal.
pub struct Needs {
    /// Bytes held by tensors between steps, measured before the first one.
    pub held: u64,
    /// Peak bytes held.
    pub peak: u64,
    /// Bytes of all tensors that a step creates; many reuse the same memory in turn.
    pub made: u64,
    /// Multiplications and additions per step in matrix products, convolutions, attention and
    /// distances to codes.
    pub flops: u64,
}

/// Rehearses the task that `make` creates.
///
/// # Errors
/// [`Error::OutOfMemory`] if it exceeds the limits of the rehearsal's adapter or its memory limit,
/// and those of `make`.
pub fn rehearse(
    gpu: &Gpu,
    make: impl FnOnce() -> Result<Box<dyn Task>>,
) -> Result<(Box<dyn Task>, Needs)> {
    gpu::catch(|| {
        let mut task = make()?;
        task.start()?;
        let held = gpu.counters().live_bytes;
        let mut before = gpu.counters();
        for step in 0..STEPS {
            before = gpu.counters();
            task.step(step)?;
            gpu.submit();
        }
        let after = gpu.counters();
        let made = after.taken_bytes - before.taken_bytes;
        Ok((
            task,
            Needs {
                held,
                peak: after.peak_bytes,
                made,
                flops: after.flops - before.flops,
            },
        ))
    })
}

/// What `stage` needs on an adapter with these `facts`, where at most `limit` bytes may be held.
fn needs(
    facts: Option<&AdapterFacts>,
    config: &GridConfig,
    stage: Stage,
    limit: u64,
) -> Result<Needs> {
    let gpu = Gpu::rehearsal(facts, limit)?;
    Ok(rehearse(&gpu, || rehearsal::task(&gpu, config, stage))?.1)
}

/// Refuses a training that does not fit into the memory of `gpu` before it begins; otherwise prints
/// the estimate.
///
/// # Errors
/// [`Error::OutOfMemory`] with the estimate and the largest batch that fits.
pub fn check(gpu: &Gpu, config: &GridConfig, stage: Stage) -> Result<()> {
    let limit = gpu.memory_limit().unwrap_or(u64::MAX);
    let needs = needs(Some(gpu.facts()), config, stage, limit)
        .map_err(|e| advise(gpu, config, stage, limit, e))?;
    let batch = config.stage(stage).batch;
    let work = needs.peak.saturating_sub(needs.held).max(1);
    note!(
        "A step of batch {batch} needs about {} MiB of GPU memory ({} for tensors; without reuse they would take {}).",
        mib(needs.peak),
        mib(work),
        mib(needs.made)
    );
    Ok(())
}

/// Trains with `f`. If memory still runs out, the error gives the estimate and the largest batch
/// that fits; if the device is lost, how to continue.
///
/// # Errors
/// Those of `f`.
pub fn explain(gpu: &Gpu, config: &Stored, f: impl FnOnce() -> Result<()>) -> Result<()> {
    // If only the driver knows its limit, take the peak held so far as an approximation.
    let limit = || gpu.memory_limit().unwrap_or(gpu.counters().peak_bytes);
    gpu::catch(f).map_err(|error| match (error, config) {
        (Error::DeviceLost(what), _) => Error::DeviceLost(format!("{what} with --resume")),
        (error, Stored::Toy(_)) => error,
        (error, Stored::Grid(stage, config)) => advise(gpu, config, *stage, limit(), error),
    })
}

/// `error`, with the estimate and the largest batch that fits if it is about memory.
fn advise(gpu: &Gpu, config: &GridConfig, stage: Stage, limit: u64, error: Error) -> Error {
    let Error::OutOfMemory(why) = error else {
        return error;
    };
    let takes = match needs(None, config, stage, u64::MAX) {
        Ok(needs) => format!("takes about {} MiB of GPU memory", mib(needs.peak)),
        Err(_) => "does not fit on any GPU".into(),
    };
    let name = stage.name();
    let batch = config.stage(stage).batch;
    // A batch is a multiple of its number of parts.
    let parts = config.stage(stage).accumulate;
    let fits = |each: usize| {
        needs(
            Some(gpu.facts()),
            &config.with_batch(stage, each * parts),
            stage,
            limit,
        )
        .is_ok()
    };
    let mut most = 0;
    let mut too_many = batch / parts;
    while too_many - most > 1 {
        let middle = (most + too_many) / 2;
        if fits(middle) {
            most = middle
        } else {
            too_many = middle
        }
    }
    let remedy = match most * parts {
        0 => format!("even a batch of {parts} does not fit; use a smaller model"),
        most => format!("a batch of {most} fits: --set stages.{name}.batch={most}"),
    };
    let why = why.split(';').next().unwrap_or_default();
    Error::OutOfMemory(format!(
        "a step of stage {name} with batch {batch} {takes}: {why}; {remedy}"
    ))
}

/// Bytes in whole MiB, rounded up.
pub fn mib(bytes: u64) -> String {
    crate::number::thousands(bytes.div_ceil(1 << 20) as usize)
}
