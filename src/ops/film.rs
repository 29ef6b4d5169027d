//! Modulation by the time step, with SiLU.

use bytemuck::{Pod, Zeroable};

use super::{grid, scatter_add};
use crate::gpu::{Shader, shader};
use crate::tensor::{Codes, Tensor};

pub(super) static SHADER: Shader = shader!("film");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    batch: u32,
    length: u32,
    c: u32,
    entries: u32,
}

/// silu(x · s + b), (s, b) the halves of the row that each sample's time step picks (FiLM, Perez et al. 2018):
/// `x` [n, l, c], `table` [entries, 2c], `t` [n].
///
/// # Panics
/// If shapes do not fit.
#[track_caller]
pub fn film_silu(x: &Tensor, table: &Tensor, t: &Codes) -> Tensor {
    let ([n, length, c], [entries, two_c]) = (x.dims(), table.dims());
    let fits = two_c == 2 * c && t.count() == n;
    assert!(fits, "film_silu: x {:?}, table {:?}, t {:?}", x.shape(), table.shape(), t.shape());
    let params = Params { batch: n as u32, length: length as u32, c: c as u32, entries: entries as u32 };
    let (y, groups) = (Tensor::uninit(x.gpu(), x.shape()), grid(n * c, 64));
    let buffers = [x.buffer(), table.buffer(), t.buffer(), y.buffer()];
    x.gpu().dispatch(&SHADER, "forward", &[], &buffers, &params, groups);
    let (saved_x, saved_table, t) = (x.detach(), table.detach(), t.clone());
    y.with_vjp([x, table], move |dy, [_, want_table]| {
        let (dx, dfilm) = (Tensor::uninit(dy.gpu(), dy.shape()), Tensor::uninit(dy.gpu(), [n, 2 * c]));
        let buffers = [saved_x.buffer(), saved_table.buffer(), t.buffer(), dy.buffer(), dx.buffer(), dfilm.buffer()];
        dy.gpu().dispatch(&SHADER, "backward", &[], &buffers, &params, groups);
        [Some(dx), want_table.then(|| scatter_add(&dfilm, &t, entries))]
    })
}
