//! Patches as rows, and their sums.

use super::{Case, Input, Real};
use crate::ops::{self, Conv};

/// n, h, w, c, kernel_h, kernel_w, stride, pad_h, pad_w.
const SIZES: [[usize; 9]; 9] = [
    [1, 1, 1, 1, 1, 1, 1, 0, 0],
    [2, 8, 8, 3, 4, 4, 2, 1, 1],
    [1, 21, 21, 3, 3, 3, 1, 1, 1],
    [3, 5, 4, 4, 3, 3, 1, 1, 1],
    [2, 9, 7, 5, 3, 2, 3, 2, 0],
    [1, 6, 11, 2, 1, 7, 1, 0, 3],
    [1, 11, 6, 1, 7, 1, 2, 3, 0],
    [70, 5, 5, 2, 2, 2, 1, 0, 0],
    [1, 4, 4, 13, 4, 4, 2, 1, 1],
];

pub fn cases(list: &mut Vec<Case>) {
    for sizes in SIZES {
        let [n, h, w, c, kernel_h, kernel_w, stride, pad_h, pad_w] = sizes;
        let conv = Conv {
            stride,
            padding: [pad_h, pad_w],
            ..Conv::default()
        };
        let [out_h, out_w, width] = rows(sizes);
        let name = format!(
            "[{n}, {h}, {w}, {c}] {kernel_h}x{kernel_w} stride {stride} pad {pad_h},{pad_w}"
        );
        list.push(Case::new(
            "unfold",
            name.clone(),
            vec![Input::normal(&[n, h, w, c])],
            move |_, x| ops::unfold(&x[0], [kernel_h, kernel_w], conv),
            move |x| {
                let mut y = vec![Real::default(); n * out_h * out_w * width];
                each(sizes, |row, image| y[row] = x[0][image]);
                y
            },
        ));
        list.push(Case::new(
            "fold",
            name,
            vec![Input::normal(&[n, out_h, out_w, width])],
            move |_, x| ops::fold(&x[0], [n, h, w, c], [kernel_h, kernel_w], conv),
            move |x| {
                let mut terms = vec![Vec::new(); n * h * w * c];
                each(sizes, |row, image| terms[image].push(x[0][row]));
                terms.into_iter().map(Real::sum).collect()
            },
        ));
    }
}

/// Height and width of the output, and the length of a row.
fn rows([_, h, w, c, kernel_h, kernel_w, stride, pad_h, pad_w]: [usize; 9]) -> [usize; 3] {
    let [out_h, out_w] = [(h, pad_h, kernel_h), (w, pad_w, kernel_w)]
        .map(|(size, pad, kernel)| (size + 2 * pad - kernel) / stride + 1);
    [out_h, out_w, (kernel_h * kernel_w * c).next_multiple_of(4)]
}

/// Calls `f` with the index of every row entry and the index of the image pixel value it holds.
fn each(sizes: [usize; 9], mut f: impl FnMut(usize, usize)) {
    let [n, h, w, c, kernel_h, kernel_w, stride, pad_h, pad_w] = sizes;
    let [out_h, out_w, width] = rows(sizes);
    for pixel in 0..n * out_h * out_w {
        let b = pixel / (out_h * out_w);
        let p = pixel / out_w % out_h;
        let q = pixel % out_w;
        for tap in 0..kernel_h * kernel_w {
            let row = (p * stride + tap / kernel_w).wrapping_sub(pad_h);
            let column = (q * stride + tap % kernel_w).wrapping_sub(pad_w);
            if row < h && column < w {
                (0..c).for_each(|i| {
                    f(
                        pixel * width + tap * c + i,
                        ((b * h + row) * w + column) * c + i,
                    )
                });
            }
        }
    }
}
