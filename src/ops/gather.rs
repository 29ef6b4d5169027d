//! Rows of a table by index.

use bytemuck::{Pod, Zeroable};

use super::grid;
use super::reduce::sum_middle;
use crate::gpu::{Shader, shader};
use crate::tensor::{Codes, Tensor};

pub(super) static SHADER: Shader = shader!("gather");

/// Rows per chain, as in the WGSL.
const CHAIN: usize = 256;
/// Most rows that one invocation of the scatter sums; a multiple of [`CHAIN`].
const PART: usize = 32_768;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    d: u32,
    entries: u32,
    part: u32,
}

/// `y[.., :] = table[codes[..], :]`: `table` [k, d], `codes` of any shape → [codes' shape.., d]. A
/// code ≥ k gives zeros and contributes nothing to the gradient.
#[track_caller]
pub fn gather(table: &Tensor, codes: &Codes) -> Tensor {
    let [entries, d] = table.dims();
    let rows = codes.count();
    let dims: Vec<usize> = codes.shape().dims().iter().copied().chain([d]).collect();
    let y = Tensor::uninit(table.gpu(), dims);
    let params = Params {
        rows: rows as u32,
        d: d as u32,
        entries: entries as u32,
        part: 0,
    };
    table.gpu().dispatch(
        &SHADER,
        "gather",
        &[],
        &[codes.buffer(), table.buffer(), y.buffer()],
        &params,
        grid(rows * d, 64),
    );
    let codes = codes.clone();
    y.with_vjp([table], move |dy, _| {
        [Some(scatter_add(dy, &codes, entries))]
    })
    .noted(&[table])
}

/// `y[k] = Σ_{m: codes[m] = k} x[m]`: `x` [.., d], `codes` [..] → [entries, d]. Summed in the order
/// of m; codes ≥ `entries` are ignored. Has no gradient.
///
/// # Panics
/// If `x` does not have one row per code.
#[track_caller]
pub fn scatter_add(x: &Tensor, codes: &Codes, entries: usize) -> Tensor {
    Chains::new(codes, entries).sum(x)
}

/// How often each of `entries` codes occurs in `codes` [..] → `[entries]`. Has no gradient.
pub fn code_counts(codes: &Codes, entries: usize) -> Tensor {
    Chains::new(codes, entries).counts()
}

/// Linked lists of the rows with equal codes, so that summing these need not scan all rows.
pub(super) struct Chains {
    params: Params,
    parts: usize,
    head: Codes,
    next: Codes,
}

impl Chains {
    pub(super) fn new(codes: &Codes, entries: usize) -> Chains {
        let gpu = codes.gpu();
        let rows = codes.count();
        let chains = rows.div_ceil(CHAIN);
        let params = Params {
            rows: rows as u32,
            d: 0,
            entries: entries as u32,
            part: PART as u32,
        };
        let head = Codes::uninit(gpu, [chains, entries]);
        let next = Codes::uninit(gpu, [rows]);
        let buffers = [codes.buffer(), head.buffer(), next.buffer()];
        gpu.dispatch(
            &SHADER,
            "link",
            &[],
            &buffers,
            &params,
            [chains as u32, 1, 1],
        );
        Chains {
            params,
            parts: rows.div_ceil(PART).max(1),
            head,
            next,
        }
    }

    /// [entries, d]: for each code, the sum of its rows of `x`.
    #[track_caller]
    pub(super) fn sum(&self, x: &Tensor) -> Tensor {
        let entries = self.params.entries as usize;
        let d = x.shape().last();
        let shapes = (x.shape(), self.next.shape());
        assert_eq!(
            x.count(),
            self.next.count() * d,
            "scatter_add: x {:?} and codes {:?}",
            shapes.0,
            shapes.1
        );
        let y = Tensor::uninit(x.gpu(), [self.parts, entries, d]);
        let params = Params {
            d: d as u32,
            ..self.params
        };
        let groups = [
            (entries * d.div_ceil(4)).div_ceil(64) as u32,
            self.parts as u32,
            1,
        ];
        let buffers = [
            self.head.buffer(),
            self.next.buffer(),
            x.buffer(),
            y.buffer(),
        ];
        x.gpu()
            .dispatch(&SHADER, "scatter_add", &[], &buffers, &params, groups);
        self.join(y).reshape([entries, d])
    }

    /// `[entries]`: for each code, the number of its rows.
    pub(super) fn counts(&self) -> Tensor {
        let entries = self.params.entries as usize;
        let y = Tensor::uninit(self.head.gpu(), [self.parts, entries]);
        let buffers = [self.head.buffer(), self.next.buffer(), y.buffer()];
        let groups = [entries.div_ceil(64) as u32, self.parts as u32, 1];
        y.gpu()
            .dispatch(&SHADER, "counts", &[], &buffers, &self.params, groups);
        self.join(y).reshape([entries])
    }

    /// Sums over the parts.
    fn join(&self, y: Tensor) -> Tensor {
        match self.parts {
            1 => y,
            parts => sum_middle(&y, [1, parts, y.count() / parts], 1.0, false),
        }
    }
}
