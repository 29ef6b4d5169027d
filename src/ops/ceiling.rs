//! Peak rates of an adapter, measured by `dbvq-wgpu bench`: arithmetic in registers, and a copy. No
//! gradients.

use bytemuck::{Pod, Zeroable};

use super::{LOOPS, grid};
use crate::gpu::{Shader, shader};
use crate::tensor::Tensor;

pub(super) static SHADER: Shader = shader!("ceiling");

/// Chains per element.
const CHAINS: usize = 12;
/// Links of a chain per round.
const LINKS: usize = 8;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    count: u32,
    rounds: u32,
    a: f32,
    b: f32,
}

/// For each element of `x`, the sum of 12 chains v ← v a + b of 8 `rounds` links that start at x +
/// 0, 1/8, … 11/8. Has the shape of `x`.
///
/// # Panics
/// If there are over 60,000 rounds.
#[track_caller]
pub fn fma_chain(x: &Tensor, rounds: usize, [a, b]: [f32; 2]) -> Tensor {
    assert!(rounds <= LOOPS, "fma_chain: {rounds} rounds, over {LOOPS}");
    let y = Tensor::uninit(x.gpu(), x.shape());
    let params = Params {
        count: x.count() as u32,
        rounds: rounds as u32,
        a,
        b,
    };
    x.gpu().count_flops(2 * x.count() * CHAINS * LINKS * rounds);
    x.gpu().dispatch(
        &SHADER,
        "fma_chain",
        &[],
        &[x.buffer(), y.buffer()],
        &params,
        grid(x.count(), 64),
    );
    y
}

/// A copy of `x`, vec4 by vec4.
///
/// # Panics
/// If the number of elements is not a multiple of four.
#[track_caller]
pub fn copy(x: &Tensor) -> Tensor {
    assert_eq!(
        x.count() % 4,
        0,
        "copy: {:?} is not of whole vec4s",
        x.shape()
    );
    let y = Tensor::uninit(x.gpu(), x.shape());
    let vectors = x.count() / 4;
    let params = Params {
        count: vectors as u32,
        ..Params::zeroed()
    };
    x.gpu().dispatch(
        &SHADER,
        "copy",
        &[],
        &[x.buffer(), y.buffer()],
        &params,
        grid(vectors, 64),
    );
    y
}
