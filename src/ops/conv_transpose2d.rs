//! Transposed convolution: the kernels of `conv2d` with input and output swapped.

use bytemuck::Zeroable;

use super::conv2d::params::{ConvEpilogue, Params};
use super::conv2d::{
    PaddedWeight, as_rows, backward_input, backward_weight, forward, prefers_unfold,
};
use super::family::Gradient;
use super::layout::pad_last;
use super::matmul::{Trans, matmul};
use super::reduce::sum_middle;
use super::unfold::fold_rows;
use super::winograd::Transformed;
use super::{add, narrow};
use crate::tensor::Tensor;

/// Stride, padding and output padding of a transposed convolution.
#[derive(Clone, Copy, Debug)]
pub struct ConvTranspose {
    /// Step between the output positions of neighbouring input pixels, both directions.
    pub stride: usize,
    /// Output pixels cropped on each side: above and below, left and right.
    pub padding: [usize; 2],
    /// Output pixels added below and right, fewer than `stride`. A convolution with this stride
    /// maps several sizes to one; zero selects the smallest of them.
    pub output_padding: [usize; 2],
}

impl Default for ConvTranspose {
    fn default() -> Self {
        ConvTranspose {
            stride: 1,
            padding: [0, 0],
            output_padding: [0, 0],
        }
    }
}

/// Two-dimensional transposed convolution, the gradient of [`conv2d`](super::conv2d()) with respect
/// to its input (Dumoulin & Visin 2016): y[n, s p + i − pad_h, s q + j − pad_w, o] += x[n, p, q, c]
/// weight[i, j, o, c]. `x` [n, h, w, c], `weight` [kernel_h, kernel_w, o, c], `bias` `[o]` → [n,
/// out_h, out_w, o] with out = (size − 1) stride − 2 padding + kernel + output_padding.
///
/// # Panics
/// If channels differ, the output padding is not below the stride, the padding leaves no output, or
/// one output sums too many terms, as in [`conv2d`](super::conv2d()).
#[track_caller]
pub fn conv_transpose2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    conv: ConvTranspose,
) -> Tensor {
    let params = params(x, weight, bias, conv);
    let [c, o] = [params.o, params.c].map(|d| d as usize);
    if prefers_unfold(x.gpu(), o, c) {
        let y = by_rows(x, weight, params);
        return match bias {
            Some(bias) => add(&y, bias).noted(&[weight, bias]),
            None => y.noted(&[weight]),
        };
    }
    // The weight is [kernel_h, kernel_w, o, c] here.
    if let Some(PaddedWeight {
        weight,
        from: to,
        to: from,
    }) = PaddedWeight::of(weight, o, c)
    {
        let bias = bias.map(|bias| pad_last(bias, to));
        return narrow(
            &conv_transpose2d(&pad_last(x, from), &weight, bias.as_ref(), conv),
            0,
            o,
        );
    }
    params.check_rounds(
        "conv_transpose2d",
        if x.wants_grad() { c.max(o) } else { c },
    );
    let y = backward_input(
        x,
        weight,
        bias,
        params,
        Gradient::Neither,
        &Transformed::default(),
    );
    let saved_x = x.detach();
    let saved_w = weight.detach();
    let backward = move |dy: &Tensor, [want_x, want_w, want_b]: [bool; 3]| {
        [
            want_x.then(|| {
                forward(
                    dy,
                    &saved_w,
                    ConvEpilogue::default(),
                    params,
                    Gradient::Left,
                    &Transformed::default(),
                )
            }),
            want_w.then(|| {
                backward_weight(
                    [dy, &saved_x],
                    params,
                    Gradient::Left,
                    &Transformed::default(),
                    false,
                )
                .0
            }),
            want_b.then(|| sum_middle(dy, [1, params.pixels(), o], 1.0, false).reshape([o])),
        ]
    };
    match bias {
        Some(bias) => y
            .with_vjp([x, weight, bias], backward)
            .noted(&[weight, bias]),
        None => y
            .with_vjp([x, weight], move |dy, [want_x, want_w]| {
                let [dx, dw, _] = backward(dy, [want_x, want_w, false]);
                [dx, dw]
            })
            .noted(&[weight]),
    }
}

/// As products of every pixel with the whole weight, then sums of the terms that fall on the same
/// pixel of y.
fn by_rows(x: &Tensor, weight: &Tensor, params: Params) -> Tensor {
    let [n, h, w, c] = x.dims();
    let weight = as_rows(weight);
    let rows = matmul(
        &x.reshape([1, n * h * w, c]),
        &weight,
        Trans { a: false, b: true },
    );
    let [_, _, width] = rows.dims();
    fold_rows(&rows.reshape([n, h, w, width]), params)
}

/// The parameters of the convolution from y to x.
#[track_caller]
fn params(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, conv: ConvTranspose) -> Params {
    let [batch, h, w, c] = x.dims();
    let [kernel_h, kernel_w, o, from] = weight.dims();
    assert_eq!(
        c,
        from,
        "conv_transpose2d: channels of x {:?} and of weight {:?}",
        x.shape(),
        weight.shape()
    );
    if let Some(bias) = bias {
        assert_eq!(
            bias.dims(),
            [o],
            "conv_transpose2d: weight {:?} and bias {:?}",
            weight.shape(),
            bias.shape()
        );
    }
    let ConvTranspose {
        stride,
        padding: [pad_h, pad_w],
        output_padding: [more_h, more_w],
    } = conv;
    let full_h = (h - 1) * stride + kernel_h + more_h;
    let full_w = (w - 1) * stride + kernel_w + more_w;
    assert!(
        more_h < stride && more_w < stride && full_h > 2 * pad_h && full_w > 2 * pad_w,
        "conv_transpose2d: x {:?} and weight {:?} with {conv:?}",
        x.shape(),
        weight.shape()
    );
    let [batch, y_h, y_w, o, h, w, c] =
        [batch, full_h - 2 * pad_h, full_w - 2 * pad_w, o, h, w, c].map(|v| v as u32);
    let [kernel_h, kernel_w, stride, pad_h, pad_w] =
        [kernel_h, kernel_w, stride, pad_h, pad_w].map(|v| v as u32);
    let taps = kernel_h * kernel_w;
    Params {
        batch,
        h: y_h,
        w: y_w,
        c: o,
        out_h: h,
        out_w: w,
        o: c,
        kernel_h,
        kernel_w,
        stride,
        pad_h,
        pad_w,
        taps,
        ..Params::zeroed()
    }
}
