//! Batch normalisation with given statistics.

use super::{Case, Input, Real};
use crate::ops;

pub fn cases(list: &mut Vec<Case>) {
    // The last ones split their rows into parts; one has more rows than the loop budget.
    for dims in [
        &[1, 1][..],
        &[5, 3],
        &[2, 21, 21, 3],
        &[3, 5, 7, 32],
        &[2, 4, 4, 128],
        &[1, 2, 2, 513],
        &[4096, 65],
        &[70_000, 2],
    ] {
        let c = dims[dims.len() - 1];
        list.push(Case::new(
            "batch_norm",
            format!("{dims:?}"),
            vec![
                Input::uniform(dims, -1.0, 3.0),
                Input::normal(&[c]),
                Input::normal(&[c]),
                Input::normal(&[c]).constant(),
                Input::uniform(&[c], 0.01, 4.0).constant(),
            ],
            |_, x| ops::batch_norm(&x[0], &x[1], &x[2], &x[3], &x[4], 1e-5),
            move |x| normalise(x, c, 1e-5),
        ));
    }
}

/// Normalises x, given γ, β, mean and variance.
pub(crate) fn normalise(x: &[Vec<Real>], c: usize, eps: f64) -> Vec<Real> {
    let deviation: Vec<Real> = x[4]
        .iter()
        .map(|&v| (v + Real::rounded(eps)).sqrt())
        .collect();
    let one = |(at, &v): (usize, &Real)| {
        let channel = at % c;
        x[1][channel] * ((v - x[3][channel]) * (Real::constant(1.0) / deviation[channel]))
            + x[2][channel]
    };
    x[0].iter().enumerate().map(one).collect()
}
