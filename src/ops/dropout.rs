//! Dropout that regenerates its mask where it is needed.

use bytemuck::{Pod, Zeroable};

use super::grid;
use super::random::{StreamWords, first_number};
use crate::gpu::{Shader, shader};
use crate::philox::Stream;
use crate::tensor::Tensor;

pub(super) static SHADER: Shader = shader!("dropout");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    count: u32,
    first: u32,
    rate: f32,
    scale: f32,
    stream: StreamWords,
}

/// Dropout (Srivastava et al. 2014): each element becomes 0 with probability `rate`, else it is
/// divided by 1 − `rate`. Element i is kept if `stream.uniform(i)` is at least `rate`, counting
/// from sample `stream.first` of `x` [n, ..]; nothing is saved for backward.
///
/// # Panics
/// If `rate` is outside [0, 1).
#[track_caller]
pub fn dropout(x: &Tensor, rate: f32, stream: Stream) -> Tensor {
    assert!(
        (0.0..1.0).contains(&rate),
        "dropout: the rate {rate} is outside [0, 1)"
    );
    let first = first_number(x.shape(), stream);
    let params = Params {
        count: x.count() as u32,
        first,
        rate,
        scale: 1.0 / (1.0 - rate),
        stream: stream.into(),
    };
    masked(x, params).with_vjp([x], move |dy, _| [Some(masked(dy, params))])
}

fn masked(x: &Tensor, params: Params) -> Tensor {
    let y = Tensor::uninit(x.gpu(), x.shape());
    let groups = grid(x.count().div_ceil(4), 64);
    x.gpu().dispatch(
        &SHADER,
        "masked",
        &[],
        &[x.buffer(), y.buffer()],
        &params,
        groups,
    );
    y
}
