//! Images enlarged, framed, and cut.

use super::{Case, Input, Real};
use crate::ops;

pub fn cases(list: &mut Vec<Case>) {
    for ([n, h, w, c], scale) in [
        ([1, 1, 1, 1], 1),
        ([1, 21, 21, 32], 2),
        ([2, 5, 3, 3], 3),
        ([3, 4, 7, 6], 2),
        ([1, 3, 2, 128], 4),
        ([2, 2, 2, 512], 2),
    ] {
        list.push(Case::new(
            "upsample_nearest",
            format!("{:?} by {scale}", [n, h, w, c]),
            vec![Input::normal(&[n, h, w, c])],
            move |_, x| ops::upsample_nearest(&x[0], scale),
            move |x| {
                images([n, h * scale, w * scale, c], |n, p, q, i| {
                    x[0][((n * h + p / scale) * w + q / scale) * c + i]
                })
            },
        ));
    }
    for (dims, sides) in [
        ([1, 1, 1, 1], [0, 0, 0, 0]),
        ([1, 21, 21, 32], [1, 2, 2, 1]),
        ([2, 5, 3, 3], [0, 1, 0, 1]),
        ([3, 4, 7, 6], [2, 0, 3, 0]),
        ([1, 5, 6, 128], [1, 1, 1, 1]),
        ([2, 3, 4, 512], [1, 0, 0, 2]),
    ] {
        let [n, h, w, c] = dims;
        let [top, bottom, left, right] = sides;
        list.push(Case::new(
            "pad",
            format!("{dims:?} by {sides:?}"),
            vec![Input::normal(&dims)],
            move |_, x| ops::pad(&x[0], sides),
            move |x| {
                images([n, h + top + bottom, w + left + right, c], |n, p, q, i| {
                    let inside = (top..top + h).contains(&p) && (left..left + w).contains(&q);
                    if inside {
                        x[0][((n * h + p - top) * w + q - left) * c + i]
                    } else {
                        Real::default()
                    }
                })
            },
        ));
        list.push(Case::new(
            "crop",
            format!("{dims:?} by {sides:?}"),
            vec![Input::normal(&dims)],
            move |_, x| ops::crop(&x[0], sides),
            move |x| {
                images([n, h - top - bottom, w - left - right, c], |n, p, q, i| {
                    x[0][((n * h + p + top) * w + q + left) * c + i]
                })
            },
        ));
    }
}

/// Images [n, h, w, c] made of `pixel` at (n, row, column, channel).
pub(crate) fn images(
    [n, h, w, c]: [usize; 4],
    pixel: impl Fn(usize, usize, usize, usize) -> Real,
) -> Vec<Real> {
    (0..n * h * w * c)
        .map(|at| pixel(at / (h * w * c), at / (w * c) % h, at / c % w, at % c))
        .collect()
}
