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
            move |x| table_rows(&x[0], (0..rows).map(code), d),
        ));
        list.push(Case::new(
            "scatter_add",
            format!("[{rows}, {d}] -> {entries}"),
            vec![Input::normal(&[rows, d]).constant()],
            move |gpu, x| ops::scatter_add(&x[0], &Codes::from_slice(gpu, &for_scatter, [rows]), entries),
            move |x| sums_by_code(&x[0], &(0..rows).map(code).collect::<Vec<_>>(), entries, d),
        ));
    }
}

/// Row by row the table's row of that code.
pub(crate) fn table_rows(table: &[Real], codes: impl Iterator<Item = usize>, d: usize) -> Vec<Real> {
    codes.flat_map(|code| table[code * d..(code + 1) * d].to_vec()).collect()
}

/// For each code the sum of its rows.
pub(crate) fn sums_by_code(x: &[Real], codes: &[usize], entries: usize, d: usize) -> Vec<Real> {
    let mut terms = vec![Vec::new(); entries * d];
    for (row, &code) in codes.iter().enumerate() {
        for i in 0..d {
            terms[code * d + i].push(x[row * d + i]);
        }
    }
    terms.into_iter().map(Real::sum).collect()
}
