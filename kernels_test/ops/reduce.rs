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
        (&[3, 65, 8], 1),
        (&[1000, 36], 0),
        (&[3, 35, 36], 1),
        (&[1030, 68], 0),
    ] {
        let sizes = [
            dims[..axis].iter().product(),
            dims[axis],
            dims[axis + 1..].iter().product(),
        ];
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
    // 31,251 rounds in one workgroup, and sums of whole numbers that f32 holds exactly. One driver
    // ends all loops of an invocation after 65,535 rounds, and a bound on rounding would hide what
    // it drops.
    for (count, how) in [(2_000_001, "one workgroup"), (2_100_003, "two passes")] {
        list.push(Case::new(
            "sum",
            format!("{count} ones, {how}"),
            vec![Input::given(&[count], vec![1.0; count])],
            |_, x| ops::sum(&x[0], 0),
            move |_| vec![Real::constant(count as f64)],
        ));
    }
    for count in [1025, 131_072, 2_500_010] {
        let numbers: Vec<f32> = (0..count).map(|i| (i * 7919 % 3) as f32 - 1.0).collect();
        let (sum, squares) = numbers.iter().fold((0.0, 0.0), |(s, q), &v| {
            (s + f64::from(v), q + f64::from(v * v))
        });
        let input = Input::given(&[count], numbers);
        let name = format!("[{count}] whole numbers");
        list.push(Case::new(
            "sum_all",
            &name,
            vec![input.clone()],
            |_, x| ops::sum_all(&x[0]),
            move |_| vec![Real::constant(sum)],
        ));
        list.push(Case::new(
            "squared_norm",
            name,
            vec![input],
            |_, x| ops::squared_norm(&x[0]),
            move |_| vec![Real::constant(squares)],
        ));
    }
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

/// Sums over the middle dimension.
pub(crate) fn sums(x: &[Real], [outer, middle, inner]: [usize; 3]) -> Vec<Real> {
    let sum = |at: usize| {
        Real::sum((0..middle).map(|r| x[(at / inner * middle + r) * inner + at % inner]))
    };
    (0..outer * inner).map(sum).collect()
}
