//! Average and maximum pooling.

use bytemuck::{Pod, Zeroable};

use super::{LOOPS, grid};
use crate::gpu::{Shader, shader};
use crate::tensor::{Codes, Tensor};

pub(super) static SHADER: Shader = shader!("pool");

/// Size, stride and padding of the windows.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    /// Height and width of a window.
    pub kernel: [usize; 2],
    /// Step between windows, both directions.
    pub stride: usize,
    /// Padding on each side, at most half the kernel: above and below, left and right.
    pub padding: [usize; 2],
    /// Whether an average divides by the window's full size or only by its pixels inside the image.
    /// Ignored by maxima.
    pub count_include_pad: bool,
}

impl Default for Pool {
    fn default() -> Self {
        Pool {
            kernel: [2, 2],
            stride: 2,
            padding: [0, 0],
            count_include_pad: true,
        }
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
    kernel_h: u32,
    kernel_w: u32,
    stride: u32,
    pad_h: u32,
    pad_w: u32,
}

/// Mean over windows, padded with zeros: `x` [n, h, w, c] → [n, out_h, out_w, c] with out = (size +
/// 2 padding − kernel) / stride + 1.
///
/// # Panics
/// If the kernel is larger than the padded image or over some 60,000 pixels (see [`LOOPS`]), or the
/// padding is over half the kernel.
#[track_caller]
pub fn avg_pool2d(x: &Tensor, pool: Pool) -> Tensor {
    let (params, shape) = params("avg_pool2d", x, pool);
    let y = Tensor::uninit(x.gpu(), shape);
    let from = x.shape();
    let overrides = [("COUNT_PAD", u32::from(pool.count_include_pad))];
    x.gpu().dispatch(
        &SHADER,
        "average",
        &overrides,
        &[x.buffer(), y.buffer()],
        &params,
        grid(y.count(), 64),
    );
    y.with_vjp([x], move |dy, _| {
        let dx = Tensor::uninit(dy.gpu(), from);
        let buffers = [dy.buffer(), dx.buffer()];
        dy.gpu().dispatch(
            &SHADER,
            "average_backward",
            &overrides,
            &buffers,
            &params,
            grid(dx.count(), 64),
        );
        [Some(dx)]
    })
}

/// Maximum over windows, padded with −∞: `x` [n, h, w, c] → [n, out_h, out_w, c] as in
/// [`avg_pool2d`]. The first of equal maxima in raster order gets the gradient.
///
/// # Panics
/// As [`avg_pool2d`].
#[track_caller]
pub fn max_pool2d(x: &Tensor, pool: Pool) -> Tensor {
    let (params, shape) = params("max_pool2d", x, pool);
    let y = Tensor::uninit(x.gpu(), shape);
    let from = x.shape();
    let found = Codes::uninit(x.gpu(), shape);
    let buffers = [x.buffer(), y.buffer(), found.buffer()];
    x.gpu().dispatch(
        &SHADER,
        "maximum",
        &[],
        &buffers,
        &params,
        grid(y.count(), 64),
    );
    y.with_vjp([x], move |dy, _| {
        let dx = Tensor::uninit(dy.gpu(), from);
        let buffers = [dy.buffer(), found.buffer(), dx.buffer()];
        dy.gpu().dispatch(
            &SHADER,
            "maximum_backward",
            &[],
            &buffers,
            &params,
            grid(dx.count(), 64),
        );
        [Some(dx)]
    })
}

#[track_caller]
fn params(op: &str, x: &Tensor, pool: Pool) -> (Params, [usize; 4]) {
    let [batch, h, w, c] = x.dims();
    let Pool {
        kernel: [kernel_h, kernel_w],
        stride,
        padding: [pad_h, pad_w],
        ..
    } = pool;
    // If padding is at most half the kernel, every window contains a pixel of the image.
    let padded = 2 * pad_h <= kernel_h && 2 * pad_w <= kernel_w;
    let fits = (1..=h + 2 * pad_h).contains(&kernel_h) && (1..=w + 2 * pad_w).contains(&kernel_w);
    assert!(
        padded && fits && stride > 0,
        "{op}: x {:?} with {pool:?}",
        x.shape()
    );
    let rounds = kernel_h * (kernel_w + 1);
    assert!(
        rounds <= LOOPS,
        "{op}: a window {:?} is {rounds} rounds an invocation, over {LOOPS}",
        pool.kernel
    );
    let out_h = (h + 2 * pad_h - kernel_h) / stride + 1;
    let out_w = (w + 2 * pad_w - kernel_w) / stride + 1;
    let shape = [batch, out_h, out_w, c];
    let [batch, h, w, c, out_h, out_w] = [batch, h, w, c, out_h, out_w].map(|v| v as u32);
    let [kernel_h, kernel_w, stride, pad_h, pad_w] =
        [kernel_h, kernel_w, stride, pad_h, pad_w].map(|v| v as u32);
    (
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
        },
        shape,
    )
}
