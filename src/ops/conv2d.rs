//! Convolution.

use bytemuck::{Pod, Zeroable};

use super::layout::widen;
use super::reduce::sum_middle;
use super::{LOOPS, grid, narrow, pad};
use crate::gpu::{ALIGN, Gpu, Override, Shader, shader};
use crate::tensor::Tensor;

pub(super) static SHADER: Shader = shader!("conv2d");
pub(super) static VEC4: Shader = shader!("conv2d_vec4");
pub(super) static LANES: Shader = shader!("conv2d_lanes");

/// Channels below which kernels for subgroups do not pay, and up to which a subgroup's block is half as wide.
const SMALL: usize = 16;
const NARROW: usize = 32;

/// Most output pixels of one part of the weight's gradient, unless its parts would be larger than `PARTIAL` together.
const PART: usize = 2048;

/// Numbers that the parts of a weight's gradient may have together: half of WebGPU's smallest binding limit.
const PARTIAL: usize = 1 << 24;

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
        Conv { stride: 1, padding: [0, 0], mask: None }
    }
}

/// The taps of a causal kernel, in raster order (PixelCNN, van den Oord et al. 2016); the same for all channels.
/// With padding (kernel − 1) / 2 a pixel then sees only pixels before it. Weights at other taps are never read, and
/// their gradient is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// Those before the centre: for the first layer. Of a 1 x 1 kernel none are left, and only the bias counts.
    A,
    /// Those before the centre, and the centre: for all other layers.
    B,
}

/// As in `shaders/shared/conv.wgsl`. A transposed convolution has the parameters of the one whose gradient it is.
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
}

impl Params {
    /// Whether all channels come in vec4.
    fn fours(&self) -> bool {
        self.c.is_multiple_of(4) && self.o.is_multiple_of(4)
    }

    /// The kernel that writes `channels` of `pixels`, in each of `phases`.
    fn plan(&self, gpu: &Gpu, phases: usize, pixels: usize, channels: u32) -> Plan {
        let channels = channels as usize;
        let blocks = |rows, columns| phases * pixels.div_ceil(rows) * channels.div_ceil(columns);
        if self.fours() && gpu.has_lanes() && channels >= SMALL {
            let (wide, columns) = width(channels);
            Plan { shader: &LANES, overrides: vec![wide], groups: grid(blocks(32, columns), 1) }
        } else {
            let (shader, rows) = if self.fours() { (&VEC4, 8) } else { (&SHADER, 4) };
            Plan { shader, overrides: Vec::new(), groups: grid(blocks(rows, 4), 64) }
        }
    }

    /// Multiplications and additions of any of the three directions, taps on the padding among them.
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
        let rounds = taps * if self.fours() { depth / 4 + 1 } else { depth + 1 };
        assert!(
            rounds <= LOOPS,
            "{op}: {taps} taps of {depth} channels are {rounds} rounds an invocation, over {LOOPS}"
        );
    }
}

/// What is dispatched.
struct Plan {
    shader: &'static Shader,
    overrides: Vec<Override>,
    groups: [u32; 3],
}

/// The width of a subgroup's block for this many channels: override, and channels.
fn width(channels: usize) -> (Override, usize) {
    if channels > NARROW { (("WIDE", 1), 2 * NARROW) } else { (("WIDE", 0), NARROW) }
}

/// Two-dimensional convolution (cross-correlation, as PyTorch's): `x` [n, h, w, c], `weight` [kernel_h, kernel_w, c, o],
/// `bias` `[o]` → [n, out_h, out_w, o] with out = (size + 2 padding − kernel) / stride + 1.
///
/// # Panics
/// If channels differ, the kernel is larger than the padded image, a mask has no centre (even kernels), or one output is
/// a sum of more than some 60,000 terms (240,000 where all channels are multiples of four; see [`LOOPS`]).
#[track_caller]
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, conv: Conv) -> Tensor {
    let params = params(x, weight, bias, conv);
    let [c, o] = [params.c, params.o].map(|d| d as usize);
    if let Some(Fours { weight, from, to }) = Fours::of(weight, c, o) {
        let bias = bias.map(|bias| widen(bias, to));
        return narrow(&conv2d(&widen(x, from), &weight, bias.as_ref(), conv), 0, o);
    }
    params.check_rounds("conv2d", if x.wants_grad() { c.max(o) } else { c });
    let y = forward(x, weight, bias, params);
    let (saved_x, saved_w) = (x.detach(), weight.detach());
    let backward = move |dy: &Tensor, [want_x, want_w, want_b]: [bool; 3]| {
        let dx = want_x.then(|| backward_input(dy, &saved_w, None, params));
        let (dw, db) = want_w.then(|| backward_weight(&saved_x, dy, &saved_w, params, want_b)).unzip();
        let sum = || sum_middle(dy, [1, params.out_pixels(), o], 1.0, false).reshape([o]);
        [dx, dw, db.flatten().or_else(|| want_b.then(sum))]
    };
    match bias {
        Some(bias) => y.with_vjp([x, weight, bias], backward).noted(&[weight, bias]),
        None => y
            .with_vjp([x, weight], move |dy, [want_x, want_w]| {
                let [dx, dw, _] = backward(dy, [want_x, want_w, false]);
                [dx, dw]
            })
            .noted(&[weight]),
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
    /// For a weight [kernel_h, kernel_w, c, o] on CPUs, where that is several times faster than kernels that go channel by
    /// channel; `None` if there is nothing to gain.
    pub fn of(weight: &Tensor, c: usize, o: usize) -> Option<Fours> {
        let [from, to] = [c, o].map(|channels| channels.next_multiple_of(4));
        if !weight.gpu().is_cpu() || [from, to] == [c, o] || from.max(to) < SMALL {
            return None;
        }
        let [h, w, ..] = weight.dims::<4>();
        let wide = widen(weight, to).reshape([h * w, 1, c, to]);
        Some(Fours { weight: pad(&wide, [0, 0, 0, from - c]).reshape([h, w, from, to]), from, to })
    }
}

/// One-dimensional convolution with stride 1: `x` [n, length, c], `weight` [kernel, c, o], `bias` `[o]` →
/// [n, length + 2 padding − kernel + 1, o].
///
/// # Panics
/// As [`conv2d`].
#[track_caller]
pub fn conv1d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, padding: usize) -> Tensor {
    let ([n, length, c], [kernel, from, o]) = (x.dims(), weight.dims());
    let conv = Conv { padding: [0, padding], ..Conv::default() };
    let y = conv2d(&x.reshape([n, 1, length, c]), &weight.reshape([1, kernel, from, o]), bias, conv);
    let [_, _, out, _] = y.dims();
    y.reshape([n, out, o])
}

#[track_caller]
fn params(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, conv: Conv) -> Params {
    let ([batch, h, w, c], [kernel_h, kernel_w, from, o]) = (x.dims(), weight.dims());
    assert_eq!(c, from, "conv2d: channels of x {:?} and of weight {:?}", x.shape(), weight.shape());
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
    let odd = kernel_h % 2 == 1 && kernel_w % 2 == 1;
    assert!(odd || conv.mask.is_none(), "conv2d: a mask needs a centre, weight {:?} has none", weight.shape());
    let centre = kernel_h / 2 * kernel_w + kernel_w / 2;
    let taps = match conv.mask {
        None => kernel_h * kernel_w,
        Some(Mask::A) => centre,
        Some(Mask::B) => centre + 1,
    };
    let out_h = (padded_h - kernel_h) / conv.stride + 1;
    let out_w = (padded_w - kernel_w) / conv.stride + 1;
    let [batch, h, w, c, out_h, out_w, o] = [batch, h, w, c, out_h, out_w, o].map(|v| v as u32);
    let [kernel_h, kernel_w, stride, pad_h, pad_w] = [kernel_h, kernel_w, conv.stride, pad_h, pad_w].map(|v| v as u32);
    let (taps, rest) = (taps as u32, Params::zeroed());
    Params { batch, h, w, c, out_h, out_w, o, kernel_h, kernel_w, stride, pad_h, pad_w, taps, ..rest }
}

/// y of `x`, without history.
pub(super) fn forward(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, params: Params) -> Tensor {
    x.gpu().count_flops(params.flops());
    let y = Tensor::uninit(x.gpu(), [params.batch, params.out_h, params.out_w, params.o].map(|d| d as usize));
    let Plan { shader, overrides, groups } = params.plan(x.gpu(), 1, params.out_pixels(), params.o);
    let buffers = [x.buffer(), weight.buffer(), bias.unwrap_or(weight).buffer(), y.buffer()];
    let params = Params { bias: u32::from(bias.is_some()), ..params };
    x.gpu().dispatch(shader, "forward", &overrides, &buffers, &params, groups);
    y
}

/// dx of `dy`, plus `bias` `[c]`.
pub(super) fn backward_input(dy: &Tensor, weight: &Tensor, bias: Option<&Tensor>, params: Params) -> Tensor {
    dy.gpu().count_flops(params.flops());
    let dx = Tensor::uninit(dy.gpu(), [params.batch, params.h, params.w, params.c].map(|d| d as usize));
    // Phase by phase of the stride: see the WGSL.
    let [batch, h, w, stride] = [params.batch, params.h, params.w, params.stride].map(|v| v as usize);
    let pixels = batch * h.div_ceil(stride) * w.div_ceil(stride);
    let Plan { shader, overrides, groups } = params.plan(dy.gpu(), stride * stride, pixels, params.c);
    let buffers = [weight.buffer(), bias.unwrap_or(weight).buffer(), dy.buffer(), dx.buffer()];
    let params = Params { bias: u32::from(bias.is_some()), ..params };
    dy.gpu().dispatch(shader, "backward_input", &overrides, &buffers, &params, groups);
    dx
}

/// dw, of `weight`'s shape, and where the kernel has it at hand and it is wanted, db `[o]`.
pub(super) fn backward_weight(
    x: &Tensor,
    dy: &Tensor,
    weight: &Tensor,
    params: Params,
    want_b: bool,
) -> (Tensor, Option<Tensor>) {
    let (pixels, count) = (params.out_pixels(), weight.count());
    let taps = (params.kernel_h * params.kernel_w) as usize;
    let [c, o] = [params.c, params.o].map(|d| d as usize);
    let lanes = params.fours() && x.gpu().has_lanes() && c.min(o) >= SMALL;
    let (wide, columns) = width(o);
    // Workgroups of a part, and how many of them, over all parts, keep the device busy.
    let (groups, enough) = match lanes {
        true => (taps * c.div_ceil(32) * o.div_ceil(columns), 64),
        false => ((taps * c.div_ceil(4) * o.div_ceil(4)).div_ceil(64), 64),
    };
    // No part longer than PART while memory allows.
    let least = pixels.div_ceil((PARTIAL / count).max(1));
    let part = (pixels * groups / enough).clamp(64, PART).max(least).min(LOOPS).min(pixels);
    let parts = pixels.div_ceil(part);
    // The bias's gradient comes out of it as the last row, if that can begin a tensor; a mask may leave no tap to make it.
    let with_bias = want_b && lanes && count % ALIGN == 0 && params.taps > 0;
    let numbers = if with_bias { count + o } else { count };
    x.gpu().count_flops(params.flops());
    let partial = Tensor::uninit(x.gpu(), [parts, numbers]);
    let buffers = [x.buffer(), dy.buffer(), partial.buffer()];
    let params = Params { part: part as u32, bias: u32::from(with_bias), ..params };
    let (shader, overrides): (_, &[Override]) = match (lanes, params.fours()) {
        (true, _) => (&LANES, &[wide]),
        (false, true) => (&VEC4, &[]),
        (false, false) => (&SHADER, &[]),
    };
    x.gpu().dispatch(shader, "backward_weight", overrides, &buffers, &params, [groups as u32, parts as u32, 1]);
    let sum = if parts == 1 { partial } else { sum_middle(&partial, [1, parts, numbers], 1.0, false) };
    let slice = |start: usize, count: usize| sum.buffer().slice(4 * start as u64, 4 * count as u64);
    let dw = Tensor::from_buffer(x.gpu(), slice(0, count), weight.shape());
    (dw, with_bias.then(|| Tensor::from_buffer(x.gpu(), slice(count, o), [o])))
}
