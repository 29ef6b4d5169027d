//! Rows of a table by index.

use super::{Case, Input, Real};
use crate::ops;
use crate::tensor::Codes;

pub fn cases(list: &mut Vec<Case>) {
    for (rows, entries, d) in [
        (1, 1, 1),
        (13, 8, 2),
        (512, 51, 24),
        (5000, 3, 5),
        (33_100, 2, 1),
        (1300, 700, 3),
    ] {
        // Every entry is hit, in an irregular order.
        let code = move |row: usize| (row * 7 + row / 3) % entries;
        let codes: Vec<u32> = (0..rows).map(|row| code(row) as u32).collect();
        let for_gather = codes.clone();
        let for_scatter = codes;
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
            vec![rows_of(rows, d)],
            move |gpu, x| {
                ops::scatter_add(
                    &x[0],
                    &Codes::from_slice(gpu, &for_scatter, [rows]),
                    entries,
                )
            },
            move |x| sums(x, entries, d, code),
        ));
    }
    // Rows share one code, as with a collapsed codebook, except for some whose code is not in the
    // table and counts nowhere.
    for (rows, entries, d) in [(1100, 130, 4), (33_000, 3, 1)] {
        let code = move |row: usize| if row % 5 == 3 { entries + row % 2 } else { 1 };
        let codes: Vec<u32> = (0..rows).map(|row| code(row) as u32).collect();
        let for_counts = codes.clone();
        let for_gather = codes.clone();
        list.push(Case::new(
            "embedding",
            format!("{rows} of [{entries}, {d}], some of none"),
            vec![Input::normal(&[entries, d])],
            move |gpu, x| ops::gather(&x[0], &Codes::from_slice(gpu, &for_gather, [rows])),
            move |x| table_rows(&x[0], (0..rows).map(code), d),
        ));
        list.push(Case::new(
            "scatter_add",
            format!("[{rows}, {d}] -> 1 of {entries}"),
            vec![rows_of(rows, d)],
            move |gpu, x| ops::scatter_add(&x[0], &Codes::from_slice(gpu, &codes, [rows]), entries),
            move |x| sums(x, entries, d, code),
        ));
        list.push(Case::new(
            "code_counts",
            format!("{rows} of 1 of {entries}"),
            vec![],
            move |gpu, _| ops::code_counts(&Codes::from_slice(gpu, &for_counts, [rows]), entries),
            move |_| {
                let count = |entry| (0..rows).filter(|&row| code(row) == entry).count();
                (0..entries)
                    .map(|entry| Real::constant(count(entry) as f64))
                    .collect()
            },
        ));
    }
}

/// The table's row for each code, zeros for a code outside the table.
pub(crate) fn table_rows(
    table: &[Real],
    codes: impl Iterator<Item = usize>,
    d: usize,
) -> Vec<Real> {
    codes
        .flat_map(|code| match table.get(code * d..(code + 1) * d) {
            Some(row) => row.to_vec(),
            None => vec![Real::constant(0.0); d],
        })
        .collect()
}

/// Large inputs hold multiples of one half, whose sums are exact: a bound on rounding would hide a
/// row that is left out.
fn rows_of(rows: usize, d: usize) -> Input {
    if rows < 1000 {
        return Input::normal(&[rows, d]).constant();
    }
    Input::given(
        &[rows, d],
        (0..rows * d)
            .map(|i| (i * 7919 % 17) as f32 - 8.5)
            .collect(),
    )
}

/// Sums of the rows of [`rows_of`] by code.
fn sums(x: &[Vec<Real>], entries: usize, d: usize, code: impl Fn(usize) -> usize) -> Vec<Real> {
    let exact = |sum: Real| {
        if x[0].len() / d < 1000 {
            sum
        } else {
            Real::constant(sum.value)
        }
    };
    sums_by_code(x, entries, d, code)
        .into_iter()
        .map(exact)
        .collect()
}

/// Sums of rows by code.
pub(crate) fn sums_by_code(
    x: &[Vec<Real>],
    entries: usize,
    d: usize,
    code: impl Fn(usize) -> usize,
) -> Vec<Real> {
    let rows = x[0].len() / d;
    let of = |entry: usize| -> Vec<usize> { (0..rows).filter(|&row| code(row) == entry).collect() };
    let lists: Vec<Vec<usize>> = (0..entries).map(of).collect();
    let sum = |at: usize| Real::sum(lists[at / d].iter().map(|row| x[0][row * d + at % d]));
    (0..entries * d).map(sum).collect()
}
