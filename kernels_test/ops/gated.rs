//! Gated activation.

use super::{Case, Input, Real};
use crate::ops;

pub fn cases(list: &mut Vec<Case>) {
    for (rows, c, size) in [
        (1, 1, 2.0),
        (5, 3, 4.0),
        (441, 32, 3.0),
        (7, 128, 30.0),
        (1, 512, 3.0),
    ] {
        list.push(Case::new(
            "gated",
            format!("[{rows}, 2 x {c}] to {size}"),
            vec![Input::uniform(&[rows, 2 * c], -size, size)],
            |_, x| ops::gated(&x[0]),
            move |x| gate(&x[0], c),
        ));
    }
}

/// Applies the gate to rows of 2c entries.
pub(crate) fn gate(x: &[Real], c: usize) -> Vec<Real> {
    let value = |i: usize| x[i + i / c * c].tanh() * x[i + i / c * c + c].sigmoid();
    (0..x.len() / 2).map(value).collect()
}
