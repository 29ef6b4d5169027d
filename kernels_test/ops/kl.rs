//! Kullback-Leibler divergence of distributions given by logits.

use super::super::Law;
use super::{Case, Input, Real};
use crate::ops;

pub fn cases(list: &mut Vec<Case>) {
    // The last has distributions with nearly all weight on one entry.
    for (rows, k, size) in [
        (3, 1, 1.0),
        (70, 8, 1.0),
        (5, 256, 3.0),
        (2, 441, 1.0),
        (1, 8192, 1.0),
        (9, 8, 20.0),
    ] {
        let logits = || Input {
            law: Law::Normal(size),
            ..Input::normal(&[rows, k])
        };
        list.push(Case::new(
            "kl_divergence",
            format!("[{rows}, {k}] size {size}"),
            vec![logits(), logits()],
            |_, x| ops::kl_divergence(&x[0], &x[1]),
            move |x| {
                x[0].chunks(k)
                    .zip(x[1].chunks(k))
                    .map(|(a, b)| divergence(a, b))
                    .collect()
            },
        ));
    }
    list.push(Case::new(
        "kl_divergence",
        "[3, 5, 8] of equal laws",
        vec![Input::normal(&[3, 5, 8])],
        |_, x| ops::kl_divergence(&x[0], &x[0]),
        |x| x[0].chunks(8).map(|row| divergence(row, row)).collect(),
    ));
}

/// KL(softmax(a) || softmax(b)).
pub(crate) fn divergence(a: &[Real], b: &[Real]) -> Real {
    Real::sum(log_law(a).zip(log_law(b)).map(|(p, q)| p.exp() * (p - q)))
}

fn log_law(logits: &[Real]) -> impl Iterator<Item = Real> {
    let top = logits.iter().copied().fold(logits[0], Real::max).detached();
    let sum = Real::sum(logits.iter().map(|&x| (x - top).exp())).ln();
    logits.iter().map(move |&x| (x - top) - sum)
}
