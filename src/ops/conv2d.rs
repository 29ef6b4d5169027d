//! Convolution.

mod kernels;

use bytemuck::{Pod, Zeroable};

use super::family::{Gradient, SMALL, Tiled, tiled};
use super::layout::fit;
use super::matmul::{Trans, product_with_bias};
use super::reduce::sum_middle;
use super::unfold::unfold_rows;
use super::winograd::Squares;
use super::{LOOPS, add, narrow, pad};
use crate::gpu::{Buffer, Gpu, Prefer, Shader, shader};
use crate::tensor::{Shape, Tensor};

pub(super) use kernels::{backward_input, backward_weight, forward};

pub(super) static SHADER: Shader = shader!("conv2d");
pub(super) static VEC4: Shader = shader!("conv2d_vec4");
pub(super) static LANES: Shader = shader!("conv2d_lanes");
pub(super) static TILED: Tiled = tiled!("conv2d_tiled");
pub(super) static TILED_INPUT: Tiled = tiled!("conv2d_tiled_input");
pub(super) static TILED_WEIGHT: Tiled = tiled!("conv2d_tiled_weight");
/// Of `unfold.rs`, with the same parameters.
pub(super) static UNFOLD: Shader = shader!("unfold");

/// Stride, zero padding and mask.
#[derive(Clone, Copy, Debug)]
pub struct Conv {
    /// Step between output pixels, both directions.
    pub stride: usize,
    /// Zeros added on each side: above and below, left and right.
    pub padding: [usize; 2],
    /// Which taps of the kernel count; `None`: all.
    pub mask: Option<Mask>,
}

impl Default for Conv {
    fn default() -> Self {
        Conv {
            stride: 1,
            padding: [0, 0],
            mask: None,
        }
    }
}

/// The taps of a causal kernel, in raster order (PixelCNN, van den Oord et al. 2016); the same for
/// all channels. With padding (kernel − 1) / 2 a pixel then sees only pixels before it. Weights at
/// other taps are never read, and their gradient is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// Those before the centre: for the first layer. Of a 1 x 1 kernel none are left, and only the
    /// bias counts.
    A,
    /// Those before the centre, and the centre: for all other layers.
    B,
}

/// As in `shaders/shared/conv.wgsl`. A transposed convolution has the parameters of the one whose
/// gradient it is.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct Params {
    pub batch: u32,
    pub h: u32,
    pub w: u32,
    pub c: u32,
    pub out_h: u32,
    pub out_w: u32,
    pub o: u32,
    pub kernel_h: u32,
    pub kernel_w: u32,
    pub stride: u32,
    pub pad_h: u32,
    pub pad_w: u32,
    pub taps: u32,
    pub part: u32,
    pub bias: u32,
    pub residual: u32,
}

/// What is added to a convolution in the same pass: a bias `[o]`, and a residual of y's shape.
#[derive(Clone, Copy, Default)]
pub(super) struct Added<'a> {
    pub bias: Option<&'a Tensor>,
    pub residual: Option<&'a Tensor>,
}

impl<'a> Added<'a> {
    /// Both buffers, `other`'s where there is none.
    pub fn buffers(&self, other: &'a Tensor) -> [&'a Buffer; 2] {
        [self.bias, self.residual].map(|added| added.unwrap_or(other).buffer())
    }

    /// Which of them there are.
    pub fn flags(&self) -> [u32; 2] {
        [self.bias, self.residual].map(|added| u32::from(added.is_some()))
    }
}

impl Params {
    /// For images [n, h, w, c] of `dims`, and no output channels yet.
    #[track_caller]
    pub fn of(dims: [usize; 4], [kernel_h, kernel_w]: [usize; 2], conv: Conv) -> Params {
        let [batch, h, w, c] = dims;
        let [pad_h, pad_w] = conv.padding;
        let padded_h = h + 2 * pad_h;
        let padded_w = w + 2 * pad_w;
        assert!(
            kernel_h <= padded_h && kernel_w <= padded_w && conv.stride > 0,
            "conv2d: a kernel of {kernel_h} x {kernel_w} on {dims:?} with {conv:?}"
        );
        let odd = kernel_h % 2 == 1 && kernel_w % 2 == 1;
        assert!(
            odd || conv.mask.is_none(),
            "conv2d: a mask needs a centre, {kernel_h} x {kernel_w} has none"
        );
        let centre = kernel_h / 2 * kernel_w + kernel_w / 2;
        let taps = match conv.mask {
            None => kernel_h * kernel_w,
            Some(Mask::A) => centre,
            Some(Mask::B) => centre + 1,
        };
        let out_h = (padded_h - kernel_h) / conv.stride + 1;
        let out_w = (padded_w - kernel_w) / conv.stride + 1;
        let [batch, h, w, c, out_h, out_w, taps] =
            [batch, h, w, c, out_h, out_w, taps].map(|v| v as u32);
        let [kernel_h, kernel_w, stride, pad_h, pad_w] =
            [kernel_h, kernel_w, conv.stride, pad_h, pad_w].map(|v| v as u32);
        let rest = Params::zeroed();
        Params {
            batch,
            h,
            w,
            c,
            out_h,
            out_w,
            kernel_h,
            kernel_w,
            stride,
            pad_h,
            pad_w,
            taps,
            ..rest
        }
    }

    /// Whether all channels come in vec4.
    pub(super) fn fours(&self) -> bool {
        self.c.is_multiple_of(4) && self.o.is_multiple_of(4)
    }

    /// The shapes of x, the weight and y.
    pub fn shapes(&self) -> [Shape; 3] {
        let [x, y] = [
            [self.batch, self.h, self.w, self.c],
            [self.batch, self.out_h, self.out_w, self.o],
        ];
        [x, [self.kernel_h, self.kernel_w, self.c, self.o], y]
            .map(|dims| Shape::from(dims.map(|d| d as usize)))
    }

    /// Multiplications and additions of any of the three directions, taps on the padding among
    /// them.
    fn flops(&self) -> usize {
        2 * self.out_pixels() * (self.o * self.c) as usize * self.taps as usize
    }

    /// Pixels on the side that `forward` reads.
    pub fn pixels(&self) -> usize {
        (self.batch * self.h * self.w) as usize
    }

    /// Pixels on the side that `forward` writes.
    pub fn out_pixels(&self) -> usize {
        (self.batch * self.out_h * self.out_w) as usize
    }

    /// Refuses kernels of which one invocation cannot sum all terms, `depth` channels a tap.
    #[track_caller]
    pub fn check_rounds(&self, op: &str, depth: usize) {
        let taps = self.taps as usize;
        let rounds = taps
            * if self.fours() {
                depth / 4 + 1
            } else {
                depth + 1
            };
        assert!(
            rounds <= LOOPS,
            "{op}: {taps} taps of {depth} channels are {rounds} rounds an invocation, over {LOOPS}"
        );
    }
}

/// Two-dimensional convolution (cross-correlation, as PyTorch's): `x` [n, h, w, c], `weight`
/// [kernel_h, kernel_w, c, o], `bias` `[o]` → [n, out_h, out_w, o] with out = (size + 2 padding −
/// kernel) / stride + 1.
///
/// # Panics
/// If channels differ, the kernel is larger than the padded image, a mask has no centre (even
/// kernels), or one output is a sum of more than some 60,000 terms (240,000 where all channels are
/// multiples of four; see [`LOOPS`]).
#[track_caller]
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, conv: Conv) -> Tensor {
    convolved(
        x,
        weight,
        Added {
            bias,
            residual: None,
        },
        conv,
    )
}

/// [`conv2d`] with `residual` [n, out_h, out_w, o] added in the same pass.
///
/// # Panics
/// As [`conv2d`], or if the residual has another shape than y.
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
        Added {
            bias,
            residual: Some(residual),
        },
        conv,
    )
}

#[track_caller]
fn convolved(x: &Tensor, weight: &Tensor, added: Added, conv: Conv) -> Tensor {
    let params = params(x, weight, added, conv);
    let Added { bias, residual } = added;
    let [c, o] = [params.c, params.o].map(|d| d as usize);
    let and_residual = |y: Tensor| match residual {
        Some(residual) => add(&y, residual),
        None => y,
    };
    if conv.mask.is_none() && few(x.gpu(), c, o) {
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
    if let Some(Fours { weight, from, to }) = Fours::of(weight, c, o) {
        let bias = bias.map(|bias| fit(bias, to));
        return and_residual(narrow(
            &conv2d(&fit(x, from), &weight, bias.as_ref(), conv),
            0,
            o,
        ));
    }
    params.check_rounds("conv2d", if x.wants_grad() { c.max(o) } else { c });
    let squares = Squares::default();
    let y = forward(x, weight, added, params, Gradient::Neither, &squares);
    let saved_x = x.detach();
    let saved_w = weight.detach();
    let squares = squares.for_backward(x);
    // Stands for what is not there: wants no gradient.
    let none = x.detach();
    let inputs = [x, weight, bias.unwrap_or(&none), residual.unwrap_or(&none)];
    let y = y.with_vjp(
        inputs,
        move |dy, [want_x, want_w, want_b, want_residual]| {
            // Before dx, which may need squares of the weight too.
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

/// Whether a convolution from (to) `few` channels to (from) `many` is faster as a product with
/// [`unfold`]ed rows.
pub(super) fn few(gpu: &Gpu, few: usize, many: usize) -> bool {
    gpu.prefers() != Prefer::Portable && few < SMALL && many >= SMALL
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

/// What makes a convolution one of whole vec4s of channels.
pub(super) struct Fours {
    /// The weight with zeros behind both kinds of channels.
    pub weight: Tensor,
    /// Channels of the weight's last dimension but one.
    pub from: usize,
    /// Channels of its last.
    pub to: usize,
}

impl Fours {
    /// For a weight [kernel_h, kernel_w, c, o] on CPUs, where that is several times faster than
    /// kernels that go channel by channel; `None` if there is nothing to gain.
    pub fn of(weight: &Tensor, c: usize, o: usize) -> Option<Fours> {
        let [from, to] = [c, o].map(|channels| channels.next_multiple_of(4));
        if !weight.gpu().is_cpu() || [from, to] == [c, o] || from.max(to) < SMALL {
            return None;
        }
        let [h, w, ..] = weight.dims::<4>();
        let wide = fit(weight, to).reshape([h * w, 1, c, to]);
        Some(Fours {
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
fn params(x: &Tensor, weight: &Tensor, added: Added, conv: Conv) -> Params {
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
