//! Initial values, drawn on the host: the same on every adapter.

use crate::gpu::Gpu;
use crate::philox::Stream;
use crate::tensor::Tensor;

/// Philox stream of initial weights; others are in `run`.
const STREAM: u32 = 0x1000;

/// Draws initial weights; each tensor takes a stream of its own, in order.
pub struct Init<'a> {
    gpu: &'a Gpu,
    stream: Stream,
}

impl<'a> Init<'a> {
    /// Weights of a model with this `seed`.
    pub fn new(gpu: &'a Gpu, seed: u64) -> Init<'a> {
        Init { gpu, stream: Stream { seed, step: 0, stream: STREAM } }
    }

    /// Independent normal entries of standard deviation `std`.
    pub fn normal(&mut self, dims: &[usize], std: f64) -> Tensor {
        let stream = self.stream;
        self.stream.step += 1;
        self.from(dims, |i| (std * stream.normal(i)) as f32)
    }

    /// All zero.
    pub fn zeros(&mut self, dims: &[usize]) -> Tensor {
        self.from(dims, |_| 0.0)
    }

    /// Entries by their row-major index.
    pub fn from(&mut self, dims: &[usize], f: impl Fn(u32) -> f32) -> Tensor {
        let count = dims.iter().product::<usize>() as u32;
        Tensor::from_slice(self.gpu, &(0..count).map(f).collect::<Vec<_>>(), dims)
    }
}
