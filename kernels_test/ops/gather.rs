//! Rows of a table by index.

use super::{Case, Input, Real};
use crate::ops;
use crate::tensor::Codes;

pub fn cases(list: &mut Vec<Case>) {
    for (rows, entries, d) in [(1, 1, 1), (13, 8, 2), (512, 51, 24), (5000, 3, 5), (9000, 2, 1)] {
        // Every entry is hit, in no simple order.
        let code = move |row: usize| (row * 7 + row / 3) % entries;
        let codes: Vec<u32> = (0..rows).map(|row| code(row) as u32).collect();
        let (for_gather, for_scatter) = (codes.clone(), codes);
        list.push(Case::new(
            "embedding",
            format!("{rows} of [{entries}, {d}]"),
            vec![Input::normal(&[entries, d])],
            move |gpu, x| ops::gather(&x[0], &Codes::from_slice(gpu, &for_gather, [rows])),
            move |x| (0..rows).flat_map(|row| x[0][code(row) * d..(code(row) + 1) * d].to_vec()).collect(),
        ));
        list.push(Case::new(
            "scatter_add",
            format!("[{rows}, {d}] -> {entries}"),
            vec![Input::normal(&[rows, d]).constant()],
            move |gpu, x| ops::scatter_add(&x[0], &Codes::from_slice(gpu, &for_scatter, [rows]), entries),
            move |x| {
                let sum = |at: usize| {
                    Real::sum((0..rows).filter(|&row| code(row) == at / d).map(|row| x[0][row * d + at % d]))
                };
                (0..entries * d).map(sum).collect()
            },
        ));
    }
}
