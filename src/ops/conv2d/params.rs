//! Stride, padding and mask of a convolution, and the parameters of its kernels.

use bytemuck::{Pod, Zeroable};

use crate::gpu::{Buffer, Shader, shader};
use crate::ops::LOOPS;
use crate::tensor::{Shape, Tensor};

/// The shader of `unfold.rs`, which takes the same parameters.
pub(crate) static UNFOLD: Shader = shader!("unfold");

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
/// all channels. With padding (kernel − 1) / 2, a pixel then sees only pixels before it. Weights at
/// other taps are never read, and their gradient is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// Taps before the centre: for the first layer. A 1 x 1 kernel has none, so that only the bias
    /// counts.
    A,
    /// Taps before the centre, and the centre: for all other layers.
    B,
}

/// As in `shaders/shared/conv.wgsl`. A transposed convolution uses the parameters of the
/// convolution whose gradient it is.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(crate) struct Params {
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
pub(crate) struct ConvEpilogue<'a> {
    pub bias: Option<&'a Tensor>,
    pub residual: Option<&'a Tensor>,
}

impl<'a> ConvEpilogue<'a> {
    /// Both buffers, `other`'s in place of an absent one.
    pub fn buffers(&self, other: &'a Tensor) -> [&'a Buffer; 2] {
        [self.bias, self.residual].map(|added| added.unwrap_or(other).buffer())
    }

    /// 1 for each that is present, else 0.
    pub fn flags(&self) -> [u32; 2] {
        [self.bias, self.residual].map(|added| u32::from(added.is_some()))
    }
}

impl Params {
    /// Parameters for images [n, h, w, c] of `dims`; output channels are not set yet.
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

    /// Whether all channels come in whole vec4s.
    pub(crate) fn fours(&self) -> bool {
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

    /// Multiplications and additions of any of the three directions, including taps on the padding.
    pub(crate) fn flops(&self) -> usize {
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

    /// Panics if one invocation cannot sum all terms of an output, with `depth` channels per tap.
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
