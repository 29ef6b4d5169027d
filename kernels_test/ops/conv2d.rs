//! Convolution.

use super::{Case, Input, Real};
use crate::ops::{self, Conv, Mask};

/// n, h, w, c, o, kernel_h, kernel_w, stride, pad_h, pad_w, bias.
pub(crate) type Sizes = [usize; 11];

const PLAIN: &[Sizes] = &[
    [1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    [2, 5, 4, 3, 5, 3, 3, 1, 1, 1, 1],
    [1, 21, 21, 3, 4, 3, 3, 1, 1, 1, 0],
    [2, 8, 8, 5, 6, 4, 4, 2, 1, 1, 1],
    [1, 9, 7, 2, 3, 4, 4, 2, 1, 1, 1],
    [1, 7, 7, 1, 2, 7, 7, 1, 3, 3, 0],
    [3, 6, 5, 4, 4, 1, 1, 1, 0, 0, 1],
    [1, 5, 6, 3, 2, 1, 7, 1, 0, 3, 0],
    [1, 9, 3, 2, 5, 3, 2, 3, 2, 0, 1],
    [40, 9, 9, 2, 3, 3, 3, 1, 1, 1, 1],
    [1, 1, 1, 4, 4, 1, 1, 1, 0, 0, 1],
    [2, 21, 21, 4, 8, 3, 3, 1, 1, 1, 1],
    [3, 8, 8, 8, 12, 4, 4, 2, 1, 1, 1],
    [1, 6, 7, 32, 4, 7, 7, 1, 3, 3, 0],
    [2, 9, 5, 4, 4, 3, 2, 3, 2, 0, 1],
    // First and last layers for images, and layers of the paper's widths.
    [1, 21, 21, 3, 32, 4, 4, 2, 1, 1, 1],
    [1, 21, 21, 32, 3, 3, 3, 1, 1, 1, 1],
    [2, 7, 5, 32, 32, 3, 3, 1, 1, 1, 1],
    [1, 3, 3, 128, 128, 3, 3, 1, 1, 1, 0],
    [1, 5, 5, 128, 256, 1, 1, 1, 0, 0, 1],
    [1, 3, 3, 512, 512, 1, 1, 1, 0, 0, 1],
    [1, 1, 2, 512, 128, 3, 3, 1, 1, 1, 0],
    [1, 2, 2, 128, 32, 4, 4, 2, 1, 1, 1],
    [1, 11, 9, 8, 4, 1, 7, 1, 0, 3, 1],
    [1, 11, 9, 4, 8, 7, 1, 1, 3, 0, 1],
    [1, 9, 11, 3, 5, 7, 1, 2, 3, 0, 0],
    // One pixel below, at and above blocks of four and of eight; likewise for channels.
    [1, 1, 3, 3, 3, 1, 1, 1, 0, 0, 1],
    [1, 2, 2, 5, 4, 1, 3, 1, 0, 1, 0],
    [1, 1, 5, 4, 5, 1, 1, 1, 0, 0, 1],
    [1, 1, 7, 4, 4, 1, 3, 1, 0, 1, 1],
    [1, 2, 4, 8, 4, 3, 1, 1, 1, 0, 0],
    [3, 3, 1, 4, 8, 3, 3, 1, 1, 1, 1],
    // Blocks of 32 rows and of 32 or 64 channels: below, at and above.
    [2, 4, 4, 16, 16, 3, 3, 1, 1, 1, 1],
    [1, 7, 5, 20, 36, 3, 3, 1, 1, 1, 1],
    [2, 9, 7, 36, 68, 3, 3, 1, 1, 1, 0],
    [3, 7, 5, 16, 40, 3, 3, 1, 1, 1, 1],
    [2, 8, 8, 32, 20, 4, 4, 2, 1, 1, 1],
    [3, 9, 7, 68, 16, 3, 2, 3, 2, 0, 1],
    [5, 7, 7, 16, 20, 1, 3, 1, 0, 1, 1],
    // Tiles of 4 x 4 outputs: below, at and above, and enough of them for the rules to choose
    // tiles.
    [3, 4, 5, 16, 20, 3, 3, 1, 1, 1, 1],
    [1, 21, 21, 16, 16, 3, 3, 1, 1, 1, 0],
    [4, 16, 15, 32, 36, 3, 3, 1, 1, 1, 1],
    // Enough small images for tiles to take pixels position by position: one position or many a tile, taps that reach no
    // pixel, kernels larger than the image, strides, and padding beyond the kernel.
    [16, 2, 2, 32, 36, 3, 3, 1, 1, 1, 1],
    [20, 4, 3, 16, 20, 3, 3, 1, 1, 1, 1],
    [132, 2, 3, 16, 16, 3, 3, 1, 1, 1, 0],
    [16, 5, 4, 16, 36, 3, 3, 2, 1, 1, 1],
    [24, 4, 4, 32, 16, 4, 4, 2, 1, 1, 0],
    [32, 3, 3, 16, 16, 5, 5, 1, 2, 2, 1],
    [16, 3, 2, 20, 32, 3, 2, 3, 2, 0, 1],
    [16, 2, 2, 16, 16, 2, 2, 1, 2, 2, 0],
    // So many terms that tiles split their sums.
    [16, 2, 2, 128, 36, 3, 3, 1, 1, 1, 1],
    // So many tiles that their sum is split into parts.
    [2052, 1, 1, 16, 16, 3, 3, 1, 1, 1, 0],
    // More output pixels than an invocation may loop over for the weight's gradient.
    [9, 87, 90, 1, 1, 1, 1, 1, 0, 0, 1],
    [8, 93, 95, 4, 4, 1, 1, 1, 0, 0, 0],
];

/// With residuals, through each of the kernels.
const RESIDUAL: &[Sizes] = &[
    [2, 5, 4, 3, 5, 3, 3, 1, 1, 1, 1],
    [3, 6, 5, 4, 4, 1, 1, 1, 0, 0, 0],
    [1, 21, 21, 3, 32, 4, 4, 2, 1, 1, 1],
    [1, 21, 21, 32, 3, 3, 3, 1, 1, 1, 1],
    [2, 9, 7, 36, 68, 1, 1, 1, 0, 0, 1],
    [2, 9, 7, 36, 68, 3, 3, 1, 1, 1, 1],
    [3, 9, 7, 16, 20, 3, 2, 3, 2, 0, 0],
    [4, 16, 15, 32, 36, 3, 3, 1, 1, 1, 0],
    [2, 3, 3, 64, 20, 3, 3, 1, 1, 1, 1],
];

const MASKED: &[(Sizes, Mask)] = &[
    ([2, 6, 5, 3, 5, 3, 3, 1, 1, 1, 1], Mask::A),
    ([2, 6, 5, 4, 8, 3, 3, 1, 1, 1, 1], Mask::A),
    ([1, 21, 21, 4, 4, 3, 3, 1, 1, 1, 0], Mask::B),
    ([1, 7, 7, 3, 2, 5, 5, 1, 2, 2, 0], Mask::B),
    ([1, 5, 7, 32, 4, 5, 5, 1, 2, 2, 1], Mask::B),
    ([1, 9, 7, 1, 6, 7, 7, 1, 3, 3, 1], Mask::A),
    ([1, 9, 7, 4, 8, 7, 7, 1, 3, 3, 1], Mask::A),
    ([1, 4, 5, 8, 8, 7, 7, 1, 3, 3, 0], Mask::B),
    ([2, 3, 6, 3, 4, 1, 5, 1, 0, 2, 1], Mask::A),
    ([2, 5, 6, 16, 36, 3, 3, 1, 1, 1, 1], Mask::A),
    ([1, 6, 7, 36, 20, 5, 5, 1, 2, 2, 0], Mask::B),
    ([1, 9, 9, 4, 4, 3, 3, 2, 1, 1, 1], Mask::B),
    // The mask removes the whole kernel.
    ([2, 3, 3, 3, 2, 1, 1, 1, 0, 0, 1], Mask::A),
    ([1, 3, 3, 4, 4, 1, 1, 1, 0, 0, 0], Mask::A),
    ([1, 3, 3, 4, 4, 1, 1, 1, 0, 0, 1], Mask::B),
    ([1, 5, 5, 16, 16, 1, 1, 1, 0, 0, 1], Mask::A),
];

pub fn cases(list: &mut Vec<Case>) {
    list.extend(PLAIN.iter().map(|&sizes| case(sizes, None)));
    list.extend(MASKED.iter().map(|&(sizes, mask)| case(sizes, Some(mask))));
    list.extend(RESIDUAL.iter().map(|&sizes| with_residual(sizes)));
    // As many loop rounds as an invocation may do. The sum is a whole number that f32 holds
    // exactly: a bound on rounding would hide what a driver drops.
    list.push(Case::new(
        "conv2d",
        "59780 ones",
        vec![
            Input::given(&[1, 7, 7, 1220], vec![1.0; 59_780]),
            Input::given(&[7, 7, 1220, 1], vec![1.0; 59_780]),
        ],
        |_, x| ops::conv2d(&x[0], &x[1], None, Conv::default()),
        |_| vec![Real::constant(59_780.0)],
    ));
    for [n, length, c, o, kernel, padding] in [
        [3, 5, 12, 12, 5, 2],
        [1, 5, 2, 3, 3, 1],
        [70, 5, 3, 4, 5, 2],
        [2, 7, 1, 1, 1, 0],
        [1, 6, 2, 2, 3, 0],
    ] {
        list.push(Case::new(
            "conv1d",
            format!("[{n}, {length}, {c}] -> {o}, kernel {kernel} pad {padding}"),
            vec![
                Input::normal(&[n, length, c]),
                Input::normal(&[kernel, c, o]),
                Input::normal(&[o]),
            ],
            move |_, x| ops::conv1d(&x[0], &x[1], Some(&x[2]), padding),
            move |x| convolution(x, [n, 1, length, c, o, 1, kernel, 1, 0, padding, 1], None),
        ));
    }
}

fn case(sizes: Sizes, mask: Option<Mask>) -> Case {
    let (conv, inputs, name) = described(sizes, mask);
    Case::new(
        "conv2d",
        name,
        inputs,
        move |_, x| ops::conv2d(&x[0], &x[1], x.get(2), conv),
        move |x| convolution(x, sizes, mask),
    )
}

/// A case with a residual of the output's shape, which is its first input.
fn with_residual(sizes: Sizes) -> Case {
    let [n, h, w, _, o, kh, kw, stride, pad_h, pad_w, _] = sizes;
    let (conv, rest, name) = described(sizes, None);
    let mut inputs = vec![Input::normal(&[
        n,
        (h + 2 * pad_h - kh) / stride + 1,
        (w + 2 * pad_w - kw) / stride + 1,
        o,
    ])];
    inputs.extend(rest);
    Case::new(
        "conv2d_residual",
        name,
        inputs,
        move |_, x| ops::conv2d_residual(&x[1], &x[2], x.get(3), conv, &x[0]),
        move |x| {
            convolution(&x[1..], sizes, None)
                .into_iter()
                .zip(&x[0])
                .map(|(y, r)| y + *r)
                .collect()
        },
    )
}

/// Parameters, inputs and name of a case.
fn described(sizes: Sizes, mask: Option<Mask>) -> (Conv, Vec<Input>, String) {
    let [n, h, w, c, o, kh, kw, stride, pad_h, pad_w, bias] = sizes;
    let mut inputs = vec![Input::normal(&[n, h, w, c]), Input::normal(&[kh, kw, c, o])];
    inputs.extend((bias == 1).then(|| Input::normal(&[o])));
    let bias = if bias == 1 { " bias" } else { "" };
    let mask_name = mask.map_or(String::new(), |mask| format!(" mask {mask:?}"));
    let name = format!(
        "[{n}, {h}, {w}, {c}] -> {o}, {kh}x{kw} stride {stride} pad {pad_h},{pad_w}{bias}{mask_name}"
    );
    (
        Conv {
            stride,
            padding: [pad_h, pad_w],
            mask,
        },
        inputs,
        name,
    )
}

/// Whether a mask keeps tap (i, j): rows above the centre, and in its row the taps left of it.
fn is_left(mask: Option<Mask>, [kh, kw]: [usize; 2], [i, j]: [usize; 2]) -> bool {
    let Some(mask) = mask else { return true };
    let row = (kh - 1) / 2;
    let column = (kw - 1) / 2;
    i < row || i == row && (j < column || j == column && mask == Mask::B)
}

/// The convolution itself.
pub(crate) fn convolution(x: &[Vec<Real>], sizes: Sizes, mask: Option<Mask>) -> Vec<Real> {
    let [n, h, w, c, o, kh, kw, stride, pad_h, pad_w, _] = sizes;
    let image = &x[0];
    let weight = &x[1];
    let out_h = (h + 2 * pad_h - kh) / stride + 1;
    let out_w = (w + 2 * pad_w - kw) / stride + 1;
    let mut y = Vec::with_capacity(n * out_h * out_w * o);
    for at in 0..n * out_h * out_w {
        let b = at / (out_h * out_w);
        let p = at / out_w % out_h;
        let q = at % out_w;
        for channel in 0..o {
            let mut terms = Vec::with_capacity(kh * kw * c);
            for (i, j) in (0..kh * kw)
                .map(|tap| (tap / kw, tap % kw))
                .filter(|&(i, j)| is_left(mask, [kh, kw], [i, j]))
            {
                let row = (p * stride + i).wrapping_sub(pad_h);
                let column = (q * stride + j).wrapping_sub(pad_w);
                if row < h && column < w {
                    let from = ((b * h + row) * w + column) * c;
                    terms.extend(
                        (0..c).map(|l| {
                            image[from + l] * weight[((i * kw + j) * c + l) * o + channel]
                        }),
                    );
                }
            }
            let sum = Real::sum(terms);
            y.push(x.get(2).map_or(sum, |bias| sum + bias[channel]));
        }
    }
    y
}
