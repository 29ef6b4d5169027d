//! Enlarging, padding and cropping images.

use bytemuck::{Pod, Zeroable};

use super::grid;
use crate::gpu::{Shader, variants};
use crate::tensor::Tensor;

pub(super) static VARIANTS: [Shader; 3] = variants!("resample", "ones");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    batch: u32,
    h: u32,
    w: u32,
    c: u32,
    out_h: u32,
    out_w: u32,
    top: u32,
    left: u32,
    scale: u32,
}

/// Records `entry`, which writes images of `size` = [h, w].
fn resampled(entry: &'static str, x: &Tensor, params: Params, [h, w]: [usize; 2]) -> Tensor {
    let n = params.batch as usize;
    let c = params.c as usize;
    let y = Tensor::uninit(x.gpu(), [n, h, w, c]);
    let (shader, each) = x.gpu().form_of(&VARIANTS, &[c]);
    let params = Params {
        c: (c / each) as u32,
        ..params
    };
    x.gpu().dispatch(
        shader,
        entry,
        &[],
        &[x.buffer(), y.buffer()],
        &params,
        grid(y.count() / each, 64),
    );
    y
}

/// Every pixel repeated `scale` times in both directions: `x` [n, h, w, c] → [n, h · scale, w ·
/// scale, c].
///
/// # Panics
/// If `scale` is 0.
#[track_caller]
pub fn upsample_nearest(x: &Tensor, scale: usize) -> Tensor {
    assert!(scale > 0, "upsample_nearest of {:?} by 0", x.shape());
    let [n, h, w, c] = x.dims();
    let large = [h * scale, w * scale];
    let params = Params {
        batch: n as u32,
        h: h as u32,
        w: w as u32,
        c: c as u32,
        out_h: large[0] as u32,
        out_w: large[1] as u32,
        top: 0,
        left: 0,
        scale: scale as u32,
    };
    let y = resampled("upsample", x, params, large);
    y.with_vjp([x], move |dy, _| {
        [Some(resampled("upsample_backward", dy, params, [h, w]))]
    })
}

/// `x` [n, h, w, c] padded with `[top, bottom, left, right]` rows and columns of zeros → [n, top +
/// h + bottom, left + w + right, c].
pub fn pad(x: &Tensor, [top, bottom, left, right]: [usize; 4]) -> Tensor {
    let [_, h, w, _] = x.dims();
    let y = window(
        x,
        [top as isize, left as isize],
        [top + h + bottom, left + w + right],
    );
    y.with_vjp([x], move |dy, _| {
        [Some(window(
            dy,
            [-(top as isize), -(left as isize)],
            [h, w],
        ))]
    })
}

/// `x` [n, h, w, c] with `[top, bottom, left, right]` rows and columns cut off → [n, h − top −
/// bottom, w − left − right, c].
///
/// # Panics
/// If nothing would be left.
#[track_caller]
pub fn crop(x: &Tensor, [top, bottom, left, right]: [usize; 4]) -> Tensor {
    let [_, h, w, _] = x.dims();
    let sides = [top, bottom, left, right];
    assert!(
        top + bottom < h && left + right < w,
        "crop of {:?} by {sides:?}",
        x.shape()
    );
    let y = window(
        x,
        [-(top as isize), -(left as isize)],
        [h - top - bottom, w - left - right],
    );
    y.with_vjp([x], move |dy, _| {
        [Some(window(dy, [top as isize, left as isize], [h, w]))]
    })
}

/// The window of `size` that begins `corner` pixels above and left of `x`, zero outside of it.
fn window(x: &Tensor, corner: [isize; 2], size: [usize; 2]) -> Tensor {
    let [n, h, w, c] = x.dims();
    let params = Params {
        batch: n as u32,
        h: h as u32,
        w: w as u32,
        c: c as u32,
        out_h: size[0] as u32,
        out_w: size[1] as u32,
        top: corner[0] as u32,
        left: corner[1] as u32,
        scale: 1,
    };
    resampled("window", x, params, size)
}
