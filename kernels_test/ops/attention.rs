//! Multi-head attention.

use super::super::U;
use super::{Case, Input, Real};
use crate::ops::{self, Attention};

/// Fewest keys in a tile.
const TILE: usize = 16;

pub fn cases(list: &mut Vec<Case>) {
    for ([n, len_q, len_k, heads, d], causal, scale) in [
        ([1, 1, 1, 1, 3], false, None),
        ([2, 5, 5, 2, 3], true, Some(1.5)),
        ([1, 5, 7, 1, 32], false, None),
        ([1, 64, 64, 1, 256], false, None),
        ([1, 441, 441, 1, 8], false, None),
        ([1, 441, 441, 1, 16], true, None),
        ([1, 7, 441, 1, 128], false, None),
        ([1, 33, 65, 4, 64], true, None),
        ([2, 70, 3, 2, 32], true, None),
        ([1, 3, 70, 2, 100], true, Some(0.25)),
        ([3, 21, 40, 2, 64], false, None),
        ([1, 9, 20, 2, 130], false, None),
        // Scores over a hundred, whose exp would overflow.
        ([1, 40, 441, 1, 8], false, Some(40.0)),
    ] {
        let options = Attention { causal, scale };
        let factor = scale.map(|s| Real::constant(f64::from(s)));
        let mask = if causal { " causal" } else { "" };
        list.push(Case::new(
            "attention",
            format!("[{n}, {len_q}, {heads}, {d}] {len_k} keys{mask}"),
            {
                let [q, k, v] =
                    [len_q, len_k, len_k].map(|length| Input::normal(&[n, length, heads, d]));
                // With a single key, nothing depends on q or on it: their gradients are rounding
                // errors, which have no bound.
                if len_k == 1 {
                    vec![q.constant(), k.constant(), v]
                } else {
                    vec![q, k, v]
                }
            },
            move |_, x| ops::attention(&x[0], &x[1], &x[2], options),
            move |x| define(x, [n, len_q, len_k, heads, d], causal, factor),
        ));
    }
}

/// Attention of q, k and v; the scale defaults to 1/√d.
pub(crate) fn define(
    x: &[Vec<Real>],
    [n, len_q, len_k, heads, d]: [usize; 5],
    causal: bool,
    scale: Option<Real>,
) -> Vec<Real> {
    let scale = scale.unwrap_or(Real::rounded(1.0 / (d as f64).sqrt()));
    let row = |of: usize, length: usize, b: usize, i: usize, h: usize| {
        let first = ((b * length + i) * heads + h) * d;
        &x[of][first..first + d]
    };
    let mut y = Vec::with_capacity(x[0].len());
    for at in 0..n * len_q * heads {
        let b = at / (len_q * heads);
        let i = at / heads % len_q;
        let h = at % heads;
        let keys = if causal { len_k.min(i + 1) } else { len_k };
        let q = row(0, len_q, b, i, h);
        let dot = |j| Real::sum(q.iter().zip(row(1, len_k, b, j, h)).map(|(&q, &k)| q * k));
        let scores: Vec<Real> = (0..keys).map(|j| scale * dot(j)).collect();
        // The result does not depend on it.
        let top = scores.iter().copied().fold(scores[0], Real::max).detached();
        let weights: Vec<Real> = scores.iter().map(|&s| (s - top).exp()).collect();
        let total = Real::sum(weights.iter().copied()) * rescaled(keys);
        y.extend((0..d).map(|c| {
            let values = weights
                .iter()
                .enumerate()
                .map(|(j, &w)| w * row(2, len_k, b, j, h)[c]);
            Real::sum(values) * rescaled(keys) / total
        }));
    }
    y
}

/// One, with the error of meeting a larger maximum in every tile: exp(s − m) becomes a product of
/// exp(s − m₁), exp(m₁ − m₂), …, whose exponents have the same sign and sum to s − m, so each
/// factor adds three ULP of its own and a rounding.
fn rescaled(keys: usize) -> Real {
    Real::within(1.0, 4.0 * U * keys.div_ceil(TILE) as f64)
}
