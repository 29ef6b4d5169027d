//! Squared error.

use super::{Case, Input, Real};
use crate::ops;

pub fn cases(list: &mut Vec<Case>) {
    for (n, m) in [(1, 1), (3, 7), (512, 10), (5, 441)] {
        let scale = Real::rounded(1.0 / (n * m) as f64);
        let term = move |x: &[Vec<Real>], i: usize| (x[0][i] - x[1][i]) * (x[0][i] - x[1][i]) * scale;
        list.push(Case::new(
            "mse",
            format!("[{n}, {m}]"),
            vec![Input::normal(&[n, m]), Input::normal(&[n, m])],
            |_, x| ops::mse(&x[0], &x[1]),
            move |x| vec![Real::sum((0..n * m).map(|i| term(x, i)))],
        ));
        list.push(Case::new(
            "weighted_mse",
            format!("[{n}, {m}]"),
            vec![Input::normal(&[n, m]), Input::normal(&[n, m]), Input::uniform(&[n], 0.1, 2.0).constant()],
            |_, x| ops::weighted_mse(&x[0], &x[1], &x[2]),
            move |x| vec![Real::sum((0..n * m).map(|i| term(x, i) * x[2][i / m]))],
        ));
    }
}
