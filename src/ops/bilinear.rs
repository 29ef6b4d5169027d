//! Bilinear interpolation of images.

use bytemuck::{Pod, Zeroable};

use super::{LOOPS, grid};
use crate::gpu::{Shader, shader};
use crate::tensor::Tensor;

pub(super) static SHADER: Shader = shader!("bilinear");

/// Longest side, so that positions on it are integers below 2³¹.
const LONGEST: usize = 1 << 14;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    batch: u32,
    h: u32,
    w: u32,
    c: u32,
    out_h: u32,
    out_w: u32,
}

/// Records `entry`, which writes images of `size` = [h, w].
fn resized(entry: &'static str, x: &Tensor, params: Params, [h, w]: [usize; 2]) -> Tensor {
    let n = params.batch as usize;
    let c = params.c as usize;
    let y = Tensor::uninit(x.gpu(), [n, h, w, c]);
    let groups = grid(n * h * w * c.div_ceil(4), 64);
    x.gpu().dispatch(
        &SHADER,
        entry,
        &[],
        &[x.buffer(), y.buffer()],
        &params,
        groups,
    );
    y
}

/// Bilinear interpolation between pixel centres: `x` [n, h, w, c] → [n, height, width, c]. Row p is
/// sampled at row (p + ½) h / height − ½ of `x`; rows outside repeat the outermost. Equals
/// PyTorch's `interpolate` with `mode="bilinear"`, `align_corners=False` and no antialiasing:
/// downscaling skips pixels.
///
/// # Panics
/// If a side is 0 or over 16,384 pixels, or sides grow so much that the gradient of one pixel sums
/// more than some 60,000 terms (see [`LOOPS`]).
#[track_caller]
pub fn bilinear(x: &Tensor, [height, width]: [usize; 2]) -> Tensor {
    let [n, h, w, c] = x.dims();
    let sides = [h, w, height, width];
    assert!(
        sides.iter().all(|side| (1..=LONGEST).contains(side)),
        "bilinear: {:?} to {height}x{width}",
        x.shape()
    );
    let [rows, columns] = [[height, h], [width, w]].map(|[to, from]| (2 * to).div_ceil(from) + 4);
    let rounds = rows.min(height) * (columns.min(width) + 1);
    assert!(
        rounds <= LOOPS,
        "bilinear: {:?} to {height}x{width} is {rounds} rounds an invocation",
        x.shape()
    );
    let [batch, h32, w32, c, out_h, out_w] = [n, h, w, c, height, width].map(|v| v as u32);
    let params = Params {
        batch,
        h: h32,
        w: w32,
        c,
        out_h,
        out_w,
    };
    let y = resized("resize", x, params, [height, width]);
    y.with_vjp([x], move |dy, _| {
        [Some(resized("resize_backward", dy, params, [h, w]))]
    })
}
