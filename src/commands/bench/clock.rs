//! Times prepared cases: GPU time by timestamps if the adapter has them, else wall time around many
//! runs; training steps always by wall time.

use std::time::{Duration, Instant};

use super::prepared::Prepared;
use crate::error::Result;
use crate::gpu::Gpu;

/// Runs per wall-clock measurement, so that the overhead of submitting and waiting is small.
const MANY: usize = 10;
/// Training steps before the first measured one: they compile, fill the pool and start the loader.
const WARM_UP: u64 = 1;
/// Minimum number of measurements of a training step, as a single one may be disturbed by other
/// load.
const STEPS: usize = 3;
/// Maximum number of measurements of a case.
const MOST: usize = 9;

/// A prepared case and what measures it.
pub struct Clock<'a> {
    gpu: &'a Gpu,
    prepared: Prepared,
    step: u64,
}

/// The result of measuring a case.
pub struct Measured {
    /// Median time, seconds.
    pub seconds: f64,
    /// Multiplications and additions of one run, as the engine counts them.
    pub flops: u64,
}

impl<'a> Clock<'a> {
    /// A clock for `prepared`, which lies on `gpu`.
    pub fn new(gpu: &'a Gpu, prepared: Prepared) -> Clock<'a> {
        Clock {
            gpu,
            prepared,
            step: 0,
        }
    }

    /// One measurement, seconds.
    ///
    /// # Errors
    /// Errors of the training's data.
    pub fn once(&mut self) -> Result<f64> {
        let gpu = self.gpu;
        match &mut self.prepared {
            Prepared::Step(step) => {
                gpu.wait();
                let begin = Instant::now();
                step(self.step)?;
                gpu.wait();
                self.step += 1;
                Ok(begin.elapsed().as_secs_f64())
            }
            Prepared::Forward(op) if gpu.profile().is_some() => Ok(kernel_time(gpu, op)),
            Prepared::Backward(op, dy) if gpu.profile().is_some() => {
                let y = op();
                Ok(kernel_time(gpu, || drop(y.backward_from(dy.clone()))))
            }
            Prepared::Forward(op) => Ok(wall(gpu, &**op)),
            Prepared::Backward(op, dy) => {
                let both = wall(gpu, || drop(op().backward_from(dy.clone())));
                Ok((both - wall(gpu, || drop(op()))).max(1e-9))
            }
        }
    }

    /// The median of as many measurements as fit into `budget`, after a warm-up; at least one.
    ///
    /// # Errors
    /// Errors of the training's data.
    pub fn median(&mut self, budget: Duration) -> Result<Measured> {
        let steps = matches!(self.prepared, Prepared::Step(_));
        for _ in 0..if steps { WARM_UP } else { 1 } {
            self.once()?;
        }
        if steps {
            // The profile should show the cost of a step once everything is compiled.
            self.gpu.reset_profile();
        }
        let before = self.gpu.counters().flops;
        let begin = Instant::now();
        let mut times = vec![self.once()?];
        let flops = self.gpu.counters().flops - before;
        while times.len() < MOST && (begin.elapsed() < budget || steps && times.len() < STEPS) {
            times.push(self.once()?);
        }
        Ok(Measured {
            seconds: median(times),
            flops,
        })
    }
}

/// GPU time of the kernels that `f` records, seconds.
fn kernel_time(gpu: &Gpu, f: impl FnOnce()) -> f64 {
    gpu.reset_profile();
    f();
    gpu.profile()
        .iter()
        .flatten()
        .map(|(_, kernel)| kernel.time.as_secs_f64())
        .sum()
}

fn wall(gpu: &Gpu, f: impl Fn()) -> f64 {
    gpu.wait();
    let begin = Instant::now();
    (0..MANY).for_each(|_| f());
    gpu.wait();
    begin.elapsed().as_secs_f64() / MANY as f64
}

/// The median; for an even number of times the lower of the middle two.
///
/// # Panics
/// If `times` is empty.
pub fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[(times.len() - 1) / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_run_does_not_count() {
        assert_eq!(median(vec![3.0, 1.0, 900.0]), 3.0);
        assert_eq!(median(vec![2.0, 1.0]), 1.0);
    }
}
