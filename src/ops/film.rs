//! Feature-wise modulation by the time step, with SiLU.

use bytemuck::{Pod, Zeroable};

use super::{LOOPS, grid};
use crate::gpu::{Shader, shader};
use crate::tensor::Tensor;

pub(super) static SHADER: Shader = shader!("film");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    batch: u32,
    length: u32,
    c: u32,
}

/// silu(x · s + b), where (s, b) are the halves of each sample's modulation (FiLM, Perez et al.
/// 2018): `x` [n, l, c], `modulation` [n, 2c].
///
/// # Panics
/// If shapes do not fit, or there are over [`LOOPS`] positions.
#[track_caller]
pub fn film_silu(x: &Tensor, modulation: &Tensor) -> Tensor {
    let [n, length, c] = x.dims();
    assert_eq!(
        modulation.dims(),
        [n, 2 * c],
        "film_silu: x {:?} and its modulation",
        x.shape()
    );
    // One invocation loops over all positions of a channel.
    assert!(
        length <= LOOPS,
        "film_silu: {length} positions; there may be {LOOPS}"
    );
    let params = Params {
        batch: n as u32,
        length: length as u32,
        c: c as u32,
    };
    let y = Tensor::uninit(x.gpu(), x.shape());
    let groups = grid(n * c, 64);
    x.gpu().dispatch(
        &SHADER,
        "forward",
        &[],
        &[x.buffer(), modulation.buffer(), y.buffer()],
        &params,
        groups,
    );
    let saved_x = x.detach();
    let saved = modulation.detach();
    y.with_vjp([x, modulation], move |dy, _| {
        let dx = Tensor::uninit(dy.gpu(), dy.shape());
        let dmodulation = Tensor::uninit(dy.gpu(), [n, 2 * c]);
        let buffers = [
            saved_x.buffer(),
            saved.buffer(),
            dy.buffer(),
            dx.buffer(),
            dmodulation.buffer(),
        ];
        dy.gpu()
            .dispatch(&SHADER, "backward", &[], &buffers, &params, groups);
        [Some(dx), Some(dmodulation)]
    })
}
