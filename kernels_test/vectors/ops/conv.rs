//! Convolution, pooling, and images made larger. Files are [n, c, h, w], the engine [n, h, w, c].

use super::super::super::Real;
use super::super::super::ops::definitions;
use super::super::args::Args;
use super::super::plan::{Place, Plan};
use crate::ops::{self, Conv, ConvTranspose, Mask, Pool};

/// The output image; `dims` is [n, c, h, w] as in the file.
fn image(args: &Args, dims: [usize; 4]) -> Result<Place, String> {
    Ok(args.output("y", &dims)?.channels_last())
}

/// Output size of a window that moves over `size`.
fn moved(
    args: &Args,
    size: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
) -> Result<usize, String> {
    let room = (size + 2 * padding).checked_sub(kernel);
    let room = room.ok_or_else(|| {
        format!(
            "{}: a kernel of {kernel} over {size} padded by {padding}",
            args.op()
        )
    })?;
    Ok(room / stride + 1)
}

/// `w` [o, c, kh, kw] and `b` [o].
pub fn conv2d(args: &mut Args) -> Result<Plan, String> {
    let (x, [n, c, h, w]) = args.ranked("x")?;
    let (weight, [o, _, kh, kw]) = args.ranked("w")?;
    let weight = if weight.dims[1] == c {
        weight
    } else {
        args.of_dims("w", &[o, c, kh, kw])?
    };
    let bias = args.maybe_of_dims("b", &[o])?;
    let stride = args.stride([1, 1])?;
    let [pad_h, pad_w] = args.pair("padding", 0, [0, 0])?;
    let mask = match args.word("mask", &["none", "A", "B"])? {
        "A" => Some(Mask::A),
        "B" => Some(Mask::B),
        _ => None,
    };
    let out_h = moved(args, h, kh, stride, pad_h)?;
    let out_w = moved(args, w, kw, stride, pad_w)?;
    let y = image(args, [n, o, out_h, out_w])?;
    let sizes = [
        n,
        h,
        w,
        c,
        o,
        kh,
        kw,
        stride,
        pad_h,
        pad_w,
        usize::from(bias.is_some()),
    ];
    let mut inputs = vec![x.channels_last(), weight.permuted(&[2, 3, 1, 0])];
    inputs.extend(bias);
    let conv = Conv {
        stride,
        padding: [pad_h, pad_w],
        mask,
    };
    Plan::new(
        inputs,
        y,
        move |_, x| ops::conv2d(&x[0], &x[1], x.get(2), conv),
        move |x| definitions::conv2d(x, sizes, mask),
    )
}

/// `w` [c, o, kh, kw] and `b` [o].
pub fn conv_transpose2d(args: &mut Args) -> Result<Plan, String> {
    let (x, [n, c, h, w]) = args.ranked("x")?;
    let (weight, [_, o, kh, kw]) = args.ranked("w")?;
    let weight = if weight.dims[0] == c {
        weight
    } else {
        args.of_dims("w", &[c, o, kh, kw])?
    };
    let bias = args.maybe_of_dims("b", &[o])?;
    let stride = args.stride([1, 1])?;
    let padding = args.pair("padding", 0, [0, 0])?;
    let more = args.pair("output_padding", 0, [0, 0])?;
    if more.iter().any(|&m| m >= stride) {
        return Err(format!(
            "param `output_padding` is {more:?}; it must be below the stride, {stride}"
        ));
    }
    let out = |size: usize, kernel: usize, i: usize| {
        let whole = (size - 1) * stride + kernel + more[i];
        let left = whole.checked_sub(2 * padding[i]).filter(|&left| left > 0);
        left.ok_or_else(|| format!("param `padding` is {padding:?}; nothing is left of {whole}"))
    };
    let y = image(args, [n, o, out(h, kh, 0)?, out(w, kw, 1)?])?;
    let has_bias = usize::from(bias.is_some());
    let sizes = [
        n, h, w, c, o, kh, kw, stride, padding[0], padding[1], more[0], more[1], has_bias,
    ];
    let mut inputs = vec![x.channels_last(), weight.permuted(&[2, 3, 1, 0])];
    inputs.extend(bias);
    let conv = ConvTranspose {
        stride,
        padding,
        output_padding: more,
    };
    Plan::new(
        inputs,
        y,
        move |_, x| ops::conv_transpose2d(&x[0], &x[1], x.get(2), conv),
        move |x| definitions::conv_transpose2d(x, sizes),
    )
}

/// Average or maximum pooling.
pub fn pool(args: &mut Args) -> Result<Plan, String> {
    let (x, [n, c, h, w]) = args.ranked("x")?;
    let kernel = args.pair("kernel", 1, None)?;
    let stride = args.stride(kernel)?;
    let padding = args.pair("padding", 0, [0, 0])?;
    let average = args.op() == "avg_pool2d";
    let count_include_pad = average && args.flag("count_include_pad", true)?;
    if (0..2).any(|i| 2 * padding[i] > kernel[i]) {
        return Err(format!(
            "param `padding` is {padding:?}; it may be half of the kernel {kernel:?}"
        ));
    }
    let out_h = moved(args, h, kernel[0], stride, padding[0])?;
    let out_w = moved(args, w, kernel[1], stride, padding[1])?;
    let y = image(args, [n, c, out_h, out_w])?;
    let pool = Pool {
        kernel,
        stride,
        padding,
        count_include_pad,
    };
    let sizes = [n, h, w, c];
    let x = vec![x.channels_last()];
    if average {
        Plan::new(
            x,
            y,
            move |_, x| ops::avg_pool2d(&x[0], pool),
            move |x| definitions::average(&x[0], sizes, pool),
        )
    } else {
        Plan::new(
            x,
            y,
            move |_, x| ops::max_pool2d(&x[0], pool),
            move |x| definitions::maximum(&x[0], sizes, pool),
        )
    }
}

/// Repeats each pixel `scale` times in both directions, or [h, w] times.
pub fn upsample_nearest(args: &mut Args) -> Result<Plan, String> {
    let (x, [n, c, h, w]) = args.ranked("x")?;
    let [scale_h, scale_w] = args.pair("scale", 1, None)?;
    let y = image(args, [n, c, h * scale_h, w * scale_w])?;
    let define = move |x: &[Vec<Real>]| {
        let of = |n: usize, p: usize, q: usize| ((n * h + p / scale_h) * w + q / scale_w) * c;
        definitions::images([n, h * scale_h, w * scale_w, c], |n, p, q, i| {
            x[0][of(n, p, q) + i]
        })
    };
    let run = move |_: &_, x: &[crate::tensor::Tensor]| {
        if scale_h == scale_w {
            return ops::upsample_nearest(&x[0], scale_h);
        }
        // The op has a single scale, so each direction is done alone, as an image of one row or
        // column of which one repetition is kept.
        let rows = ops::upsample_nearest(&x[0].reshape([n * h, 1, w, c]), scale_w);
        let wide = ops::crop(&rows, [0, scale_w - 1, 0, 0]).reshape([n, h, 1, scale_w * w * c]);
        let columns = ops::upsample_nearest(&wide, scale_h);
        ops::crop(&columns, [0, 0, 0, scale_h - 1]).reshape([n, h * scale_h, w * scale_w, c])
    };
    Plan::new(vec![x.channels_last()], y, run, define)
}

/// Pads with zeros by `pad`, [top, bottom, left, right].
pub fn pad(args: &mut Args) -> Result<Plan, String> {
    let (x, [n, c, h, w]) = args.ranked("x")?;
    let sides = args.sizes("pad")?;
    let Ok([top, bottom, left, right]) = <[usize; 4]>::try_from(sides.as_slice()) else {
        return Err(format!(
            "param `pad` is {sides:?}; it must be [top, bottom, left, right]"
        ));
    };
    let out_h = h + top + bottom;
    let out_w = w + left + right;
    let y = image(args, [n, c, out_h, out_w])?;
    let define = move |x: &[Vec<Real>]| {
        definitions::images([n, out_h, out_w, c], |n, p, q, i| {
            let inside = (top..top + h).contains(&p) && (left..left + w).contains(&q);
            if inside {
                x[0][((n * h + p - top) * w + q - left) * c + i]
            } else {
                Real::default()
            }
        })
    };
    Plan::new(
        vec![x.channels_last()],
        y,
        move |_, x| ops::pad(&x[0], [top, bottom, left, right]),
        define,
    )
}
