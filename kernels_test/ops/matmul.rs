//! Matrix products.

use super::{Case, Input, Real};
use crate::ops::{self, Trans};

pub fn cases(list: &mut Vec<Case>) {
    let shapes = [
        [1, 1, 1, 1],
        [2, 3, 5, 7],
        [1, 4, 4, 4],
        [3, 5, 9, 3],
        [1, 17, 13, 33],
        [1, 64, 12, 12],
        [2, 21, 441, 8],
        [1, 3, 2500, 5],
        [1, 12, 700, 12],
        // Blocks of 32 rows and of 32 or 64 columns: below, at and above; split over K.
        [1, 16, 4, 16],
        [2, 40, 24, 20],
        [1, 32, 12, 64],
        [1, 68, 20, 132],
        [1, 20, 520, 36],
        [2, 132, 520, 36],
    ];
    for [batch, m, k, n] in shapes {
        for (a, b) in [(false, false), (false, true), (true, false), (true, true)] {
            let trans = Trans { a, b };
            let dims_a = if a { [batch, k, m] } else { [batch, m, k] };
            let dims_b = if b { [batch, n, k] } else { [batch, k, n] };
            list.push(Case::new(
                "matmul",
                format!(
                    "batch {batch} m {m} k {k} n {n}{}{}",
                    if a { " aT" } else { "" },
                    if b { " bT" } else { "" }
                ),
                vec![Input::normal(&dims_a), Input::normal(&dims_b)],
                move |_, x| ops::matmul(&x[0], &x[1], trans),
                move |x| product(x, [batch, m, k, n], trans),
            ));
        }
    }
    for (dims, i, o, bias) in [
        (&[3, 5][..], 5, 7, true),
        (&[2, 5, 12], 12, 12, false),
        (&[2, 600], 600, 3, true),
        (&[1, 1], 1, 1, true),
        (&[3, 7, 128], 128, 36, true),
        (&[9, 32], 32, 512, true),
        (&[5, 7, 20], 20, 24, true),
        (&[33, 520], 520, 36, true),
    ] {
        let rows = dims.iter().product::<usize>() / i;
        let mut inputs = vec![Input::normal(dims), Input::normal(&[o, i])];
        inputs.extend(bias.then(|| Input::normal(&[o])));
        list.push(Case::new(
            "linear",
            format!("{dims:?} -> {o}{}", if bias { " bias" } else { "" }),
            inputs,
            |_, x| ops::linear(&x[0], &x[1], x.get(2)),
            move |x| {
                let y = product(x, [1, rows, i, o], Trans { a: false, b: true });
                y.into_iter()
                    .enumerate()
                    .map(|(at, v)| x.get(2).map_or(v, |b| v + b[at % o]))
                    .collect()
            },
        ));
    }
    for (dims, i, o) in [
        (&[2, 5, 12][..], 12, 12),
        (&[3, 7], 7, 5),
        (&[1, 700], 700, 2),
        (&[37, 16], 16, 68),
    ] {
        let rows = dims.iter().product::<usize>() / i;
        let residual: Vec<usize> = dims[..dims.len() - 1].iter().copied().chain([o]).collect();
        list.push(Case::new(
            "linear_residual",
            format!("{dims:?} -> {o}"),
            vec![
                Input::normal(dims),
                Input::normal(&[o, i]),
                Input::normal(&residual),
            ],
            |_, x| ops::linear_residual(&x[0], &x[1], &x[2]),
            move |x| {
                let y = product(x, [1, rows, i, o], Trans { a: false, b: true });
                y.into_iter().zip(&x[2]).map(|(v, &r)| v + r).collect()
            },
        ));
    }
}

/// The batched product.
pub(crate) fn product(x: &[Vec<Real>], [batch, m, k, n]: [usize; 4], trans: Trans) -> Vec<Real> {
    let a = &x[0];
    let b = &x[1];
    let mut y = Vec::with_capacity(batch * m * n);
    for s in 0..batch {
        for i in 0..m {
            for j in 0..n {
                let left = |l: usize| a[s * m * k + if trans.a { l * m + i } else { i * k + l }];
                let right = |l: usize| b[s * k * n + if trans.b { j * k + l } else { l * n + j }];
                y.push(Real::sum((0..k).map(|l| left(l) * right(l))));
            }
        }
    }
    y
}
