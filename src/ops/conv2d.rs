//! Convolution.

use bytemuck::{Pod, Zeroable};

use super::family::{Family, noise, question};
use super::layout::widen;
use super::matmul::product_with_bias;
use super::reduce::sum_middle;
use super::unfold::unfold_rows;
use super::{LOOPS, grid, narrow, pad};
use crate::gpu::{ALIGN, Gpu, Override, Prefer, Shader, shader};
use crate::tensor::{Shape, Tensor};

pub(super) static SHADER: Shader = shader!("conv2d");
pub(super) static VEC4: Shader = shader!("conv2d_vec4");
pub(super) static LANES: Shader = shader!("conv2d_lanes");
pub(super) static TILED: Shader = shader!("conv2d_tiled");
pub(super) static TILED_INPUT: Shader = shader!("conv2d_tiled_input");
pub(super) static TILED_WEIGHT: Shader = shader!("conv2d_tiled_weight");
/// Of `unfold.rs`, with the same parameters.
pub(super) static UNFOLD: Shader = shader!("unfold");

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
    /// For images [n, h, w, c] of `dims`, and no output channels yet.
    #[track_caller]
    pub fn of(dims: [usize; 4], [kernel_h, kernel_w]: [usize; 2], conv: Conv) -> Params {
        let [batch, h, w, c] = dims;
        let [pad_h, pad_w] = conv.padding;
        let (padded_h, padded_w) = (h + 2 * pad_h, w + 2 * pad_w);
        assert!(
            kernel_h <= padded_h && kernel_w <= padded_w && conv.stride > 0,
            "conv2d: a kernel of {kernel_h} x {kernel_w} on {dims:?} with {conv:?}"
        );
        let odd = kernel_h % 2 == 1 && kernel_w % 2 == 1;
        assert!(odd || conv.mask.is_none(), "conv2d: a mask needs a centre, {kernel_h} x {kernel_w} has none");
        let centre = kernel_h / 2 * kernel_w + kernel_w / 2;
        let taps = match conv.mask {
            None => kernel_h * kernel_w,
            Some(Mask::A) => centre,
            Some(Mask::B) => centre + 1,
        };
        let out_h = (padded_h - kernel_h) / conv.stride + 1;
        let out_w = (padded_w - kernel_w) / conv.stride + 1;
        let [batch, h, w, c, out_h, out_w, taps] = [batch, h, w, c, out_h, out_w, taps].map(|v| v as u32);
        let [kernel_h, kernel_w, stride, pad_h, pad_w] =
            [kernel_h, kernel_w, conv.stride, pad_h, pad_w].map(|v| v as u32);
        let rest = Params::zeroed();
        Params { batch, h, w, c, out_h, out_w, kernel_h, kernel_w, stride, pad_h, pad_w, taps, ..rest }
    }

    /// Whether all channels come in vec4.
    fn fours(&self) -> bool {
        self.c.is_multiple_of(4) && self.o.is_multiple_of(4)
    }

    /// How `family` writes `channels` of `pixels`, in each of `phases`, with these tiles.
    fn plan(family: Family, tiled: &'static Shader, phases: usize, pixels: usize, channels: u32) -> Plan {
        let channels = channels as usize;
        let blocks = |rows, columns| phases * pixels.div_ceil(rows) * channels.div_ceil(columns);
        let plan = |shader, overrides, groups| Plan { shader, overrides, groups };
        match family {
            Family::Scalar => plan(&SHADER, Vec::new(), grid(blocks(4, 4), 64)),
            Family::Vec4 => plan(&VEC4, Vec::new(), grid(blocks(8, 4), 64)),
            Family::Lanes => {
                let (wide, columns) = width(channels);
                plan(&LANES, vec![wide], grid(blocks(32, columns), 1))
            }
            Family::Tiled(tile) => plan(tiled, tile.overrides().to_vec(), grid(blocks(tile.height(), tile.width()), 1)),
        }
    }

    /// The family for outputs of so many rows and columns; see [`Family::or_fastest`].
    fn family<F: Fn(Family) -> Tensor>(
        &self,
        gpu: &Gpu,
        op: &'static str,
        outputs: [usize; 2],
        make: impl FnOnce() -> F,
    ) -> Family {
        let rule = Family::by_rule(gpu, self.fours(), outputs);
        let shaders = [&VEC4, &LANES, &TILED, &TILED_INPUT, &TILED_WEIGHT];
        let sizes: &[u32] = bytemuck::cast_slice(std::slice::from_ref(self));
        rule.or_fastest(gpu, question(op, &shaders, sizes), |_| true, make)
    }

    /// The shapes of x, the weight and y.
    pub fn shapes(&self) -> [Shape; 3] {
        let [x, y] = [[self.batch, self.h, self.w, self.c], [self.batch, self.out_h, self.out_w, self.o]];
        [x, [self.kernel_h, self.kernel_w, self.c, self.o], y].map(|dims| Shape::from(dims.map(|d| d as usize)))
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
    if conv.mask.is_none() && few(x.gpu(), c, o) {
        let (rows, matrix) = (unfold_rows(x, params), as_rows(weight));
        let y = product_with_bias(&rows.reshape([1, params.out_pixels(), rows.shape().last()]), &matrix, bias);
        let y = y.reshape(params.shapes()[2]);
        return y.noted(&[&[weight], bias.as_slice()].concat());
    }
    if let Some(Fours { weight, from, to }) = Fours::of(weight, c, o) {
        let bias = bias.map(|bias| widen(bias, to));
        return narrow(&conv2d(&widen(x, from), &weight, bias.as_ref(), conv), 0, o);
    }
    params.check_rounds("conv2d", if x.wants_grad() { c.max(o) } else { c });
    let y = forward(x, weight, bias, params);
    let (saved_x, saved_w) = (x.detach(), weight.detach());
    let backward = move |dy: &Tensor, [want_x, want_w, want_b]: [bool; 3]| {
        let dx = want_x.then(|| backward_input(dy, &saved_w, None, params));
        let (dw, db) = want_w.then(|| backward_weight(&saved_x, dy, params, want_b)).unzip();
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

/// Whether a convolution from (to) `few` channels to (from) `many` is faster as a product with [`unfold`]ed rows.
pub(super) fn few(gpu: &Gpu, few: usize, many: usize) -> bool {
    gpu.prefers() != Prefer::Portable && few < SMALL && many >= SMALL
}

/// A weight [kernel_h, kernel_w, a, b] as [1, kernel_h · kernel_w · a rounded up to a multiple of four, b].
pub(super) fn as_rows(weight: &Tensor) -> Tensor {
    let [h, w, a, b] = weight.dims();
    let rows = h * w * a;
    let more = rows.next_multiple_of(4) - rows;
    let flat = weight.reshape([1, rows, b]);
    if more == 0 { flat } else { pad(&flat.reshape([1, 1, rows, b]), [0, 0, 0, more]).reshape([1, rows + more, b]) }
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
    let ([.., c], [kernel_h, kernel_w, from, o]) = (x.dims::<4>(), weight.dims());
    assert_eq!(c, from, "conv2d: channels of x {:?} and of weight {:?}", x.shape(), weight.shape());
    if let Some(bias) = bias {
        assert_eq!(bias.dims(), [o], "conv2d: weight {:?} and bias {:?}", weight.shape(), bias.shape());
    }
    Params { o: o as u32, ..Params::of(x.dims(), [kernel_h, kernel_w], conv) }
}

/// y of `x`, without history.
pub(super) fn forward(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, params: Params) -> Tensor {
    let gpu = x.gpu();
    gpu.count_flops(params.flops());
    // Lanes pay for few pixels too.
    let outputs = [params.out_pixels().max(SMALL), params.o as usize];
    let family = params.family(gpu, "conv2d forward", outputs, || {
        let [x, weight, _] = params.shapes();
        let (x, weight) = (noise(gpu, x, 0), noise(gpu, weight, 1));
        move |family| forward_by(family, &x, &weight, None, params)
    });
    forward_by(family, x, weight, bias, params)
}

fn forward_by(family: Family, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, params: Params) -> Tensor {
    let y = Tensor::uninit(x.gpu(), params.shapes()[2]);
    let Plan { shader, overrides, groups } = Params::plan(family, &TILED, 1, params.out_pixels(), params.o);
    let buffers = [x.buffer(), weight.buffer(), bias.unwrap_or(weight).buffer(), y.buffer()];
    let params = Params { bias: u32::from(bias.is_some()), ..params };
    x.gpu().dispatch(shader, "forward", &overrides, &buffers, &params, groups);
    y
}

/// dx of `dy`, plus `bias` `[c]`.
pub(super) fn backward_input(dy: &Tensor, weight: &Tensor, bias: Option<&Tensor>, params: Params) -> Tensor {
    let gpu = dy.gpu();
    gpu.count_flops(params.flops());
    let outputs = [params.pixels().max(SMALL), params.c as usize];
    let family = params.family(gpu, "conv2d backward input", outputs, || {
        let [_, weight, dy] = params.shapes();
        let (dy, weight) = (noise(gpu, dy, 0), noise(gpu, weight, 1));
        move |family| backward_input_by(family, &dy, &weight, None, params)
    });
    backward_input_by(family, dy, weight, bias, params)
}

fn backward_input_by(family: Family, dy: &Tensor, weight: &Tensor, bias: Option<&Tensor>, params: Params) -> Tensor {
    let dx = Tensor::uninit(dy.gpu(), params.shapes()[0]);
    // Phase by phase of the stride: see the WGSL.
    let [batch, h, w, stride] = [params.batch, params.h, params.w, params.stride].map(|v| v as usize);
    let pixels = batch * h.div_ceil(stride) * w.div_ceil(stride);
    let Plan { shader, overrides, groups } = Params::plan(family, &TILED_INPUT, stride * stride, pixels, params.c);
    let buffers = [weight.buffer(), bias.unwrap_or(weight).buffer(), dy.buffer(), dx.buffer()];
    let params = Params { bias: u32::from(bias.is_some()), ..params };
    dy.gpu().dispatch(shader, "backward_input", &overrides, &buffers, &params, groups);
    dx
}

/// dw, and where the kernel has it at hand and it is wanted, db `[o]`.
pub(super) fn backward_weight(x: &Tensor, dy: &Tensor, params: Params, want_b: bool) -> (Tensor, Option<Tensor>) {
    let gpu = x.gpu();
    gpu.count_flops(params.flops());
    let outputs = [params.c as usize, params.o as usize];
    let family = params.family(gpu, "conv2d backward weight", outputs, || {
        let [x, _, dy] = params.shapes();
        let (x, dy) = (noise(gpu, x, 0), noise(gpu, dy, 1));
        move |family| backward_weight_by(family, &x, &dy, params, false).0
    });
    backward_weight_by(family, x, dy, params, want_b)
}

fn backward_weight_by(
    family: Family,
    x: &Tensor,
    dy: &Tensor,
    params: Params,
    want_b: bool,
) -> (Tensor, Option<Tensor>) {
    let (pixels, shape) = (params.out_pixels(), params.shapes()[1]);
    let (taps, count) = ((params.kernel_h * params.kernel_w) as usize, shape.count());
    let [c, o] = [params.c, params.o].map(|d| d as usize);
    let lanes = family == Family::Lanes;
    let (wide, columns) = width(o);
    // Workgroups of a part.
    let (shader, overrides, groups) = match family {
        Family::Scalar => (&SHADER, Vec::new(), (taps * c.div_ceil(4) * o.div_ceil(4)).div_ceil(64)),
        Family::Vec4 => (&VEC4, Vec::new(), (taps * c.div_ceil(4) * o.div_ceil(4)).div_ceil(64)),
        Family::Lanes => (&LANES, vec![wide], taps * c.div_ceil(32) * o.div_ceil(columns)),
        Family::Tiled(tile) => (&TILED_WEIGHT, tile.overrides().to_vec(), tile.count(taps * c, o)),
    };
    // How many of them, over all parts, keep the device busy.
    let enough = if matches!(family, Family::Tiled(_)) { 256 } else { 32 };
    // No part longer than PART while memory allows.
    let least = pixels.div_ceil((PARTIAL / count).max(1));
    let part = (pixels * groups / enough).clamp(64, PART).max(least).min(LOOPS).min(pixels);
    // All of about a length.
    let part = pixels.div_ceil(pixels.div_ceil(part)).next_multiple_of(4);
    let parts = pixels.div_ceil(part);
    // The bias's gradient comes out of it as the last row, if that can begin a tensor, made by workgroups of its own.
    let with_bias = want_b && lanes && count % ALIGN == 0;
    let groups = if with_bias { groups + o.div_ceil(columns) } else { groups };
    let numbers = if with_bias { count + o } else { count };
    let partial = Tensor::uninit(x.gpu(), [parts, numbers]);
    let buffers = [x.buffer(), dy.buffer(), partial.buffer()];
    let params = Params { part: part as u32, bias: u32::from(with_bias), ..params };
    x.gpu().dispatch(shader, "backward_weight", &overrides, &buffers, &params, [groups as u32, parts as u32, 1]);
    let sum = if parts == 1 { partial } else { sum_middle(&partial, [1, parts, numbers], 1.0, false) };
    let slice = |start: usize, count: usize| sum.buffer().slice(4 * start as u64, 4 * count as u64);
    let dw = Tensor::from_buffer(x.gpu(), slice(0, count), shape);
    (dw, with_bias.then(|| Tensor::from_buffer(x.gpu(), slice(count, o), [o])))
}
