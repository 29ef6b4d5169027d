//! Batch normalisation with given statistics.

use bytemuck::{Pod, Zeroable};

use super::grid;
use super::reduce::sum_middle;
use crate::gpu::{Shader, shader};
use crate::tensor::Tensor;

pub(super) static SHADER: Shader = shader!("batch_norm");

/// Most rows per part of the gradients of γ and β.
const PART: usize = 4096;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    c: u32,
    part: u32,
    eps: f32,
}

/// Batch normalisation in inference mode (Ioffe & Szegedy 2015): y = γ (x − μ) / √(σ² + ε) + β; the
/// statistics are constants without gradient. `x` [.., c]; `gamma`, `beta`, `mean` (μ) and `var`
/// (σ²) `[c]`.
///
/// # Panics
/// If sizes do not fit.
#[track_caller]
pub fn batch_norm(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    mean: &Tensor,
    var: &Tensor,
    eps: f32,
) -> Tensor {
    let shape = x.shape();
    let c = x.shape().last();
    for (name, of_channels) in [
        ("gamma", gamma),
        ("beta", beta),
        ("mean", mean),
        ("var", var),
    ] {
        assert_eq!(
            of_channels.dims(),
            [c],
            "batch_norm: {name} for x {shape:?}"
        );
    }
    let rows = x.count() / c;
    // Enough parts for a few thousand invocations.
    let part = (x.count() / 4096).clamp(64, PART);
    let params = Params {
        rows: rows as u32,
        c: c as u32,
        part: part as u32,
        eps,
    };
    let y = Tensor::uninit(x.gpu(), shape);
    let groups = grid(x.count(), 64);
    let buffers = [
        x.buffer(),
        gamma.buffer(),
        beta.buffer(),
        mean.buffer(),
        var.buffer(),
        y.buffer(),
    ];
    x.gpu()
        .dispatch(&SHADER, "forward", &[], &buffers, &params, groups);
    let [saved_x, saved_gamma, mean, var] = [x, gamma, mean, var].map(Tensor::detach);
    y.with_vjp(
        [x, gamma, beta],
        move |dy, [want_x, want_gamma, want_beta]| {
            let dx = want_x.then(|| {
                let dx = Tensor::uninit(dy.gpu(), shape);
                let buffers = [saved_gamma.buffer(), var.buffer(), dy.buffer(), dx.buffer()];
                dy.gpu()
                    .dispatch(&SHADER, "backward_input", &[], &buffers, &params, groups);
                dx
            });
            if !want_gamma && !want_beta {
                return [dx, None, None];
            }
            let parts = rows.div_ceil(part);
            let [dgamma, dbeta] = [(); 2].map(|()| Tensor::uninit(dy.gpu(), [parts, c]));
            let buffers = [
                saved_x.buffer(),
                mean.buffer(),
                var.buffer(),
                dy.buffer(),
                dgamma.buffer(),
                dbeta.buffer(),
            ];
            let groups = [c.div_ceil(64) as u32, parts as u32, 1];
            dy.gpu()
                .dispatch(&SHADER, "backward_affine", &[], &buffers, &params, groups);
            let [dgamma, dbeta] = [dgamma, dbeta]
                .map(|planes| sum_middle(&planes, [1, parts, c], 1.0, false).reshape([c]));
            [dx, Some(dgamma), Some(dbeta)]
        },
    )
}
