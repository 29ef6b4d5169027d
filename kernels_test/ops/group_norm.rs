//! Group and layer normalisation, with and without SiLU.

use super::{Case, Input, Real, U};
use crate::ops;

pub fn cases(list: &mut Vec<Case>) {
    for [n, hw, c, groups] in [
        [1, 1, 4, 1],
        [2, 25, 6, 3],
        [1, 441, 8, 2],
        [3, 64, 32, 32],
        [2, 5, 130, 1],
        [2, 3, 12, 4],
    ] {
        list.push(Case::new(
            "group_norm",
            format!("[{n}, {hw}, {c}] groups {groups}"),
            vec![
                Input::uniform(&[n, hw, c], -1.0, 3.0),
                Input::normal(&[c]),
                Input::normal(&[c]),
            ],
            move |_, x| ops::group_norm(&x[0], &x[1], &x[2], groups, 1e-5),
            move |x| normalise(x, [n, hw, c, groups], 1e-5),
        ));
    }
    for [n, hw, c, groups] in [
        [1, 1, 4, 1],
        [2, 25, 6, 3],
        [2, 21, 9, 3],
        [1, 441, 32, 8],
        [2, 9, 128, 32],
        [1, 4, 512, 32],
    ] {
        list.push(Case::new(
            "group_norm_silu",
            format!("[{n}, {hw}, {c}] groups {groups}"),
            vec![
                Input::uniform(&[n, hw, c], -1.0, 3.0),
                Input::normal(&[c]),
                Input::normal(&[c]),
            ],
            move |_, x| ops::group_norm_silu(&x[0], &x[1], &x[2], groups, 1e-5),
            move |x| {
                normalise(x, [n, hw, c, groups], 1e-5)
                    .into_iter()
                    .map(|u| u * u.sigmoid())
                    .collect()
            },
        ));
    }
    // The last has more rows than a grid dimension can have workgroups.
    for [rows, c] in [[1, 2], [5, 12], [7, 65], [3, 513], [66_001, 3]] {
        list.push(Case::new(
            "layer_norm",
            format!("[{rows}, {c}]"),
            vec![
                Input::normal(&[rows, c]),
                Input::normal(&[c]),
                Input::normal(&[c]),
            ],
            |_, x| ops::layer_norm(&x[0], &x[1], &x[2], 1e-5),
            move |x| normalise(x, [rows, 1, c, 1], 1e-5),
        ));
    }
}

/// Normalises x, given γ and β.
pub(crate) fn normalise(x: &[Vec<Real>], [n, hw, c, groups]: [usize; 4], eps: f64) -> Vec<Real> {
    let width = c / groups;
    let mut y = vec![Real::default(); n * hw * c];
    for slab in 0..n * groups {
        let b = slab / groups;
        let g = slab % groups;
        let places: Vec<(usize, usize)> = (0..hw)
            .flat_map(|p| {
                (0..width).map(move |i| ((b * hw + p) * c + g * width + i, g * width + i))
            })
            .collect();
        let scale = Real::rounded(1.0 / places.len() as f64);
        let mean = Real::sum(places.iter().map(|&(at, _)| x[0][at])) * scale;
        let squares = places
            .iter()
            .map(|&(at, _)| (x[0][at] - mean) * (x[0][at] - mean));
        // No rounding makes a sum of squares negative, or ε much smaller.
        let inverse =
            (Real::sum(squares) * scale + Real::rounded(eps)).inverse_root(eps * (1.0 - 4.0 * U));
        for &(at, channel) in &places {
            y[at] = x[1][channel] * ((x[0][at] - mean) * inverse) + x[2][channel];
        }
    }
    y
}
