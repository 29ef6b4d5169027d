//! Rows of a table by index.

use bytemuck::{Pod, Zeroable};

use super::grid;
use super::reduce::sum_middle;
use crate::gpu::{Shader, shader};
use crate::tensor::{Codes, Tensor};

pub(super) static SHADER: Shader = shader!("gather");

/// Rows that one invocation of the scatter looks through.
const PART: usize = 4096;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    d: u32,
    entries: u32,
    part: u32,
}

/// `y[.., :] = table[codes[..], :]`: `table` [k, d], `codes` of any shape → [codes' shape.., d]. A code ≥ k reads the last row.
#[track_caller]
pub fn gather(table: &Tensor, codes: &Codes) -> Tensor {
    let [entries, d] = table.dims();
    let rows = codes.count();
    let dims: Vec<usize> = codes.shape().dims().iter().copied().chain([d]).collect();
    let y = Tensor::uninit(table.gpu(), dims);
    let params = Params { rows: rows as u32, d: d as u32, entries: entries as u32, part: 0 };
    table.gpu().dispatch(
        &SHADER,
        "gather",
        &[],
        &[codes.buffer(), table.buffer(), y.buffer()],
        &params,
        grid(rows * d, 64),
    );
    let codes = codes.clone();
    y.with_vjp([table], move |dy, _| [Some(scatter_add(dy, &codes, entries))])
}

/// `y[k] = Σ_{m: codes[m] = k} x[m]`: `x` [.., d], `codes` [..] → [entries, d]. Summed in the order of m.
///
/// # Panics
/// If `x` does not have one row a code.
#[track_caller]
pub fn scatter_add(x: &Tensor, codes: &Codes, entries: usize) -> Tensor {
    let (rows, d) = (codes.count(), x.shape().last());
    assert_eq!(x.count(), rows * d, "scatter_add: x {:?} and codes {:?}", x.shape(), codes.shape());
    let (part, parts) = (PART.min(rows), rows.div_ceil(PART).max(1));
    let y = Tensor::uninit(x.gpu(), [parts, entries, d]);
    let params = Params { rows: rows as u32, d: d as u32, entries: entries as u32, part: part as u32 };
    let groups = [(entries * d).div_ceil(64) as u32, parts as u32, 1];
    x.gpu().dispatch(&SHADER, "scatter_add", &[], &[codes.buffer(), x.buffer(), y.buffer()], &params, groups);
    if parts == 1 {
        return y.reshape([entries, d]);
    }
    sum_middle(&y, [1, parts, entries * d], 1.0, false).reshape([entries, d])
}
