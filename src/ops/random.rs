//! Random tensors: the same function of (seed, step, stream, index) on every adapter and on the
//! host.

use bytemuck::{Pod, Zeroable};

use super::grid;
use crate::gpu::{Gpu, Shader, shader};
use crate::philox::Stream;
use crate::tensor::{Codes, Shape, Tensor};

pub(super) static SHADER: Shader = shader!("random");

/// [`Stream`] as laid out in the WGSL.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct StreamWords {
    seed_low: u32,
    seed_high: u32,
    step: u32,
    stream: u32,
}

impl From<Stream> for StreamWords {
    fn from(s: Stream) -> StreamWords {
        StreamWords {
            seed_low: s.seed as u32,
            seed_high: (s.seed >> 32) as u32,
            step: s.step,
            stream: s.stream,
        }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    count: u32,
    first: u32,
    stream: StreamWords,
}

/// Index of the first random number of a tensor [n, ..] whose first sample is number
/// `stream.first`.
pub(super) fn first_number(shape: Shape, stream: Stream) -> u32 {
    stream.first * (shape.count() / shape.dims().first().copied().unwrap_or(1)) as u32
}

fn fill(gpu: &Gpu, shape: Shape, stream: Stream, law: u32) -> Tensor {
    let y = Tensor::uninit(gpu, shape);
    let params = Params {
        count: shape.count() as u32,
        first: first_number(shape, stream),
        stream: stream.into(),
    };
    gpu.dispatch(
        &SHADER,
        "fill",
        &[("LAW", law)],
        &[y.buffer()],
        &params,
        grid(shape.count().div_ceil(4), 64),
    );
    y
}

/// Uniform in (0, 1), bit-identical on every adapter. In all of these, the first sample of a
/// `shape` [n, ..] is number `stream.first`.
pub fn uniform(gpu: &Gpu, shape: impl Into<Shape>, stream: Stream) -> Tensor {
    fill(gpu, shape.into(), stream, 0)
}

/// Standard normal.
pub fn normal(gpu: &Gpu, shape: impl Into<Shape>, stream: Stream) -> Tensor {
    fill(gpu, shape.into(), stream, 1)
}

/// Gumbel(0, 1).
pub fn gumbel(gpu: &Gpu, shape: impl Into<Shape>, stream: Stream) -> Tensor {
    fill(gpu, shape.into(), stream, 2)
}

/// The raw random words.
pub fn bits(gpu: &Gpu, shape: impl Into<Shape>, stream: Stream) -> Codes {
    let words = Codes::uninit(gpu, shape);
    let first = first_number(words.shape(), stream);
    let params = Params {
        count: words.count() as u32,
        first,
        stream: stream.into(),
    };
    gpu.dispatch(
        &SHADER,
        "bits",
        &[],
        &[words.buffer()],
        &params,
        grid(words.count().div_ceil(4), 64),
    );
    words
}
