//! The result as a table for a terminal.

use super::{Bench, Row};
use crate::report::table::{Column, fit, text, wrapped};

/// Ceilings, cases and skipped cases, in lines of at most `width` characters if possible.
pub fn page(bench: &Bench, left_out: &[String], width: usize) -> String {
    let head = format!(
        "{}: {} GFLOP/s of multiply-adds in registers, {} GB/s of copying",
        bench.adapter,
        number(bench.fma_gflops),
        number(bench.copy_gbs)
    );
    let mut out = wrapped(&head, 0, width) + "\n";
    let cells = |cell: &dyn Fn(&Row) -> String| bench.cases.iter().map(cell).collect::<Vec<_>>();
    let optional = |value: Option<f64>| value.map_or(String::new(), number);
    let columns = vec![
        Column::left("op", cells(&|row| row.op.clone()), 0),
        Column::left("shape", cells(&|row| row.shape.clone()), 0),
        Column::left("direction", cells(&|row| row.direction.clone()), 0),
        Column::right("ms", cells(&|row| number(row.ms)), 0),
        Column::right("GFLOP/s", cells(&|row| optional(row.gflops)), 2),
        Column::right("GB/s", cells(&|row| optional(row.gbs)), 3),
        Column::right(
            "ceiling",
            cells(&|row| row.share_of_ceiling.map_or(String::new(), percent)),
            0,
        ),
    ];
    out += &text(&fit(columns, width));
    for line in left_out {
        out += &wrapped(&format!("left out: {line}"), 0, width);
    }
    out
}

/// A positive number with three significant digits, or all digits before the point if there are
/// more.
pub fn number(value: f64) -> String {
    let places = (2.0 - value.abs().max(1e-3).log10().floor()).clamp(0.0, 4.0) as usize;
    format!("{value:.places$}")
}

fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if percent < 9.95 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!(
            [0.01234, 1.234, 12.34, 123.4, 12_340.0].map(number),
            ["0.0123", "1.23", "12.3", "123", "12340"]
        );
        assert_eq!(
            [0.0123, 0.5, 1.234].map(percent),
            ["1.2 %", "50 %", "123 %"]
        );
    }

    #[test]
    fn a_narrow_terminal_keeps_time_and_share() {
        let row = Row {
            gflops: Some(12.0),
            gbs: Some(3.0),
            share_of_ceiling: Some(0.25),
            ..Row::of_time(
                "conv_transpose2d",
                "4×4/2 [16,8,8,128]→128",
                "backward weight",
                0.0123,
            )
        };
        let bench = Bench {
            adapter: "some adapter".into(),
            fma_gflops: 100.0,
            copy_gbs: 10.0,
            cases: vec![row],
        };
        for (width, heads) in [(80, 5), (160, 7)] {
            let page = page(&bench, &["adam 57 M: no memory".into()], width);
            assert!(
                page.lines().all(|line| line.chars().count() <= width),
                "{width}:\n{page}"
            );
            let head = page
                .lines()
                .find(|line| line.starts_with("op "))
                .unwrap_or_default();
            assert_eq!(head.split_whitespace().count(), heads, "{page}");
            assert!(
                page.contains("12.3") && page.contains("25 %") && page.contains("left out: adam"),
                "{page}"
            );
        }
    }
}
