//! The nearest code of a vector, and the argmin of a row.

use bytemuck::{Pod, Zeroable};

use super::{LOOPS, linear};
use crate::gpu::{ALIGN, Buffer, Prefer, Shader, shader};
use crate::tensor::{Codes, Tensor};

pub(super) static SHADER: Shader = shader!("nearest");
pub(super) static VEC4: Shader = shader!("nearest_vec4");
pub(super) static AMONG: Shader = shader!("nearest_among");

/// Rows and codes that an invocation of `nearest` compares at a time.
const BLOCK: [usize; 2] = [4, 8];
/// Invocations that fill a GPU: with fewer rows, the codes are split.
const FILL: usize = 16_384;
/// Fewest codes that justify an invocation of their own; fewest rows and codes that justify a
/// product.
const LEAST: usize = 32;
/// Most scores to store at a time: 64 MiB.
const SCORES: usize = 1 << 24;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    d: u32,
    k: u32,
    part: u32,
}

/// argmin_k ‖z − e_k‖², ties to the lowest k: `z` [.., d], `codebook` [k, d] → codes [..]. Has no
/// gradient.
///
/// # Panics
/// If the last dimensions differ, or there is no code.
#[track_caller]
pub fn nearest(z: &Tensor, codebook: &Tensor) -> Codes {
    let [k, d] = codebook.dims();
    let mut positions = z.shape().dims().to_vec();
    assert_eq!(
        positions.pop(),
        Some(d),
        "nearest: z {:?} and codebook {:?}",
        z.shape(),
        codebook.shape()
    );
    // For every block of codes, an invocation takes one round per column and one more.
    assert!(
        k > 0 && d < LOOPS,
        "nearest: a codebook of {:?}",
        codebook.shape()
    );
    let rows: usize = positions.iter().product();
    let whole = d % 4 == 0 && k % 4 == 0 && rows.min(k) >= LEAST;
    // Products in f16 would leave too many candidates.
    let exact = z.gpu().cooperative().is_none();
    if whole && exact && z.gpu().prefers() != Prefer::Portable {
        return unfused(&z.detach().reshape([rows, d]), &codebook.detach()).reshape(positions);
    }
    let columns = if d % 4 == 0 { d / 4 } else { d };
    z.gpu().count_flops(2 * rows * k * d);
    let split = Split::new(rows, k, [BLOCK[0], LOOPS / (columns + 1) * BLOCK[1]], FILL);
    let params = Params {
        rows: rows as u32,
        d: d as u32,
        k: k as u32,
        part: split.part as u32,
    };
    let shader = if d % 4 == 0 { &VEC4 } else { &SHADER };
    split
        .first(z, params, |least, codes, groups| {
            let buffers = [z.buffer(), codebook.buffer(), least, codes];
            z.gpu()
                .dispatch(shader, "nearest", &[], &buffers, &params, groups);
        })
        .reshape(positions)
}

/// [`nearest`] of `z` [rows, d] by a product with the codebook, which leaves only a few candidate
/// codes whose distances must be summed.
fn unfused(z: &Tensor, codebook: &Tensor) -> Codes {
    let [rows, d] = z.dims();
    let [k, _] = codebook.dims();
    let gpu = z.gpu();
    let half = Tensor::uninit(gpu, [k]);
    let params = Params {
        rows: rows as u32,
        d: d as u32,
        k: k as u32,
        part: 0,
    };
    gpu.dispatch(
        &AMONG,
        "halves",
        &[],
        &[codebook.buffer(), half.buffer()],
        &params,
        [k.div_ceil(64) as u32, 1, 1],
    );
    let some = |z: &Tensor| {
        let [rows, _] = z.dims();
        let score = linear(z, codebook, Some(&half));
        // Whole rows where the loop limit allows: every part must sum a distance.
        let split = Split::new(rows, k, [1, LOOPS / (d / 4 + 2)], 1);
        let params = Params {
            rows: rows as u32,
            part: split.part as u32,
            ..params
        };
        split.first(z, params, |least, codes, groups| {
            let buffers = [
                z.buffer(),
                codebook.buffer(),
                least,
                codes,
                score.buffer(),
                half.buffer(),
            ];
            gpu.dispatch(&AMONG, "among", &[], &buffers, &params, groups);
        })
    };
    // As many rows at a time as their scores fit into `SCORES`.
    let most = (SCORES / k / ALIGN).max(1) * ALIGN;
    if rows <= most {
        return some(z);
    }
    let all = Codes::uninit(gpu, [rows]);
    for first in (0..rows).step_by(most) {
        let count = most.min(rows - first);
        let part = z
            .buffer()
            .slice(4 * (first * d) as u64, 4 * (count * d) as u64);
        gpu.copy(
            some(&Tensor::from_buffer(gpu, part, [count, d])).buffer(),
            all.buffer(),
            4 * first as u64,
        );
    }
    all
}

/// The column of the lowest entry of every row, ties to the first: `x` [.., k] → codes [..]. Has no
/// gradient.
///
/// # Panics
/// If `x` has no dimension or no column.
#[track_caller]
pub fn argmin(x: &Tensor) -> Codes {
    let mut positions = x.shape().dims().to_vec();
    let k = positions.pop().unwrap_or_default();
    assert!(k > 0, "argmin of {:?}", x.shape());
    let rows = positions.iter().product();
    let split = Split::new(rows, k, [1, LOOPS], FILL);
    let params = Params {
        rows: rows as u32,
        d: 0,
        k: k as u32,
        part: split.part as u32,
    };
    split
        .first(x, params, |least, codes, groups| {
            x.gpu().dispatch(
                &SHADER,
                "argmin",
                &[],
                &[x.buffer(), least, codes],
                &params,
                groups,
            );
        })
        .reshape(positions)
}

/// How the codes are split over invocations.
struct Split {
    rows: usize,
    /// Workgroups along the rows.
    groups: usize,
    /// Codes per part, a multiple of eight.
    part: usize,
    parts: usize,
}

impl Split {
    /// `block` rows per invocation, which takes at most `most` codes; about `fill` invocations,
    /// unless there are more rows.
    fn new(rows: usize, k: usize, [block, most]: [usize; 2], fill: usize) -> Split {
        let invocations = rows.div_ceil(block).max(1);
        let parts = (fill / invocations)
            .clamp(1, k.div_ceil(LEAST))
            .max(k.div_ceil(most));
        let part = k.div_ceil(parts).next_multiple_of(BLOCK[1]);
        Split {
            rows,
            groups: invocations.div_ceil(64),
            part,
            parts: k.div_ceil(part),
        }
    }

    /// Lets `record` write the lowest value and its code for every part and row, and picks the
    /// first part with the lowest value.
    fn first(
        &self,
        x: &Tensor,
        params: Params,
        record: impl FnOnce(&Buffer, &Buffer, [u32; 3]),
    ) -> Codes {
        let gpu = x.gpu();
        let least = Tensor::uninit(gpu, [self.parts, self.rows]);
        let codes = Codes::uninit(gpu, [self.parts, self.rows]);
        record(
            least.buffer(),
            codes.buffer(),
            [self.groups as u32, self.parts as u32, 1],
        );
        if self.parts == 1 {
            return codes;
        }
        let picked = Codes::uninit(gpu, [self.rows]);
        let buffers = [least.buffer(), codes.buffer(), picked.buffer()];
        gpu.dispatch(
            &SHADER,
            "first",
            &[],
            &buffers,
            &params,
            [self.rows.div_ceil(64) as u32, 1, 1],
        );
        picked
    }
}
