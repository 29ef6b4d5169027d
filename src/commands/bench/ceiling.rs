//! Measures an adapter's ceilings: arithmetic in registers, and a copy far larger than the caches.

use super::clock::Clock;
use super::needs::Ceilings;
use super::prepared::Prepared;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::ops;
use crate::tensor::Tensor;

/// Elements that run arithmetic chains, more than the largest GPUs have lanes.
const LANES: usize = 1 << 19;
/// Operations per round of one element's chains.
const ROUND: usize = 2 * 12 * 8;
/// Shortest measurement that is long enough, seconds.
const LONG: f64 = 0.02;
/// Maximum number of bytes to copy.
const COPY: u64 = 128 << 20;
/// Number of measurements; the fastest counts, since a ceiling is the best possible rate.
const TIMES: usize = 5;

/// Measures both ceilings.
///
/// # Errors
/// [`Error::OutOfMemory`](crate::error::Error::OutOfMemory) by unwinding, if not even a small copy
/// fits.
pub fn measure(gpu: &Gpu) -> Result<Ceilings> {
    Ok(Ceilings {
        fma_gflops: arithmetic(gpu)?,
        copy_gbs: copying(gpu)?,
    })
}

fn arithmetic(gpu: &Gpu) -> Result<f64> {
    let x = Tensor::zeros(gpu, [LANES]);
    let fastest = |rounds: usize| {
        let x = x.clone();
        fastest(gpu, move || {
            drop(ops::fma_chain(&x, rounds, [0.999, 0.001]))
        })
    };
    let mut rounds = 4;
    let mut seconds = fastest(rounds)?;
    while seconds < LONG && rounds < 1 << 13 {
        rounds *= 4;
        seconds = fastest(rounds)?;
    }
    Ok((LANES * ROUND * rounds) as f64 / seconds / 1e9)
}

fn copying(gpu: &Gpu) -> Result<f64> {
    let limits = &gpu.facts().limits;
    let held = gpu.memory_limit().map_or(u64::MAX, |limit| limit / 4);
    let bytes = COPY
        .min(limits.max_storage_buffer_binding_size)
        .min(limits.max_buffer_size)
        .min(held)
        / 16
        * 16;
    let x = Tensor::zeros(gpu, [bytes as usize / 4]);
    let seconds = fastest(gpu, move || drop(ops::copy(&x)))?;
    Ok(2.0 * bytes as f64 / seconds / 1e9)
}

fn fastest(gpu: &Gpu, f: impl Fn() + 'static) -> Result<f64> {
    let mut clock = Clock::new(gpu, Prepared::Forward(Box::new(f)));
    clock.once()?;
    (0..TIMES).try_fold(f64::INFINITY, |least, _| Ok(least.min(clock.once()?)))
}
