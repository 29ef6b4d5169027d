//! The kernels that measure what an adapter can do.

use super::{Case, Input, Real};
use crate::ops;

pub fn cases(list: &mut Vec<Case>) {
    for (count, rounds) in [(1, 1), (65, 3), (300, 0), (70_000, 2)] {
        let a = 0.75;
        let b = 0.3125;
        list.push(Case::new(
            "fma_chain",
            format!("{count} of {rounds} rounds"),
            vec![Input::normal(&[count]).constant()],
            move |_, x| ops::fma_chain(&x[0], rounds, [a as f32, b as f32]),
            move |x| x[0].iter().map(|&x| chains(x, 8 * rounds, a, b)).collect(),
        ));
    }
    for count in [4, 252, 1_028] {
        list.push(Case::new(
            "copy",
            format!("{count}"),
            vec![Input::normal(&[count]).constant()],
            |_, x| ops::copy(&x[0]),
            |x| x[0].clone(),
        ));
    }
}

fn chains(x: Real, links: usize, a: f64, b: f64) -> Real {
    let chain = |j: usize| {
        (0..links).fold(x + Real::from(j as f64 / 8.0), |v, _| {
            v * Real::from(a) + Real::from(b)
        })
    };
    Real::sum((0..12).map(chain))
}
