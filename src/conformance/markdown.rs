//! Reports of one or several machines as one Markdown page.

use std::fmt::Write;

use super::report::{AdapterReport, Report};
use super::summary::{OpSummary, share};
use crate::kernels_test::Verdict;
use crate::report::table::{escaped, markdown as table};

/// The page.
pub fn text(reports: &[Report]) -> String {
    let columns = columns(reports);
    let mut out = "# Conformance of the kernels\n\n".to_string();
    out.push_str(
        "A cell says how many cases pass, and the worst error as a share of its bound, forward and gradient.\n",
    );
    out.push_str(&commands(reports));
    out.push_str(&adapters(&columns));
    out.push_str(&ops(&columns));
    out.push_str(&trouble(&columns));
    out.push_str(&probes(&columns));
    out
}

/// What was run, and whether it was the whole suite.
fn commands(reports: &[Report]) -> String {
    let mut out = String::new();
    for report in reports {
        if !report.command.is_empty() {
            let _ = writeln!(out, "\nCommand: `{}`", report.command.replace('`', "'"));
        }
        let made_up = report
            .provoked
            .as_ref()
            .map(|fault| format!("failures are simulated: DBVQ_CONFORMANCE_FAULT={fault}"));
        for what in report
            .scope
            .partial()
            .into_iter()
            .chain(report.stopped.clone())
            .chain(made_up)
        {
            let _ = writeln!(out, "\n**{}**", escaped(&capital(&what)));
        }
        for what in &report.unused {
            let _ = writeln!(out, "\n{}", escaped(&capital(what)));
        }
    }
    out
}

fn capital(sentence: &str) -> String {
    let mut rest = sentence.chars();
    rest.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(rest).collect()
    })
}

/// An adapter of one of the reports, with a unique name.
struct Column<'a> {
    name: String,
    report: &'a Report,
    adapter: &'a AdapterReport,
}

fn columns(reports: &[Report]) -> Vec<Column<'_>> {
    let mut list: Vec<Column> = Vec::new();
    for report in reports {
        for adapter in &report.adapters {
            let label = adapter.label();
            let same = list
                .iter()
                .filter(|column| column.adapter.label() == label)
                .count();
            let name = if same == 0 {
                label
            } else {
                format!("{label} ({})", same + 1)
            };
            list.push(Column {
                name,
                report,
                adapter,
            });
        }
    }
    list
}

fn adapters(columns: &[Column]) -> String {
    let heads = [
        "adapter", "device", "driver", "system", "wgpu", "program", "date", "pass",
    ]
    .map(String::from);
    let row = |column: &Column| {
        let facts = &column.adapter.facts;
        let report = column.report;
        vec![
            column.name.clone(),
            format!("{} ({})", facts.name, facts.kind),
            facts.driver_version(),
            report.system.clone(),
            report.wgpu.clone(),
            format!("{} {}", report.version, report.revision),
            report.date.clone(),
            passed(column),
        ]
    };
    format!(
        "\n## Adapters\n\n{}",
        table(&heads, &columns.iter().map(row).collect::<Vec<_>>())
    )
}

/// `6 of 6`, and for a partial run also the table's size.
fn passed(column: &Column) -> String {
    let count = format!(
        "{} of {}",
        column.adapter.count(|case| case.passed()),
        column.adapter.cases.len()
    );
    match column.report.scope.partial() {
        Some(_) => {
            format!(
                "{count} (partial: {} of the table's {})",
                column.report.scope.chosen, column.report.scope.table
            )
        }
        None => count,
    }
}

/// A table op × adapter.
fn ops(columns: &[Column]) -> String {
    let summaries: Vec<Vec<OpSummary>> =
        columns.iter().map(|column| column.adapter.ops()).collect();
    let mut names: Vec<&str> = Vec::new();
    for summary in summaries.iter().flatten() {
        if !names.contains(&summary.op.as_str()) {
            names.push(&summary.op);
        }
    }
    let cell = |list: &Vec<OpSummary>, op: &str| {
        list.iter().find(|s| s.op == op).map_or("—".into(), summary)
    };
    let row = |op: &&str| -> Vec<String> {
        std::iter::once(format!("`{op}`"))
            .chain(summaries.iter().map(|list| cell(list, op)))
            .collect()
    };
    let heads: Vec<String> = std::iter::once("op".into())
        .chain(columns.iter().map(|c| c.name.clone()))
        .collect();
    format!(
        "\n## Ops\n\n{}",
        table(&heads, &names.iter().map(row).collect::<Vec<_>>())
    )
}

fn summary(summary: &OpSummary) -> String {
    let word = match summary.verdict {
        Verdict::Pass => String::new(),
        verdict if verdict.is_failure() => format!("**{}** ", verdict.word()),
        verdict => format!("{} ", verdict.word()),
    };
    let shares = [summary.forward, summary.gradient].map(share);
    let shares = shares
        .into_iter()
        .filter(|s| !s.is_empty())
        .map(|s| format!(", {s}"))
        .collect::<String>();
    format!("{word}{}/{}{shares}", summary.passed, summary.cases)
}

/// Everything but passes.
fn trouble(columns: &[Column]) -> String {
    let mut out = String::new();
    for column in columns {
        if let Some(what) = &column.adapter.error {
            let _ = writeln!(out, "* **{}** was given up: {}", column.name, escaped(what));
        }
        for case in column
            .adapter
            .cases
            .iter()
            .filter(|case| case.verdict != Verdict::Pass)
        {
            let word = case.verdict.word();
            let detail = escaped(&case.detail);
            let repeat = if case.repeat.is_empty() {
                String::new()
            } else {
                format!("; repeat with `{}`", case.repeat)
            };
            let _ = writeln!(
                out,
                "* {}: {word}: `{}` `{}`: {detail}{repeat}",
                column.name, case.op, case.case
            );
        }
    }
    if out.is_empty() {
        out
    } else {
        format!("\n## What did not pass\n\n{out}")
    }
}

/// A table probe × adapter.
fn probes(columns: &[Column]) -> String {
    let columns: Vec<&Column> = columns
        .iter()
        .filter(|column| !column.adapter.probes.is_empty())
        .collect();
    let mut facts = Vec::new();
    for fact in columns.iter().flat_map(|column| &column.adapter.probes) {
        if !facts.iter().any(|(name, _)| *name == fact.name) {
            facts.push((fact.name.clone(), fact.consequence.clone()));
        }
    }
    let found = |column: &Column, name: &str| {
        column
            .adapter
            .probes
            .iter()
            .find(|fact| fact.name == name)
            .map_or("—".into(), |fact| fact.found.clone())
    };
    let row = |(name, consequence): &(String, String)| -> Vec<String> {
        let cells = columns.iter().map(|column| found(column, name));
        std::iter::once(name.clone())
            .chain(cells)
            .chain([consequence.clone()])
            .collect()
    };
    if facts.is_empty() {
        return String::new();
    }
    let names = columns.iter().map(|column| column.name.clone());
    let heads: Vec<String> = std::iter::once("probe".into())
        .chain(names)
        .chain(["what kernels do".into()])
        .collect();
    format!(
        "\n## Facts about the drivers\n\n{}",
        table(&heads, &facts.iter().map(row).collect::<Vec<_>>())
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::report::Scope;
    use crate::conformance::report::tests::example;

    #[test]
    fn every_table_has_as_many_cells_in_each_row() {
        let page = text(&[example(), example()]);
        let cells = |line: &str| line.replace("\\|", "").matches('|').count();
        let mut before = None;
        for line in page.lines() {
            let now = line.starts_with('|').then(|| cells(line));
            assert!(before.is_none() || now.is_none() || before == now, "{line}");
            before = now;
        }
        assert!(
            page.contains("| vulkan/llvmpipe (2) |")
                && page.contains("| `conv2d` | quality warning 2/2, 0.300")
        );
        assert!(page.contains("**crash** 0/1"), "{page}");
        assert!(page.contains("a != a is &lt;false>"), "{page}");
        assert!(
            page.contains("repeat with `dbvq-wgpu conformance --adapter 1 --op matmul"),
            "{page}"
        );
    }

    #[test]
    fn a_part_of_the_suite_says_so() {
        let mut report = example();
        report.command = "dbvq-wgpu conformance --op relu".into();
        report.scope = Scope {
            flags: "--op relu".into(),
            chosen: 9,
            table: 700,
            vectors: 0,
        };
        report.provoked = Some("hang:relu/".into());
        let page = text(&[report]);
        for what in [
            "Command: `dbvq-wgpu conformance --op relu`",
            "**Not the whole suite: 9 of 700 cases, chosen by --op relu**",
            "3 of 9 (partial: 9 of the table's 700)",
            "**Failures are simulated",
        ] {
            assert!(page.contains(what), "{page}");
        }
        assert!(!text(&[example()]).contains("partial:"));
    }

    #[test]
    fn ops_of_one_report_only_have_a_place() {
        let mut first = example();
        let second = example();
        first.adapters[0].cases.retain(|case| case.op == "relu");
        let page = text(&[first, second]);
        assert!(page.contains("| `add` | — | known failure 1/2"), "{page}");
    }
}
