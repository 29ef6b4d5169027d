//! Modulation by the time step.

use super::{Case, Input};
use crate::ops;

pub fn cases(list: &mut Vec<Case>) {
    for [n, length, c] in [[1, 1, 1], [70, 5, 12], [3, 21, 5], [2, 441, 3]] {
        list.push(Case::new(
            "film_silu",
            format!("[{n}, {length}, {c}]"),
            vec![Input::normal(&[n, length, c]), Input::normal(&[n, 2 * c])],
            |_, x| ops::film_silu(&x[0], &x[1]),
            move |x| {
                let value = |at: usize| {
                    let row = 2 * c * (at / (length * c)) + at % c;
                    let u = x[0][at] * x[1][row] + x[1][row + c];
                    u * u.sigmoid()
                };
                (0..n * length * c).map(value).collect()
            },
        ));
    }
}
