//! Transposed, joined and cut tensors.

use super::{Case, Input, Real};
use crate::ops;

pub fn cases(list: &mut Vec<Case>) {
    for dims in [
        &[1, 1][..],
        &[21, 21],
        &[3, 5, 130],
        &[2, 3, 7, 4],
        &[441, 32],
        &[1, 3, 512],
    ] {
        let rows = dims[dims.len() - 2];
        let columns = dims[dims.len() - 1];
        list.push(Case::new(
            "transpose",
            format!("{dims:?}"),
            vec![Input::normal(dims)],
            |_, x| ops::transpose(&x[0]),
            move |x| transpose(&x[0], [rows, columns]),
        ));
    }
    for [n, h, w, c] in [
        [1, 1, 1, 1],
        [1, 21, 21, 3],
        [2, 5, 3, 32],
        [3, 4, 7, 6],
        [2, 3, 3, 128],
    ] {
        list.push(Case::new(
            "to_nhwc",
            format!("{:?}", [n, c, h, w]),
            vec![Input::normal(&[n, c, h, w])],
            |_, x| ops::to_nhwc(&x[0]),
            move |x| transpose(&x[0], [c, h * w]),
        ));
        list.push(Case::new(
            "to_nchw",
            format!("{:?}", [n, h, w, c]),
            vec![Input::normal(&[n, h, w, c])],
            |_, x| ops::to_nchw(&x[0]),
            move |x| transpose(&x[0], [h * w, c]),
        ));
    }
    for (before, c1, c2) in [
        (&[][..], 1, 2),
        (&[7], 3, 1),
        (&[1, 21, 21], 32, 3),
        (&[2, 5, 3], 5, 6),
        (&[3], 128, 512),
        (&[65], 1, 1),
    ] {
        let dims = |c: usize| [before, &[c]].concat();
        list.push(Case::new(
            "concat",
            format!("{:?} and {:?}", dims(c1), dims(c2)),
            vec![Input::normal(&dims(c1)), Input::normal(&dims(c2))],
            |_, x| ops::concat(&x[0], &x[1]),
            move |x| {
                x[0].chunks(c1)
                    .zip(x[1].chunks(c2))
                    .flat_map(|(a, b)| [a, b].concat())
                    .collect()
            },
        ));
    }
    for (dims, start, length) in [
        (&[1][..], 0, 1),
        (&[7, 3], 1, 2),
        (&[1, 21, 21, 32], 0, 17),
        (&[2, 5, 3, 9], 8, 1),
        (&[3, 640], 128, 512),
        (&[5, 6], 0, 6),
    ] {
        let c = dims[dims.len() - 1];
        list.push(Case::new(
            "narrow",
            format!("{dims:?} {start}..{}", start + length),
            vec![Input::normal(dims)],
            move |_, x| ops::narrow(&x[0], start, length),
            move |x| {
                x[0].chunks(c)
                    .flat_map(|row| row[start..start + length].to_vec())
                    .collect()
            },
        ));
    }
}

/// Transposes each matrix of [rows, columns].
fn transpose(x: &[Real], [rows, columns]: [usize; 2]) -> Vec<Real> {
    let turned = |m: &[Real]| -> Vec<Real> {
        (0..rows * columns)
            .map(|at| m[at % rows * columns + at / rows])
            .collect()
    };
    x.chunks(rows * columns).flat_map(turned).collect()
}
