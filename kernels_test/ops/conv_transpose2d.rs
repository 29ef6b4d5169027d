//! Transposed convolution.

use super::{Case, Input, Real};
use crate::ops::{self, ConvTranspose};

/// n, h, w, c, o, kernel_h, kernel_w, stride, pad_h, pad_w, output_padding_h, output_padding_w,
/// bias.
pub(crate) type Sizes = [usize; 13];

const ALL: &[Sizes] = &[
    [1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
    [1, 1, 1, 4, 4, 1, 1, 1, 0, 0, 0, 0, 1],
    // The three usual ways to double the size.
    [2, 5, 4, 3, 5, 4, 4, 2, 1, 1, 0, 0, 1],
    [2, 4, 5, 8, 4, 4, 4, 2, 1, 1, 0, 0, 1],
    [1, 5, 3, 3, 4, 3, 3, 2, 1, 1, 1, 1, 1],
    [1, 3, 5, 4, 8, 3, 3, 2, 1, 1, 1, 0, 0],
    [2, 3, 4, 5, 3, 2, 2, 2, 0, 0, 0, 0, 0],
    [2, 3, 4, 4, 4, 2, 2, 2, 0, 0, 0, 0, 1],
    // Widths of decoders.
    [1, 10, 10, 32, 3, 4, 4, 2, 1, 1, 1, 1, 1],
    [1, 2, 2, 128, 32, 4, 4, 2, 1, 1, 0, 0, 1],
    [1, 3, 3, 32, 128, 3, 3, 1, 1, 1, 0, 0, 0],
    [1, 2, 1, 512, 512, 1, 1, 1, 0, 0, 0, 0, 1],
    [1, 21, 21, 3, 4, 3, 3, 1, 1, 1, 0, 0, 1],
    [1, 21, 21, 4, 4, 3, 3, 1, 1, 1, 0, 0, 1],
    [2, 6, 9, 20, 16, 3, 3, 1, 1, 1, 0, 0, 1],
    // Gaps between strides, other strips of the output, and more padding than the kernel covers.
    [1, 4, 3, 2, 3, 2, 1, 3, 0, 0, 2, 1, 1],
    [1, 4, 3, 4, 4, 2, 1, 3, 0, 0, 2, 1, 1],
    [1, 3, 6, 3, 2, 7, 1, 2, 3, 0, 0, 1, 0],
    [1, 6, 3, 4, 8, 1, 7, 1, 0, 3, 0, 0, 1],
    [1, 6, 5, 2, 3, 3, 2, 1, 3, 2, 0, 0, 1],
    [1, 6, 5, 4, 4, 3, 2, 2, 3, 4, 1, 1, 0],
    [1, 3, 2, 1, 2, 5, 5, 4, 2, 0, 3, 0, 1],
    // The weight's gradient in parts.
    [30, 9, 9, 2, 3, 3, 3, 1, 1, 1, 0, 0, 1],
    [5, 9, 9, 4, 4, 4, 4, 2, 1, 1, 0, 0, 0],
];

pub fn cases(list: &mut Vec<Case>) {
    for &sizes in ALL {
        let [
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
            more_h,
            more_w,
            bias,
        ] = sizes;
        let conv = ConvTranspose {
            stride,
            padding: [pad_h, pad_w],
            output_padding: [more_h, more_w],
        };
        let mut inputs = vec![Input::normal(&[n, h, w, c]), Input::normal(&[kh, kw, o, c])];
        inputs.extend((bias == 1).then(|| Input::normal(&[o])));
        let bias = if bias == 1 { " bias" } else { "" };
        list.push(Case::new(
            "conv_transpose2d",
            format!(
                "[{n}, {h}, {w}, {c}] -> {o}, {kh}x{kw} stride {stride} pad {pad_h},{pad_w} more {more_h},{more_w}{bias}"
            ),
            inputs,
            move |_, x| ops::conv_transpose2d(&x[0], &x[1], x.get(2), conv),
            move |x| scatter(x, sizes),
        ));
    }
}

/// Adds the kernel to the output at every input pixel, scaled by the pixel's channels.
pub(crate) fn scatter(x: &[Vec<Real>], sizes: Sizes) -> Vec<Real> {
    let [
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
        more_h,
        more_w,
        _,
    ] = sizes;
    let out_h = (h - 1) * stride + kh + more_h - 2 * pad_h;
    let out_w = (w - 1) * stride + kw + more_w - 2 * pad_w;
    let mut terms = vec![Vec::new(); n * out_h * out_w * o];
    for pixel in 0..n * h * w {
        let b = pixel / (h * w);
        let p = pixel / w % h;
        let q = pixel % w;
        for (i, j) in (0..kh * kw).map(|tap| (tap / kw, tap % kw)) {
            let row = (p * stride + i).wrapping_sub(pad_h);
            let column = (q * stride + j).wrapping_sub(pad_w);
            if row >= out_h || column >= out_w {
                continue;
            }
            for channel in 0..o {
                let weights = &x[1][((i * kw + j) * o + channel) * c..][..c];
                let products = x[0][pixel * c..][..c]
                    .iter()
                    .zip(weights)
                    .map(|(&v, &weight)| v * weight);
                terms[((b * out_h + row) * out_w + column) * o + channel].extend(products);
            }
        }
    }
    let add_bias = |(at, terms)| {
        let sum = Real::sum(terms);
        x.get(2).map_or(sum, |bias| sum + bias[at % o])
    };
    terms.into_iter().enumerate().map(add_bias).collect()
}
