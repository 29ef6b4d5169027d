//! Gated activation.

use bytemuck::{Pod, Zeroable};

use super::grid;
use crate::gpu::{Shader, shader};
use crate::tensor::Tensor;

pub(super) static SHADER: Shader = shader!("gated");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    count: u32,
    c: u32,
}

/// tanh(a) · σ(b), where a and b are the halves of the last dimension (van den Oord et al. 2016):
/// `x` [.., 2c] → [.., c].
///
/// # Panics
/// If the last dimension is odd.
#[track_caller]
pub fn gated(x: &Tensor) -> Tensor {
    let mut dims = x.shape().dims().to_vec();
    let last = dims.last_mut().filter(|last| **last % 2 == 0);
    let Some(last) = last else {
        panic!(
            "gated: the last dimension of x {:?} has no halves",
            x.shape()
        )
    };
    *last /= 2;
    let params = Params {
        count: (x.count() / 2) as u32,
        c: *last as u32,
    };
    let y = Tensor::uninit(x.gpu(), &dims);
    let groups = grid((x.count() / 2).div_ceil(4), 64);
    x.gpu().dispatch(
        &SHADER,
        "forward",
        &[],
        &[x.buffer(), y.buffer()],
        &params,
        groups,
    );
    let saved = x.detach();
    y.with_vjp([x], move |dy, _| {
        let dx = Tensor::uninit(dy.gpu(), saved.shape());
        let buffers = [saved.buffer(), dy.buffer(), dx.buffer()];
        dy.gpu()
            .dispatch(&SHADER, "backward", &[], &buffers, &params, groups);
        [Some(dx)]
    })
}
