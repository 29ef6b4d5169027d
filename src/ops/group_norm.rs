//! Group and layer normalisation, channels last.

use bytemuck::{Pod, Zeroable};

use super::grid;
use crate::gpu::{Shader, shader};
use crate::tensor::Tensor;

pub(super) static SHADER: Shader = shader!("group_norm");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    batch: u32,
    hw: u32,
    channels: u32,
    groups: u32,
    eps: f32,
}

/// Group normalisation (Wu & He 2018): y = γ (x − μ_g) / √(σ²_g + ε) + β.
/// `x` [n, hw, c] (positions in one dimension); `gamma`, `beta` `[c]`; `groups` divides c.
///
/// # Panics
/// If `groups` does not divide the channels, or sizes do not fit.
#[track_caller]
pub fn group_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, groups: usize, eps: f32) -> Tensor {
    let [n, hw, c] = x.dims();
    assert_eq!(c % groups, 0, "group_norm: {c} channels do not split into {groups} groups");
    assert!(
        gamma.dims() == [c] && beta.dims() == [c],
        "group_norm: x {:?}, gamma {:?}, beta {:?}",
        x.shape(),
        gamma.shape(),
        beta.shape()
    );
    let params = Params { batch: n as u32, hw: hw as u32, channels: c as u32, groups: groups as u32, eps };
    let (y, stats) = (Tensor::uninit(x.gpu(), [n, hw, c]), Tensor::uninit(x.gpu(), [n, groups, 2]));
    let buffers = [x.buffer(), gamma.buffer(), beta.buffer(), y.buffer(), stats.buffer()];
    x.gpu().dispatch(&SHADER, "forward", &[], &buffers, &params, grid(n * groups, 1));
    let (x_saved, gamma_saved) = (x.detach(), gamma.detach());
    y.with_vjp([x, gamma, beta], move |dy, [want_x, want_gamma, want_beta]| {
        let dx = want_x.then(|| {
            let dx = Tensor::uninit(dy.gpu(), [n, hw, c]);
            let buffers = [x_saved.buffer(), gamma_saved.buffer(), dy.buffer(), stats.buffer(), dx.buffer()];
            dy.gpu().dispatch(&SHADER, "backward_input", &[], &buffers, &params, grid(n * groups, 1));
            dx
        });
        if !want_gamma && !want_beta {
            return [dx, None, None];
        }
        let (dgamma, dbeta) = (Tensor::uninit(dy.gpu(), [c]), Tensor::uninit(dy.gpu(), [c]));
        let buffers = [x_saved.buffer(), dy.buffer(), stats.buffer(), dgamma.buffer(), dbeta.buffer()];
        dy.gpu().dispatch(&SHADER, "backward_affine", &[], &buffers, &params, [c as u32, 1, 1]);
        [dx, Some(dgamma), Some(dbeta)]
    })
}

/// Layer normalisation over the last dimension: y = γ (x − μ) / √(σ² + ε) + β; `gamma`, `beta` `[last]`.
///
/// # Panics
/// If sizes do not fit.
#[track_caller]
pub fn layer_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f32) -> Tensor {
    let (shape, last) = (x.shape(), x.shape().last());
    group_norm(&x.reshape([x.count() / last, 1, last]), gamma, beta, 1, eps).reshape(shape)
}
