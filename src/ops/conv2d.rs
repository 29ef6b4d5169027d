//! Convolution.

mod kernels;
pub(super) mod params;

use super::family::{Gradient, SMALL, Tiled, tiled};
use super::layout::pad_last;
use super::matmul::{Trans, product_with_bias};
use super::reduce::sum_middle;
use super::unfold::unfold_rows;
use super::winograd::Transformed;
use super::{add, narrow, pad};
use crate::gpu::{Gpu, Prefer, Shader, shader};
use crate::tensor::Tensor;
use params::{ConvEpilogue, Params};

pub use params::{Conv, Mask};

pub(super) use kernels::{backward_input, backward_weight, forward};

pub(super) static SHADER: Shader = shader!("conv2d");
pub(super) static VEC4: Shader = shader!("conv2d_vec4");
pub(super) static LANES: Shader = shader!("conv2d_lanes");
pub(super) static TILED: Tiled = tiled!("conv2d_tiled");
pub(super) static TILED_INPUT: Tiled = tiled!("conv2d_tiled_input");
pub(super) static TILED_WEIGHT: Tiled = tiled!("conv2d_tiled_weight");

/// Two-dimensional convolution (cross-correlation, as in PyTorch): `x` [n, h, w, c], `weight`
/// [kernel_h, kernel_w, c, o], `bias` `[o]` → [n, out_h, out_w, o] with out = (size + 2 padding −
/// kernel) / stride + 1.
///
/// # Panics
/// If channels differ, the kernel is larger than the padded image, a mask has no centre (even
/// kernels), or one output sums more than some 60,000 terms (240,000 if all channels are multiples
/// of four; see [`LOOPS`](super::LOOPS)).
#[track_caller]
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, conv: Conv) -> Tensor {
    convolved(
        x,
        weight,
        ConvEpilogue {
            bias,
            residual: None,
        },
        conv,
    )
}

/// [`conv2d`] with `residual` [n, out_h, out_w, o] added in the same pass.
///
/// # Panics
/// As [`conv2d`], or if the residual's shape is not that of y.
#[track_caller]
pub fn conv2d_residual(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    conv: Conv,
    residual: &Tensor,
) -> Tensor {
    convolved(
        x,
        weight,
        ConvEpilogue {
            bias,
            residual: Some(residual),
        },
        conv,
    )
}

#[track_caller]
fn convolved(x: &Tensor, weight: &Tensor, added: ConvEpilogue, conv: Conv) -> Tensor {
    let params = params(x, weight, added, conv);
    let ConvEpilogue { bias, residual } = added;
    let [c, o] = [params.c, params.o].map(|d| d as usize);
    let and_residual = |y: Tensor| match residual {
        Some(residual) => add(&y, residual),
        None => y,
    };
    if conv.mask.is_none() && prefers_unfold(x.gpu(), c, o) {
        let rows = unfold_rows(x, params);
        let matrix = as_rows(weight);
        let y = product_with_bias(
            &rows.reshape([1, params.out_pixels(), rows.shape().last()]),
            &matrix,
            bias,
            Trans::default(),
        );
        let y = y.reshape(params.shapes()[2]);
        return and_residual(y.noted(&[&[weight], bias.as_slice()].concat()));
    }
    if let Some(PaddedWeight { weight, from, to }) = PaddedWeight::of(weight, c, o) {
        let bias = bias.map(|bias| pad_last(bias, to));
        return and_residual(narrow(
            &conv2d(&pad_last(x, from), &weight, bias.as_ref(), conv),
            0,
            o,
        ));
    }
    params.check_rounds("conv2d", if x.wants_grad() { c.max(o) } else { c });
    let squares = Transformed::default();
    let y = forward(x, weight, added, params, Gradient::Neither, &squares);
    let saved_x = x.detach();
    let saved_w = weight.detach();
    let squares = squares.for_backward(x);
    // Stands in for absent inputs; wants no gradient.
    let none = x.detach();
    let inputs = [x, weight, bias.unwrap_or(&none), residual.unwrap_or(&none)];
    let y = y.with_vjp(
        inputs,
        move |dy, [want_x, want_w, want_b, want_residual]| {
            // Before dx: dw transforms dy for both. dx may need the weight transformed too.
            let dw = want_w.then(|| {
                backward_weight([&saved_x, dy], params, Gradient::Right, &squares, want_b)
            });
            let (dw, db) = dw.unzip();
            let dx = want_x
                .then(|| backward_input(dy, &saved_w, None, params, Gradient::Left, &squares));
            let sum = || sum_middle(dy, [1, params.out_pixels(), o], 1.0, false).reshape([o]);
            [
                dx,
                dw,
                db.flatten().or_else(|| want_b.then(sum)),
                want_residual.then(|| dy.clone()),
            ]
        },
    );
    y.noted(&[&[weight], bias.as_slice()].concat())
}

/// Whether a convolution between few channels (`prefers_unfold` of them) and `many` is faster as a
/// product with [`unfold`]ed rows.
pub(super) fn prefers_unfold(gpu: &Gpu, prefers_unfold: usize, many: usize) -> bool {
    gpu.prefers() != Prefer::Portable && prefers_unfold < SMALL && many >= SMALL
}

/// A weight [kernel_h, kernel_w, a, b] as [1, kernel_h · kernel_w · a rounded up to a multiple of
/// four, b].
pub(super) fn as_rows(weight: &Tensor) -> Tensor {
    let [h, w, a, b] = weight.dims();
    let rows = h * w * a;
    let more = rows.next_multiple_of(4) - rows;
    let flat = weight.reshape([1, rows, b]);
    if more == 0 {
        flat
    } else {
        pad(&flat.reshape([1, 1, rows, b]), [0, 0, 0, more]).reshape([1, rows + more, b])
    }
}

/// A weight zero-padded to whole vec4s of channels.
pub(super) struct PaddedWeight {
    /// The weight with zeros appended along both channel dimensions.
    pub weight: Tensor,
    /// Channels of the weight's second-to-last dimension.
    pub from: usize,
    /// Channels of its last dimension.
    pub to: usize,
}

impl PaddedWeight {
    /// Pads a weight [kernel_h, kernel_w, c, o] on CPUs, where that is several times faster than
    /// kernels that go channel by channel; `None` if there is nothing to gain.
    pub fn of(weight: &Tensor, c: usize, o: usize) -> Option<PaddedWeight> {
        let [from, to] = [c, o].map(|channels| channels.next_multiple_of(4));
        if !weight.gpu().is_cpu() || [from, to] == [c, o] || from.max(to) < SMALL {
            return None;
        }
        let [h, w, ..] = weight.dims::<4>();
        let wide = pad_last(weight, to).reshape([h * w, 1, c, to]);
        Some(PaddedWeight {
            weight: pad(&wide, [0, 0, 0, from - c]).reshape([h, w, from, to]),
            from,
            to,
        })
    }
}

/// One-dimensional convolution with stride 1: `x` [n, length, c], `weight` [kernel, c, o], `bias`
/// `[o]` → [n, length + 2 padding − kernel + 1, o].
///
/// # Panics
/// As [`conv2d`].
#[track_caller]
pub fn conv1d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, padding: usize) -> Tensor {
    let [n, length, c] = x.dims();
    let [kernel, from, o] = weight.dims();
    let conv = Conv {
        padding: [0, padding],
        ..Conv::default()
    };
    let y = conv2d(
        &x.reshape([n, 1, length, c]),
        &weight.reshape([1, kernel, from, o]),
        bias,
        conv,
    );
    let [_, _, out, _] = y.dims();
    y.reshape([n, out, o])
}

#[track_caller]
fn params(x: &Tensor, weight: &Tensor, added: ConvEpilogue, conv: Conv) -> Params {
    let [.., c] = x.dims::<4>();
    let [kernel_h, kernel_w, from, o] = weight.dims();
    assert_eq!(
        c,
        from,
        "conv2d: channels of x {:?} and of weight {:?}",
        x.shape(),
        weight.shape()
    );
    if let Some(bias) = added.bias {
        assert_eq!(
            bias.dims(),
            [o],
            "conv2d: weight {:?} and bias {:?}",
            weight.shape(),
            bias.shape()
        );
    }
    let params = Params {
        o: o as u32,
        ..Params::of(x.dims(), [kernel_h, kernel_w], conv)
    };
    if let Some(residual) = added.residual {
        assert_eq!(
            params.shapes()[2],
            residual.shape(),
            "conv2d: shapes of y and of the residual"
        );
    }
    params
}
