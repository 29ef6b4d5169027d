//! Softmax, log-softmax, cross-entropy, Gumbel-softmax.

use super::{Case, Input, Real};
use crate::ops;
use crate::tensor::Codes;

pub fn cases(list: &mut Vec<Case>) {
    for (rows, k, scale) in [
        (1, 1, 1.0),
        (3, 8, 1.0),
        (65, 7, 0.5),
        (2, 256, 1.0),
        (5, 441, 4.0),
        (2, 8192, 1.0),
    ] {
        let inputs = || {
            vec![Input {
                law: super::super::Law::Normal(3.0),
                ..Input::normal(&[rows, k])
            }]
        };
        let name = format!("[{rows}, {k}] scale {scale}");
        let define = move |x: &[Vec<Real>], finish: fn(Real, Real) -> Real| {
            x[0].chunks(k)
                .flat_map(|row| {
                    centred(row, Real::constant(f64::from(scale)))
                        .into_iter()
                        .map(move |(l, s)| finish(l, s))
                })
                .collect()
        };
        list.push(Case::new(
            "softmax",
            &name,
            inputs(),
            move |_, x| ops::softmax(&x[0], scale),
            move |x| define(x, |l, s| (l - s).exp()),
        ));
        list.push(Case::new(
            "log_softmax",
            &name,
            inputs(),
            move |_, x| ops::log_softmax(&x[0], scale),
            move |x| define(x, |l, s| l - s),
        ));
    }
    for (rows, k) in [(1, 2), (70, 8), (3, 256), (5, 512), (2, 8192)] {
        let target = move |row: usize| (row * 5 + 1) % k;
        list.push(Case::new(
            "cross_entropy",
            format!("[{rows}, {k}]"),
            vec![Input::normal(&[rows, k])],
            move |gpu, x| {
                let codes: Vec<u32> = (0..rows).map(|row| target(row) as u32).collect();
                ops::cross_entropy(&x[0], &Codes::from_slice(gpu, &codes, [rows]))
            },
            move |x| {
                let loss = |(row, logits): (usize, &[Real])| {
                    let (logit, sum) = centred(logits, Real::constant(1.0))[target(row)];
                    sum - logit
                };
                x[0].chunks(k).enumerate().map(loss).collect()
            },
        ));
    }
    for (rows, k, tau) in [(4, 8, 0.5), (3, 8, 20.0), (1, 256, 0.2)] {
        list.push(Case::new(
            "gumbel_softmax",
            format!("[{rows}, {k}] tau {tau}"),
            vec![
                Input::normal(&[rows, k]),
                Input::uniform(&[rows, k], -1.0, 3.0).constant(),
            ],
            move |_, x| ops::gumbel_softmax(&x[0], &x[1], tau),
            move |x| {
                let sums: Vec<Real> = x[0].iter().zip(&x[1]).map(|(&l, &g)| l + g).collect();
                sums.chunks(k)
                    .flat_map(|row| {
                        centred(row, Real::constant(f64::from(1.0 / tau)))
                            .into_iter()
                            .map(|(l, s)| (l - s).exp())
                    })
                    .collect()
            },
        ));
    }
}

/// For each entry of a row: (scaled logit − maximum, log Σ exp of those). The maximum cancels in
/// their difference.
pub(crate) fn centred(row: &[Real], scale: Real) -> Vec<(Real, Real)> {
    let scaled: Vec<Real> = row.iter().map(|&x| x * scale).collect();
    let top = scaled.iter().copied().fold(scaled[0], Real::max).detached();
    let sum = Real::sum(scaled.iter().map(|&x| (x - top).exp())).ln();
    scaled.iter().map(|&x| (x - top, sum)).collect()
}
