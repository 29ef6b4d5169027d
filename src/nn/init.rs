//! Initial values, drawn on the host: the same on every adapter.

use crate::gpu::Gpu;
use crate::philox::{Draw, Stream};
use crate::tensor::Tensor;

/// Draws initial weights; each tensor takes a stream of its own, in order.
pub struct Init<'a> {
    gpu: &'a Gpu,
    stream: Stream,
    blank: bool,
}

impl<'a> Init<'a> {
    /// Weights of a model with this `seed`; in a rehearsal they are not needed and are zero.
    pub fn new(gpu: &'a Gpu, seed: u64) -> Init<'a> {
        Init {
            gpu,
            stream: Stream {
                seed,
                step: 0,
                stream: Draw::Init.stream(),
                first: 0,
            },
            blank: gpu.rehearses(),
        }
    }

    /// Zeros instead of random weights, for a model that gets its weights from elsewhere.
    pub fn blank(gpu: &'a Gpu) -> Init<'a> {
        Init {
            blank: true,
            ..Init::new(gpu, 0)
        }
    }

    /// The device of the weights.
    pub fn gpu(&self) -> &Gpu {
        self.gpu
    }

    /// Independent normal entries of standard deviation `std`.
    pub fn normal(&mut self, dims: &[usize], std: f64) -> Tensor {
        self.draw(dims, |stream, i| std * stream.normal(i))
    }

    /// Independent uniform entries in (−bound, bound).
    pub fn uniform(&mut self, dims: &[usize], bound: f64) -> Tensor {
        self.draw(dims, |stream, i| {
            bound * (2.0 * f64::from(stream.uniform(i)) - 1.0)
        })
    }

    fn draw(&mut self, dims: &[usize], entry: impl Fn(Stream, u32) -> f64) -> Tensor {
        if self.blank {
            return self.zeros(dims);
        }
        let stream = self.stream;
        self.stream.step += 1;
        self.from(dims, |i| entry(stream, i) as f32)
    }

    /// All zero.
    pub fn zeros(&mut self, dims: &[usize]) -> Tensor {
        Tensor::zeros(self.gpu, dims)
    }

    /// Entries `f(i)` by row-major index i.
    pub fn from(&mut self, dims: &[usize], f: impl Fn(u32) -> f32) -> Tensor {
        let count = dims.iter().product::<usize>() as u32;
        Tensor::from_slice(self.gpu, &(0..count).map(f).collect::<Vec<_>>(), dims)
    }
}
