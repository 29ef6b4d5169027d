//! Squared error.

use bytemuck::{Pod, Zeroable};

use super::{affine, grid, reduce};
use crate::gpu::{Shader, shader};
use crate::tensor::Tensor;

pub(super) static SHADER: Shader = shader!("mse");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    count: u32,
    per_sample: u32,
    scale: f32,
}

/// Mean over all elements of (a − b)²; shape `[]`.
///
/// # Panics
/// If shapes differ.
#[track_caller]
pub fn mse(a: &Tensor, b: &Tensor) -> Tensor {
    squared_error(a, b, None)
}

/// Mean over all elements of `w[n]` (a − b)²; `weight` `[n]`, `a` and `b` [n, ..]; shape `[]`. The
/// weights have no gradient.
///
/// # Panics
/// If shapes differ.
#[track_caller]
pub fn weighted_mse(a: &Tensor, b: &Tensor, weight: &Tensor) -> Tensor {
    squared_error(a, b, Some(weight))
}

#[track_caller]
fn squared_error(a: &Tensor, b: &Tensor, weight: Option<&Tensor>) -> Tensor {
    assert_eq!(a.shape(), b.shape(), "mse: shapes of both sides");
    let n = weight.map_or(1, |w| w.count());
    assert!(
        n == 1 || a.shape().dims()[0] == n,
        "mse: a {:?} and {n} weights",
        a.shape()
    );
    let params = Params {
        count: a.count() as u32,
        per_sample: (a.count() / n) as u32,
        scale: 1.0 / a.count() as f32,
    };
    let overrides = [("WEIGHTED", u32::from(weight.is_some()))];
    let weight = weight.unwrap_or(b).detach();
    let groups = grid(a.count().div_ceil(4), 64);
    let terms = Tensor::uninit(a.gpu(), a.shape());
    let buffers = [a.buffer(), b.buffer(), weight.buffer(), terms.buffer()];
    a.gpu()
        .dispatch(&SHADER, "forward", &overrides, &buffers, &params, groups);
    let saved_a = a.detach();
    let saved_b = b.detach();
    reduce::total(&terms, 1.0, false).with_vjp([a, b], move |dy, [_, want_b]| {
        let da = Tensor::uninit(dy.gpu(), saved_a.shape());
        let buffers = [
            saved_a.buffer(),
            saved_b.buffer(),
            weight.buffer(),
            dy.buffer(),
            da.buffer(),
        ];
        dy.gpu()
            .dispatch(&SHADER, "backward", &overrides, &buffers, &params, groups);
        let db = want_b.then(|| affine(&da, -1.0, 0.0));
        [Some(da), db]
    })
}
