//! Bilinear interpolation.

use super::resample::images;
use super::{Case, Input, Real};
use crate::ops;

pub fn cases(list: &mut Vec<Case>) {
    for (dims, to) in [
        ([1, 1, 1, 1], [1, 1]),
        ([2, 1, 3, 3], [4, 7]),
        ([1, 8, 8, 3], [8, 8]),
        ([2, 5, 7, 6], [13, 11]),
        ([1, 21, 21, 3], [16, 64]),
        ([1, 40, 33, 2], [7, 5]),
        ([1, 3, 2, 130], [6, 4]),
        ([1, 32, 32, 3], [75, 75]),
        ([1, 2, 1, 1], [500, 60]),
        ([3, 2, 9, 5], [1, 1]),
    ] {
        let [n, h, w, c] = dims;
        list.push(Case::new(
            "bilinear",
            format!("{dims:?} to {}x{}", to[0], to[1]),
            vec![Input::normal(&dims)],
            move |_, x| ops::bilinear(&x[0], to),
            move |x| {
                images([n, to[0], to[1], c], |image, p, q, channel| {
                    let of = |i: usize, j: usize| x[0][((image * h + i) * w + j) * c + channel];
                    let line = |i: usize| {
                        shares(q, w, to[1])
                            .into_iter()
                            .map(|(j, share)| share * of(i, j))
                            .reduce(|a, b| a + b)
                    };
                    let rows = shares(p, h, to[0]).into_iter();
                    let sum = rows
                        .filter_map(|(i, share)| Some(share * line(i)?))
                        .reduce(|a, b| a + b);
                    sum.expect("two rows")
                })
            },
        ));
    }
}

/// The two positions along a side of length `size` that position `at` along a side of length `to`
/// interpolates between, with their weights.
fn shares(at: usize, size: usize, to: usize) -> [(usize, Real); 2] {
    let source = ((at as f64 + 0.5) * size as f64 / to as f64 - 0.5).max(0.0);
    // f64 does not hit halves and the like exactly: a position that rounding puts just below a
    // whole number is that number.
    let low = (source + 1e-9).floor();
    let fraction = (source - low).max(0.0);
    // One division in f32: 2.5 ULP.
    let share = |v: f64| Real::within(v, 2.5 * super::U * v);
    [
        (low as usize, share(1.0 - fraction)),
        ((low as usize + 1).min(size - 1), share(fraction)),
    ]
}
