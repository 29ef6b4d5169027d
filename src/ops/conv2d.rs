//! Convolution, channels last.

use bytemuck::{Pod, Zeroable};

use super::grid;
use super::reduce::sum_middle;
use crate::gpu::{Shader, shader};
use crate::tensor::Tensor;

pub(super) static SHADER: Shader = shader!("conv2d");
pub(super) static VEC4: Shader = shader!("conv2d_vec4");

/// Most output pixels of one part of the weight's gradient.
const PART: usize = 2048;

/// Stride and zero padding.
#[derive(Clone, Copy, Debug)]
pub struct Conv {
    /// Step between output pixels, both directions.
    pub stride: usize,
    /// Zeros added on each side: above and below, left and right.
    pub padding: [usize; 2],
}

impl Default for Conv {
    fn default() -> Self {
        Conv { stride: 1, padding: [0, 0] }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    batch: u32,
    h: u32,
    w: u32,
    c: u32,
    out_h: u32,
    out_w: u32,
    o: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride: u32,
    pad_h: u32,
    pad_w: u32,
    part: u32,
}

impl Params {
    /// The file for these channels, and the pixels that one invocation of its `forward` and `backward_input` owns.
    fn kernel(&self) -> (&'static Shader, usize) {
        if self.c.is_multiple_of(4) && self.o.is_multiple_of(4) { (&VEC4, 8) } else { (&SHADER, 4) }
    }
}

/// Two-dimensional convolution (cross-correlation, as PyTorch's): `x` [n, h, w, c], `weight` [kernel_h, kernel_w, c, o],
/// `bias` `[o]` → [n, out_h, out_w, o] with out = (size + 2 padding − kernel) / stride + 1.
///
/// # Panics
/// If channels differ or the kernel is larger than the padded image.
#[track_caller]
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, conv: Conv) -> Tensor {
    let params = params(x, weight, bias, conv);
    let y = Tensor::uninit(x.gpu(), [params.batch, params.out_h, params.out_w, params.o].map(|d| d as usize));
    let pixels = (params.batch * params.out_h * params.out_w) as usize;
    let buffers = [x.buffer(), weight.buffer(), bias.unwrap_or(weight).buffer(), y.buffer()];
    let (shader, rows) = params.kernel();
    let groups = grid(pixels.div_ceil(rows) * (params.o as usize).div_ceil(4), 64);
    x.gpu().dispatch(shader, "forward", &[("BIAS", u32::from(bias.is_some()))], &buffers, &params, groups);
    let (saved_x, saved_w) = (x.detach(), weight.detach());
    let backward = move |dy: &Tensor, [want_x, want_w, want_b]: [bool; 3]| {
        [
            want_x.then(|| backward_input(&saved_x, &saved_w, dy, params)),
            want_w.then(|| backward_weight(&saved_x, &saved_w, dy, params)),
            want_b.then(|| sum_middle(dy, [1, pixels, params.o as usize], 1.0, false).reshape([params.o as usize])),
        ]
    };
    match bias {
        Some(bias) => y.with_vjp([x, weight, bias], backward),
        None => y.with_vjp([x, weight], move |dy, [want_x, want_w]| {
            let [dx, dw, _] = backward(dy, [want_x, want_w, false]);
            [dx, dw]
        }),
    }
}

/// One-dimensional convolution with stride 1: `x` [n, length, c], `weight` [kernel, c, o], `bias` `[o]` →
/// [n, length + 2 padding − kernel + 1, o].
///
/// # Panics
/// As [`conv2d`].
#[track_caller]
pub fn conv1d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, padding: usize) -> Tensor {
    let ([n, length, c], [kernel, wc, o]) = (x.dims(), weight.dims());
    let conv = Conv { stride: 1, padding: [0, padding] };
    let y = conv2d(&x.reshape([n, 1, length, c]), &weight.reshape([1, kernel, wc, o]), bias, conv);
    let [_, _, out, _] = y.dims();
    y.reshape([n, out, o])
}

#[track_caller]
fn params(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, conv: Conv) -> Params {
    let ([batch, h, w, c], [kernel_h, kernel_w, wc, o]) = (x.dims(), weight.dims());
    assert_eq!(c, wc, "conv2d: channels of x {:?} and weight {:?}", x.shape(), weight.shape());
    if let Some(bias) = bias {
        assert_eq!(bias.dims(), [o], "conv2d: weight {:?} and bias {:?}", weight.shape(), bias.shape());
    }
    let [pad_h, pad_w] = conv.padding;
    let (padded_h, padded_w) = (h + 2 * pad_h, w + 2 * pad_w);
    assert!(
        kernel_h <= padded_h && kernel_w <= padded_w && conv.stride > 0,
        "conv2d: kernel of weight {:?} on x {:?} with {conv:?}",
        weight.shape(),
        x.shape()
    );
    let out_h = (padded_h - kernel_h) / conv.stride + 1;
    let out_w = (padded_w - kernel_w) / conv.stride + 1;
    let [batch, h, w, c, out_h, out_w, o] = [batch, h, w, c, out_h, out_w, o].map(|v| v as u32);
    let [kernel_h, kernel_w, stride, pad_h, pad_w] = [kernel_h, kernel_w, conv.stride, pad_h, pad_w].map(|v| v as u32);
    Params { batch, h, w, c, out_h, out_w, o, kernel_h, kernel_w, stride, pad_h, pad_w, part: 0 }
}

fn backward_input(x: &Tensor, weight: &Tensor, dy: &Tensor, params: Params) -> Tensor {
    let dx = Tensor::uninit(x.gpu(), x.shape());
    let pixels = (params.batch * params.h * params.w) as usize;
    let (shader, rows) = params.kernel();
    let groups = grid(pixels.div_ceil(rows) * (params.c as usize).div_ceil(4), 64);
    let buffers = [weight.buffer(), dy.buffer(), dx.buffer()];
    x.gpu().dispatch(shader, "backward_input", &[], &buffers, &params, groups);
    dx
}

fn backward_weight(x: &Tensor, weight: &Tensor, dy: &Tensor, params: Params) -> Tensor {
    let pixels = (params.batch * params.out_h * params.out_w) as usize;
    let taps = (params.kernel_h * params.kernel_w) as usize;
    let blocks = taps * (params.c as usize).div_ceil(4) * (params.o as usize).div_ceil(4);
    // Enough parts that some thousand invocations run, none longer than PART.
    let part = (pixels * blocks / 4096).clamp(64, PART).min(pixels);
    let parts = pixels.div_ceil(part);
    let partial = Tensor::uninit(x.gpu(), [parts, weight.count()]);
    let buffers = [x.buffer(), dy.buffer(), partial.buffer()];
    let groups = [blocks.div_ceil(64) as u32, parts as u32, 1];
    x.gpu().dispatch(
        params.kernel().0,
        "backward_weight",
        &[],
        &buffers,
        &Params { part: part as u32, ..params },
        groups,
    );
    sum_middle(&partial, [1, parts, weight.count()], 1.0, false).reshape(weight.shape())
}
