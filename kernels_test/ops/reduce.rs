//! Sums and means.

use super::{Case, Input, Real};
use crate::ops;

pub fn cases(list: &mut Vec<Case>) {
    for (dims, axis) in [
        (&[1][..], 0),
        (&[7, 5], 0),
        (&[7, 5], 1),
        (&[3, 64, 2], 1),
        (&[3, 65, 2], 1),
        (&[2, 2049, 3], 1),
        (&[64, 33, 70], 1),
        (&[21, 21, 3], 0),
    ] {
        let sizes = [dims[..axis].iter().product(), dims[axis], dims[axis + 1..].iter().product()];
        list.push(Case::new(
            "sum",
            format!("{dims:?} axis {axis}"),
            vec![Input::normal(dims)],
            move |_, x| ops::sum(&x[0], axis),
            move |x| sums(&x[0], sizes),
        ));
        let scale = Real::rounded(1.0 / dims[axis] as f64);
        list.push(Case::new(
            "mean",
            format!("{dims:?} axis {axis}"),
            vec![Input::normal(dims)],
            move |_, x| ops::mean(&x[0], axis),
            move |x| sums(&x[0], sizes).into_iter().map(|s| s * scale).collect(),
        ));
    }
    // 131,072 ones: one driver ends all loops of an invocation after 65,535 rounds, a float sum alone would hide it.
    list.push(Case::new(
        "sum_all",
        "131072 ones",
        vec![Input::given(&[131_072], vec![1.0; 131_072])],
        |_, x| ops::sum_all(&x[0]),
        |_| vec![Real::constant(131_072.0)],
    ));
    for count in [1, 63, 1024, 1025, 4096, 150_000] {
        list.push(Case::new(
            "mean_all",
            format!("[{count}]"),
            vec![Input::normal(&[count])],
            |_, x| ops::mean_all(&x[0]),
            move |x| vec![Real::sum(x[0].iter().copied()) * Real::rounded(1.0 / count as f64)],
        ));
        list.push(Case::new(
            "squared_norm",
            format!("[{count}]"),
            vec![Input::normal(&[count]).constant()],
            |_, x| ops::squared_norm(&x[0]),
            |x| vec![Real::sum(x[0].iter().map(|&v| v * v))],
        ));
    }
}

fn sums(x: &[Real], [outer, middle, inner]: [usize; 3]) -> Vec<Real> {
    let sum = |at: usize| Real::sum((0..middle).map(|r| x[(at / inner * middle + r) * inner + at % inner]));
    (0..outer * inner).map(sum).collect()
}
