//! The nearest code, and the first minimum of a row.

use super::{Case, Input, Real};
use crate::ops;

pub fn cases(list: &mut Vec<Case>) {
    for (rows, k, d) in [
        (1, 1, 1),
        (13, 8, 2),
        (65, 5, 3),
        (3, 1, 4),
        (441, 128, 32),
        (1500, 7, 4),
        (3, 1024, 128),
        (5, 8192, 128),
        (33, 2048, 128),
        (2, 1027, 512),
        (2, 2050, 511),
    ] {
        list.push(Case::new(
            "nearest_code",
            format!("[{rows}, {d}] of {k}"),
            vec![
                Input::normal(&[rows, d]).constant(),
                Input::normal(&[k, d]).constant(),
            ],
            |_, x| ops::nearest(&x[0], &x[1]),
            move |x| x[0].chunks(d).flat_map(|z| nearest(z, &x[1])).collect(),
        ));
    }
    // Codes 1 and 3 are equal, and codes 0 and 2 equally far: the lowest index wins.
    list.push(Case::new(
        "nearest_code",
        "ties",
        vec![
            Input::given(&[2, 1], vec![0.0, 5.0]),
            Input::given(&[4, 1], vec![-1.0, 5.0, 1.0, 5.0]),
        ],
        |_, x| ops::nearest(&x[0], &x[1]),
        |_| [0, 1].into_iter().flat_map(Real::code).collect(),
    ));
    // 25 codes repeat throughout every part, up to the last one, and every row equals one of them.
    for (d, k) in [(3, 1003), (4, 1003), (4, 1004)] {
        let digits =
            move |row: usize| (0..d).map(move |i| (row % 25 / 10usize.pow(i as u32) % 10) as f32);
        list.push(Case::new(
            "nearest_code",
            format!("ties across parts of {k}, d = {d}"),
            vec![
                Input::given(&[130, d], (0..130).flat_map(digits).collect()),
                Input::given(&[k, d], (0..k).flat_map(digits).collect()),
            ],
            |_, x| ops::nearest(&x[0], &x[1]),
            |_| (0..130).flat_map(|row| Real::code(row % 25)).collect(),
        ));
    }
    // Each code is nearest to itself, including those of an incomplete last part.
    for (d, k) in [(1, 1003), (4, 1003), (4, 1004)] {
        let codes: Vec<f32> = (0..k * d).map(|i| i as f32).collect();
        list.push(Case::new(
            "nearest_code",
            format!("each of {k} itself, d = {d}"),
            vec![
                Input::given(&[k, d], codes.clone()),
                Input::given(&[k, d], codes),
            ],
            |_, x| ops::nearest(&x[0], &x[1]),
            move |_| (0..k as u32).flat_map(Real::code).collect(),
        ));
    }
    // So far from zero that the products of a row with different codes differ by less than their
    // rounding errors: only distances tell the codes apart.
    let rows = 67;
    let k = 132;
    let d = 8;
    let codes: Vec<f32> = (0..k * d)
        .map(|i| 5000.0 + (i * i % 61) as f32 / 8.0 + (i / d) as f32 / 64.0)
        .collect();
    list.push(Case::new(
        "nearest_code",
        format!("[{rows}, {d}] of {k} around 5000"),
        vec![
            Input::given(&[rows, d], codes[d..][..rows * d].to_vec()),
            Input::given(&[k, d], codes),
        ],
        |_, x| ops::nearest(&x[0], &x[1]),
        |_| (1..68).flat_map(Real::code).collect(),
    ));
    // Pairs of codes four apart: products cannot tell the two from each other, only from all
    // others.
    let codes: Vec<f32> = (0..k)
        .flat_map(|i| {
            vec![5000.0 + 512.0 * (i / 8 * 4 + i % 4) as f32 + (i % 8 / 4) as f32 / 64.0; d]
        })
        .collect();
    list.push(Case::new(
        "nearest_code",
        format!("[{k}, {d}] of {k}, pairs around 5000"),
        vec![
            Input::given(&[k, d], codes.clone()),
            Input::given(&[k, d], codes),
        ],
        |_, x| ops::nearest(&x[0], &x[1]),
        move |_| (0..k as u32).flat_map(Real::code).collect(),
    ));
    // More rows than scores are stored for at a time.
    let rows = 66_000;
    let k = 256;
    let d = 4;
    let codes: Vec<f32> = (0..k * d)
        .map(|i| (i / d % 16 * (1 + i % d) + i / d / 16 * (i % d) * (i % d)) as f32)
        .collect();
    list.push(Case::new(
        "nearest_code",
        format!("[{rows}, {d}] of {k}"),
        vec![
            Input::given(
                &[rows, d],
                (0..rows)
                    .flat_map(|row| codes[row % k * d..][..d].to_vec())
                    .collect(),
            ),
            Input::given(&[k, d], codes),
        ],
        |_, x| ops::nearest(&x[0], &x[1]),
        move |_| {
            (0..rows as u32)
                .flat_map(|row| Real::code(row % k as u32))
                .collect()
        },
    ));
    for dims in [
        &[1][..],
        &[7, 1],
        &[3, 5],
        &[2, 65, 3],
        &[441, 128],
        &[3, 8192],
        &[2, 60_001],
    ] {
        let k = dims[dims.len() - 1];
        list.push(Case::new(
            "argmin",
            format!("{dims:?}"),
            vec![Input::normal(dims).constant()],
            |_, x| ops::argmin(&x[0]),
            move |x| {
                x[0].chunks(k)
                    .flat_map(|row| Real::code(first_least(row.iter().map(|v| v.value))))
                    .collect()
            },
        ));
    }
    // Few distinct values, so each row has its minimum in many columns.
    for (rows, k) in [(5, 4), (70, 1000), (3, 8192)] {
        let numbers: Vec<f32> = (0..rows * k)
            .map(|i| ((i * i + i / k) % 7) as f32 - 3.0)
            .collect();
        list.push(Case::new(
            "argmin",
            format!("[{rows}, {k}] ties"),
            vec![Input::given(&[rows, k], numbers)],
            |_, x| ops::argmin(&x[0]),
            move |x| {
                x[0].chunks(k)
                    .flat_map(|row| Real::code(first_least(row.iter().map(|v| v.value))))
                    .collect()
            },
        ));
    }
}

pub(crate) fn first_least(values: impl Iterator<Item = f64>) -> u32 {
    let least = values
        .enumerate()
        .reduce(|best, v| if v.1 < best.1 { v } else { best });
    least.map_or(0, |(at, _)| at as u32)
}

/// The nearest code. Where rounding may make other codes nearer, the bound reaches to their
/// indices.
pub(crate) fn nearest(z: &[Real], codebook: &[Real]) -> [Real; 2] {
    let squares =
        |code: &[Real]| Real::sum(z.iter().zip(code).map(|(&v, &e)| v - e).map(|v| v * v));
    let distances: Vec<Real> = codebook.chunks(z.len()).map(squares).collect();
    let best = first_least(distances.iter().map(|v| v.value));
    let limit = distances[best as usize].value + distances[best as usize].bound;
    let mut code = Real::code(best);
    for (at, _) in distances
        .iter()
        .enumerate()
        .filter(|(_, v)| v.value - v.bound <= limit)
    {
        for (half, other) in code.iter_mut().zip(Real::code(at as u32)) {
            *half = Real::within(half.value, half.bound.max((half.value - other.value).abs()));
        }
    }
    code
}
