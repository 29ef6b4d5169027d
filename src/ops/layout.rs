//! Transposing, concatenating and slicing.

use bytemuck::{Pod, Zeroable};

use super::grid;
use crate::gpu::{Shader, variants};
use crate::tensor::{Shape, Tensor};

pub(super) static VARIANTS: [Shader; 3] = variants!("layout", "ones");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Transpose {
    batch: u32,
    rows: u32,
    columns: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Row {
    rows: u32,
    c: u32,
    out_c: u32,
    start: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Turn {
    n: u32,
    from_a: u32,
    from_b: u32,
    from_c: u32,
    to_a: u32,
    to_b: u32,
    to_c: u32,
}

/// `x` [.., a, b] with its last two dimensions swapped → [.., b, a].
///
/// # Panics
/// If `x` has fewer than two dimensions.
#[track_caller]
pub fn transpose(x: &Tensor) -> Tensor {
    let rank = x.shape().rank();
    assert!(rank >= 2, "transpose of {:?}", x.shape());
    let mut dims = x.shape().dims().to_vec();
    dims.swap(rank - 2, rank - 1);
    let [columns, rows] = [dims[rank - 2], dims[rank - 1]];
    let batch: usize = dims[..rank - 2].iter().product();
    let y = Tensor::uninit(x.gpu(), dims);
    let params = Transpose {
        batch: batch as u32,
        rows: rows as u32,
        columns: columns as u32,
    };
    let groups = grid(batch * rows.div_ceil(4) * columns.div_ceil(4), 64);
    x.gpu().dispatch(
        &VARIANTS[0],
        "transpose_blocks",
        &[],
        &[x.buffer(), y.buffer()],
        &params,
        groups,
    );
    y.with_vjp([x], |dy, _| [Some(transpose(dy))])
}

/// Channels last: `x` [n, c, h, w] → [n, h, w, c].
#[track_caller]
pub fn to_nhwc(x: &Tensor) -> Tensor {
    let [n, c, h, w] = x.dims();
    transpose(&x.reshape([n, c, h * w])).reshape([n, h, w, c])
}

/// Channels first, as in files and other libraries: `x` [n, h, w, c] → [n, c, h, w].
#[track_caller]
pub fn to_nchw(x: &Tensor) -> Tensor {
    let [n, h, w, c] = x.dims();
    transpose(&x.reshape([n, h * w, c])).reshape([n, c, h, w])
}

/// Concatenates `a` [.., c1] and `b` [.., c2] along the last dimension → [.., c1 + c2].
///
/// # Panics
/// If any other dimension differs.
#[track_caller]
pub fn concat(a: &Tensor, b: &Tensor) -> Tensor {
    let c1 = a.shape().last();
    let c2 = b.shape().last();
    let shape = with_last(a.shape(), c1 + c2);
    assert_eq!(
        shape,
        with_last(b.shape(), c1 + c2),
        "concat: {:?} and {:?}",
        a.shape(),
        b.shape()
    );
    let y = Tensor::uninit(a.gpu(), shape);
    let rows = a.count() / c1;
    let (shader, each) = a.gpu().form_of(&VARIANTS, &[c1, c2]);
    let [c, out_c] = [c1, c1 + c2].map(|c| (c / each) as u32);
    let params = Row {
        rows: rows as u32,
        c,
        out_c,
        start: 0,
    };
    let buffers = [a.buffer(), b.buffer(), y.buffer()];
    a.gpu().dispatch(
        shader,
        "concat",
        &[],
        &buffers,
        &params,
        grid(y.count() / each, 64),
    );
    y.with_vjp([a, b], move |dy, [want_a, want_b]| {
        [
            want_a.then(|| window(dy, 0, c1)),
            want_b.then(|| window(dy, c1 as isize, c2)),
        ]
    })
}

/// `length` elements of the last dimension, from `start` on: `x` [.., c] → [.., length].
///
/// # Panics
/// If `x` has fewer.
#[track_caller]
pub fn narrow(x: &Tensor, start: usize, length: usize) -> Tensor {
    let c = x.shape().last();
    assert!(
        length > 0 && start + length <= c,
        "narrow of {:?}: {length} from {start}",
        x.shape()
    );
    window(x, start as isize, length)
        .with_vjp([x], move |dy, _| [Some(window(dy, -(start as isize), c))])
}

/// `x` [.., c] with the last dimension cut or zero-padded at its end → [.., to].
pub(super) fn pad_last(x: &Tensor, to: usize) -> Tensor {
    let c = x.shape().last();
    if to == c {
        return x.clone();
    }
    window(x, 0, to).with_vjp([x], move |dy, _| [Some(window(dy, 0, c))])
}

/// `length` elements of the last dimension from `start` on, zero where `x` has none.
fn window(x: &Tensor, start: isize, length: usize) -> Tensor {
    let c = x.shape().last();
    let y = Tensor::uninit(x.gpu(), with_last(x.shape(), length));
    let rows = x.count() / c;
    let (shader, each) = x
        .gpu()
        .form_of(&VARIANTS, &[c, length, start.unsigned_abs()]);
    let [c, out_c] = [c, length].map(|c| (c / each) as u32);
    let params = Row {
        rows: rows as u32,
        c,
        out_c,
        start: (start / each as isize) as u32,
    };
    x.gpu().dispatch(
        shader,
        "window",
        &[],
        &[x.buffer(), y.buffer()],
        &params,
        grid(y.count() / each, 64),
    );
    y
}

/// `y[n, b, a, c] = x[n, a, b, c]` with `to` as the sizes after the first dimension: cut or
/// zero-padded at the ends.
pub(super) fn permute(x: &Tensor, to: [usize; 3]) -> Tensor {
    let [n, a, b, c] = x.dims();
    let [to_a, to_b, to_c] = to;
    if to_c == c && ([a, to_b] == [1, 1] || [b, to_a] == [1, 1]) {
        // Memory order stays the same.
        return pad_last(&x.reshape([n, a * b * c]), to_a * to_b * to_c)
            .reshape([n, to_a, to_b, to_c]);
    }
    let y = Tensor::uninit(x.gpu(), [n, to_a, to_b, to_c]);
    let (shader, each) = x.gpu().form_of(&VARIANTS, &[c, to_c]);
    let [n, from_a, from_b, from_c] = [n, a, b, c / each].map(|size| size as u32);
    let [to_a, to_b, to_c] = [to_a, to_b, to_c / each].map(|size| size as u32);
    let params = Turn {
        n,
        from_a,
        from_b,
        from_c,
        to_a,
        to_b,
        to_c,
    };
    x.gpu().dispatch(
        shader,
        "permute",
        &[],
        &[x.buffer(), y.buffer()],
        &params,
        grid(y.count() / each, 64),
    );
    y.with_vjp([x], move |dy, _| [Some(permute(dy, [a, b, c]))])
}

/// `shape` with its last dimension replaced.
fn with_last(shape: Shape, size: usize) -> Shape {
    let mut dims = shape.dims().to_vec();
    dims.pop();
    dims.push(size);
    Shape::from(dims)
}
