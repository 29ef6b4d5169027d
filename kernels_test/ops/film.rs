//! Modulation by the time step.

use super::{Case, Input};
use crate::ops;
use crate::tensor::Codes;

pub fn cases(list: &mut Vec<Case>) {
    for (n, length, c, entries) in [(1, 1, 1, 1), (70, 5, 12, 51), (3, 21, 5, 2), (2, 441, 3, 7)] {
        let level = move |n: usize| (n * 7 + 2) % entries;
        list.push(Case::new(
            "film_silu",
            format!("[{n}, {length}, {c}] of {entries}"),
            vec![Input::normal(&[n, length, c]), Input::normal(&[entries, 2 * c])],
            move |gpu, x| {
                let t: Vec<u32> = (0..n).map(|i| level(i) as u32).collect();
                ops::film_silu(&x[0], &x[1], &Codes::from_slice(gpu, &t, [n]))
            },
            move |x| {
                let value = |at: usize| {
                    let row = 2 * c * level(at / (length * c)) + at % c;
                    let u = x[0][at] * x[1][row] + x[1][row + c];
                    u * u.sigmoid()
                };
                (0..n * length * c).map(value).collect()
            },
        ));
    }
}
