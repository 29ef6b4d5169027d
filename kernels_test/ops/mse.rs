//! Squared error.

use super::{Case, Input, Real};
use crate::ops;

pub fn cases(list: &mut Vec<Case>) {
    for (n, m) in [(1, 1), (3, 7), (512, 10), (5, 441)] {
        list.push(Case::new(
            "mse",
            format!("[{n}, {m}]"),
            vec![Input::normal(&[n, m]), Input::normal(&[n, m])],
            |_, x| ops::mse(&x[0], &x[1]),
            |x| vec![Real::sum(terms(x))],
        ));
        list.push(Case::new(
            "weighted_mse",
            format!("[{n}, {m}]"),
            vec![
                Input::normal(&[n, m]),
                Input::normal(&[n, m]),
                Input::uniform(&[n], 0.1, 2.0).constant(),
            ],
            |_, x| ops::weighted_mse(&x[0], &x[1], &x[2]),
            move |x| {
                vec![Real::sum(
                    terms(x).enumerate().map(|(i, term)| term * x[2][i / m]),
                )]
            },
        ));
    }
}

/// The terms that sum to the mean.
pub(crate) fn terms(x: &[Vec<Real>]) -> impl Iterator<Item = Real> {
    let scale = Real::rounded(1.0 / x[0].len() as f64);
    x[0].iter()
        .zip(&x[1])
        .map(move |(&a, &b)| (a - b) * (a - b) * scale)
}
