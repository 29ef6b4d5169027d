//! Sums and means.

use bytemuck::{Pod, Zeroable};

use super::grid;
use crate::gpu::{GROUPS, Shader, variants};
use crate::tensor::{Shape, Tensor};

pub(super) static VARIANTS: [Shader; 2] = variants!("reduce");

/// Most terms that one invocation sums: one driver silently ends an invocation's loops after 65,535
/// rounds in all.
const PART: usize = 32_768;
/// Up to this many terms, one invocation always computes the whole sum.
const SHORT: usize = 256;
/// Fewest terms for which a workgroup sums 32 outputs on GPUs, and most in one pass.
const COLUMNS: [usize; 2] = [16, 1024];
/// Terms per output in the first of two such passes.
const COLUMNS_PART: usize = 256;
/// Outputs with which one invocation for each four fills a GPU.
const MANY: usize = 1 << 16;
/// Outputs per row from which on invocations side by side read whole cache lines.
const SIDE_BY_SIDE: usize = 32;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    outer: u32,
    middle: u32,
    inner: u32,
    count: u32,
    scale: f32,
}

/// `y[o, i] = scale · Σ_r x[o, r, i]` on raw sizes, without gradient; sums squares if `square`.
pub(super) fn sum_middle(
    x: &Tensor,
    [outer, middle, inner]: [usize; 3],
    scale: f32,
    square: bool,
) -> Tensor {
    let fours = inner.is_multiple_of(4) && x.count().is_multiple_of(4);
    let [few_terms, most_terms] = COLUMNS;
    let by_columns = x.gpu().runs_gpu_kernels()
        && fours
        && middle >= few_terms
        && outer * inner < MANY
        && outer <= GROUPS
        && middle <= 64 * PART;
    // Two passes where one would be too long, or where rows are long enough for coalesced reads.
    let part = if middle > 64 * PART {
        PART
    } else if by_columns {
        COLUMNS_PART.max(middle.isqrt())
    } else {
        middle.isqrt().max(SHORT / 4)
    };
    let long = if by_columns {
        middle > most_terms
    } else {
        middle > SHORT && inner >= SIDE_BY_SIDE
    };
    if outer == 1 && (middle > 64 * PART || long) {
        // The last row of the first pass may be short.
        let rows = sum_middle(x, [middle.div_ceil(part), part, inner], 1.0, square);
        return sum_middle(&rows, [1, rows.count() / inner, inner], scale, false);
    }
    assert!(
        middle <= 64 * PART,
        "sums over {middle} terms in one pass; a workgroup does {}",
        64 * PART
    );
    let outputs = outer * inner;
    let y = Tensor::uninit(x.gpu(), [outer, inner]);
    let params = Params {
        outer: outer as u32,
        middle: middle as u32,
        inner: inner as u32,
        count: x.count() as u32,
        scale,
    };
    let overrides = [("SQUARE", u32::from(square))];
    let buffers = [x.buffer(), y.buffer()];
    if by_columns {
        let groups = [inner.div_ceil(32) as u32, outer as u32, 1];
        let shader = x.gpu().form(&VARIANTS);
        x.gpu()
            .dispatch(shader, "columns", &overrides, &buffers, &params, groups);
        return y;
    }
    // One workgroup per output if there are few; one invocation per output if these fill the GPU or
    // the sum is short.
    if middle <= SHORT || (outputs >= 4096 && middle <= PART) {
        let (shader, entry, invocations) = if fours {
            (x.gpu().form(&VARIANTS), "fours", outputs / 4)
        } else {
            (&VARIANTS[0], "serial", outputs)
        };
        x.gpu().dispatch(
            shader,
            entry,
            &overrides,
            &buffers,
            &params,
            grid(invocations, 64),
        );
    } else {
        x.gpu().dispatch(
            &VARIANTS[0],
            "tree",
            &overrides,
            &buffers,
            &params,
            grid(outputs, 1),
        );
    }
    y
}

/// `y[o, i] = Σ_r x[r, o, i] + bias[i] + residual[o, i]` for the `parts` of a product, without
/// gradient. `inner` is a multiple of four.
pub(super) fn sum_parts(
    x: &Tensor,
    parts: usize,
    [outer, inner]: [usize; 2],
    [bias, residual]: [Option<&Tensor>; 2],
) -> Tensor {
    let y = Tensor::uninit(x.gpu(), [outer, inner]);
    let params = Params {
        outer: outer as u32,
        middle: parts as u32,
        inner: inner as u32,
        count: x.count() as u32,
        scale: 1.0,
    };
    let overrides = [
        ("BIAS", u32::from(bias.is_some())),
        ("RESIDUAL", u32::from(residual.is_some())),
    ];
    let buffers = [
        x.buffer(),
        y.buffer(),
        bias.unwrap_or(x).buffer(),
        residual.unwrap_or(x).buffer(),
    ];
    let shader = x.gpu().form(&VARIANTS);
    let groups = grid(outer * inner / 4, 64);
    x.gpu()
        .dispatch(shader, "parts", &overrides, &buffers, &params, groups);
    y
}

/// Sum over dimension `axis`, which is removed.
///
/// # Panics
/// If there is no such dimension.
#[track_caller]
pub fn sum(x: &Tensor, axis: usize) -> Tensor {
    scaled_sum(x, axis, 1.0)
}

/// Mean over dimension `axis`, which is removed.
///
/// # Panics
/// If there is no such dimension.
#[track_caller]
pub fn mean(x: &Tensor, axis: usize) -> Tensor {
    assert!(
        axis < x.shape().rank(),
        "mean over axis {axis} of {:?}",
        x.shape()
    );
    scaled_sum(x, axis, 1.0 / x.shape().dims()[axis] as f32)
}

#[track_caller]
fn scaled_sum(x: &Tensor, axis: usize, scale: f32) -> Tensor {
    let shape = x.shape();
    let dims = shape.dims();
    assert!(axis < dims.len(), "sum over axis {axis} of {shape:?}");
    let sizes = [
        dims[..axis].iter().product(),
        dims[axis],
        dims[axis + 1..].iter().product(),
    ];
    let kept: Vec<usize> = dims
        .iter()
        .enumerate()
        .filter(|&(i, _)| i != axis)
        .map(|(_, &d)| d)
        .collect();
    sum_middle(x, sizes, scale, false)
        .reshape(kept)
        .with_vjp([x], move |dy, _| [Some(spread(dy, sizes, shape, scale))])
}

/// Sum of all elements, shape `[]`.
pub fn sum_all(x: &Tensor) -> Tensor {
    all(x, 1.0)
}

/// Mean of all elements, shape `[]`.
pub fn mean_all(x: &Tensor) -> Tensor {
    all(x, 1.0 / x.count() as f32)
}

fn all(x: &Tensor, scale: f32) -> Tensor {
    let shape = x.shape();
    total(x, scale, false).with_vjp([x], move |dy, _| {
        [Some(spread(dy, [1, shape.count(), 1], shape, scale))]
    })
}

/// `scale · Σ x` (or Σ x²) as a scalar, without gradient. Sums the columns of rows of 1,024 first,
/// to fill the GPU.
pub(super) fn total(x: &Tensor, scale: f32, square: bool) -> Tensor {
    let count = x.count();
    let row = 1024;
    if count <= row {
        return sum_middle(x, [1, count, 1], scale, square).reshape([]);
    }
    let columns = sum_middle(x, [1, count.div_ceil(row), row], 1.0, square);
    sum_middle(&columns, [1, row, 1], scale, false).reshape([])
}

/// Σ x² as a scalar; has no gradient. For norms of gradients.
pub fn squared_norm(x: &Tensor) -> Tensor {
    total(&x.detach(), 1.0, true)
}

/// The gradient of a sum over the middle dimension: `scale · dy` at every element that was summed.
fn spread(dy: &Tensor, [outer, middle, inner]: [usize; 3], shape: Shape, scale: f32) -> Tensor {
    let dx = Tensor::uninit(dy.gpu(), shape);
    let params = Params {
        outer: outer as u32,
        middle: middle as u32,
        inner: inner as u32,
        count: dy.count() as u32,
        scale,
    };
    dy.gpu().dispatch(
        &VARIANTS[0],
        "spread",
        &[],
        &[dy.buffer(), dx.buffer()],
        &params,
        grid(dx.count(), 64),
    );
    dx
}

/// `x` summed over the dimensions in which `shape` has size 1 or that it lacks: the gradient of
/// broadcasting.
pub fn sum_to(x: &Tensor, shape: Shape) -> Tensor {
    if x.shape() == shape {
        return x.clone();
    }
    let rank = x.shape().rank();
    let target = shape.padded(rank);
    let mut sizes: Vec<usize> = x.shape().dims().to_vec();
    let mut y = x.detach();
    // Sum each run of adjacent dimensions in one pass, from the last.
    let mut end = rank;
    while end > 0 {
        let summed = |i: usize, sizes: &[usize]| target[i] == 1 && sizes[i] != 1;
        if !summed(end - 1, &sizes) {
            end -= 1;
            continue;
        }
        let mut begin = end - 1;
        while begin > 0 && (summed(begin - 1, &sizes) || sizes[begin - 1] == 1) {
            begin -= 1;
        }
        let around = [
            sizes[..begin].iter().product(),
            sizes[begin..end].iter().product(),
            sizes[end..].iter().product(),
        ];
        y = sum_middle(&y, around, 1.0, false);
        sizes[begin..end].fill(1);
        end = begin;
    }
    y.reshape(shape)
}
