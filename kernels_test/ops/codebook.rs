//! Distances to code vectors and the nearest one.

use super::{Case, Input, Real};
use crate::ops;

pub fn cases(list: &mut Vec<Case>) {
    for (rows, k, d) in [(1, 1, 1), (13, 8, 2), (65, 5, 3), (441, 128, 32), (1500, 7, 4), (3, 1024, 128)] {
        list.push(Case::new(
            "nearest_code",
            format!("[{rows}, {d}] of {k}"),
            vec![Input::normal(&[rows, d]).constant(), Input::normal(&[k, d]).constant()],
            |_, x| ops::nearest(&x[0], &x[1]),
            move |x| {
                let nearest = |row: usize| {
                    let distance = |code: usize| squared(x, row, code, d).value;
                    (0..k).fold(0, |best, code| if distance(code) < distance(best) { code } else { best })
                };
                (0..rows).flat_map(|row| Real::code(nearest(row) as u32)).collect()
            },
        ));
        if rows * k <= 15_000 {
            list.push(Case::new(
                "code_distances",
                format!("[{rows}, {d}] to {k}"),
                vec![Input::normal(&[rows, d]), Input::normal(&[k, d])],
                |_, x| ops::distances(&x[0], &x[1]),
                move |x| (0..rows * k).map(|at| squared(x, at / k, at % k, d)).collect(),
            ));
        }
    }
    // Codes 1 and 3 are equal, and 0 and 2 equally far: the lowest index wins.
    list.push(Case::new(
        "nearest_code",
        "ties",
        vec![Input::given(&[2, 1], vec![0.0, 5.0]), Input::given(&[4, 1], vec![-1.0, 5.0, 1.0, 5.0])],
        |_, x| ops::nearest(&x[0], &x[1]),
        |_| [0, 1].into_iter().flat_map(Real::code).collect(),
    ));
    // The declared gradient of the straight-through estimator: the identity.
    list.push(Case::new(
        "straight_through",
        "[7, 3]",
        vec![Input::normal(&[7, 3]), Input::normal(&[7, 3]).constant()],
        |_, x| ops::straight_through(&x[0], &x[1]),
        |x| x[0].iter().zip(&x[1]).map(|(z, q)| Real { tangent: z.tangent, ..*q }).collect(),
    ));
}

fn squared(x: &[Vec<Real>], row: usize, code: usize, d: usize) -> Real {
    Real::sum((0..d).map(|i| x[0][row * d + i] - x[1][code * d + i]).map(|v| v * v))
}
