//! What the terminal shows at the end of a run.

use super::ConformanceArgs;
use super::report::{AdapterReport, CaseReport, Report};
use super::summary::{OpSummary, share};
use crate::kernels_test::Verdict;
use crate::kernels_test::probes::Fact;
use crate::report::table::{self, Column, wrapped};

/// Maximum cases shown individually; a driver that fails everything would fill the screen.
const SHOWN: usize = 20;

/// The table of ops of an adapter, and what did not pass, in at most `width` columns as far as
/// names and commands allow.
pub fn adapter(whole: &Report, report: &AdapterReport, width: usize) -> String {
    let mut out = wrapped(&head(report), 0, width);
    if !report.cases.is_empty() {
        out.push_str(&ops(&report.ops(), width));
    }
    let passed = report.count(CaseReport::passed);
    let all = report.cases.len();
    if all > 0 {
        let legend = "forward, gradient: worst error as a share of its bound";
        out.push_str(&wrapped(
            &format!(
                "{passed} of {all} cases pass, {:.0} s; {legend}",
                report.seconds
            ),
            0,
            width,
        ));
    }
    for what in whole
        .scope
        .partial()
        .into_iter()
        .chain(whole.stopped.clone())
    {
        out.push_str(&wrapped(&what, 0, width));
    }
    if let Some(fault) = &whole.provoked {
        out.push_str(&wrapped(
            &format!("failures are simulated: DBVQ_CONFORMANCE_FAULT={fault}"),
            0,
            width,
        ));
    }
    if let Some(what) = &report.error {
        out.push_str(&wrapped(&format!("given up: {what}"), 0, width));
    }
    let bad: Vec<&CaseReport> = report
        .cases
        .iter()
        .filter(|case| case.verdict != Verdict::Pass)
        .collect();
    for case in bad.iter().take(SHOWN) {
        out.push_str(&trouble(case, width));
    }
    if bad.len() > SHOWN {
        out.push_str(&format!(
            "and {} more; --report FILE lists all\n",
            bad.len() - SHOWN
        ));
    }
    out
}

fn head(report: &AdapterReport) -> String {
    let facts = &report.facts;
    format!(
        "{} {}: {} / {}, driver {}",
        facts.index,
        facts.name,
        facts.backend,
        facts.kind,
        facts.driver_version()
    )
}

fn ops(list: &[OpSummary], width: usize) -> String {
    let cells = |cell: &dyn Fn(&OpSummary) -> String| list.iter().map(cell).collect::<Vec<_>>();
    let columns = vec![
        Column::left("op", cells(&|s| s.op.clone()), 0),
        Column::right("pass", cells(&|s| format!("{}/{}", s.passed, s.cases)), 0),
        Column::right("forward", cells(&|s| share(s.forward)), 1),
        Column::right("gradient", cells(&|s| share(s.gradient)), 2),
        Column::left("verdict", cells(&|s| s.verdict.word().into()), 0),
    ];
    table::text(&table::fit(columns, width))
}

fn trouble(case: &CaseReport, width: usize) -> String {
    let mut out = wrapped(
        &format!("{}: {} {}", case.verdict.word(), case.op, case.case),
        0,
        width,
    );
    out.push_str(&wrapped(&case.detail, 4, width));
    if case.verdict.is_failure() {
        out.push_str(&format!("    {}\n", case.repeat));
    }
    out
}

/// The command that repeats one case.
pub fn repeat(adapter: usize, case: &CaseReport, args: &ConformanceArgs) -> String {
    let timeout = args
        .timeout
        .map_or(String::new(), |seconds| format!(" --timeout {seconds}"));
    let known = args.known_failures.as_ref();
    let known = known.map_or(String::new(), |file| {
        format!(" --known-failures {}", quoted(&file.display().to_string()))
    });
    let what = match case.case.strip_prefix(crate::conformance::VECTOR) {
        Some(file) => format!("--vectors {}", quoted(file)),
        None => format!("--op {} --case {}", case.op, quoted(&case.case)),
    };
    format!("dbvq-wgpu conformance --adapter {adapter} {what}{timeout}{known}")
}

/// `word` quoted, if necessary, for a POSIX shell.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Facts about a driver.
pub fn probes(report: &AdapterReport, width: usize) -> String {
    let fact = |fact: &Fact| {
        format!("{}\n", fact.name)
            + &wrapped(&fact.found, 4, width)
            + &wrapped(&fact.consequence, 4, width)
    };
    let error = report
        .error
        .as_ref()
        .map(|what| wrapped(&format!("given up: {what}"), 0, width))
        .unwrap_or_default();
    wrapped(&head(report), 0, width) + &report.probes.iter().map(fact).collect::<String>() + &error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::report::Scope;
    use crate::conformance::report::tests::example;

    #[test]
    fn narrow_and_wide_terminals_read_well() {
        let report = example();
        for width in [40, 60, 80, 200] {
            let shown =
                adapter(&report, &report.adapters[0], width) + &probes(&report.adapters[0], width);
            let commands = |line: &&str| line.contains("dbvq-wgpu conformance");
            for line in shown.lines().filter(|line| !commands(line)) {
                assert!(line.chars().count() <= width, "{width}: {line}");
                assert_eq!(line, line.trim_end());
            }
            assert_eq!(shown.lines().filter(commands).count(), 4, "{shown}");
            assert_eq!(
                shown.contains("forward  gradient  verdict"),
                width >= 60,
                "{shown}"
            );
            assert!(
                shown.contains("verdict") && shown.contains("3 of 9 cases pass"),
                "{shown}"
            );
        }
    }

    #[test]
    fn commands_can_be_typed() {
        let report = example();
        let case = &report.adapters[0].cases[4];
        let expected = "dbvq-wgpu conformance --adapter 1 --op group_norm_silu --case '[3, 4]'";
        let mut args = ConformanceArgs::default();
        assert_eq!(repeat(1, case, &args), expected);
        (args.timeout, args.known_failures) = (Some(2.5), Some("my list.toml".into()));
        assert_eq!(
            repeat(1, case, &args),
            format!("{expected} --timeout 2.5 --known-failures 'my list.toml'")
        );
        assert_eq!(
            (quoted("a'b"), quoted("a.json")),
            ("'a'\\''b'".into(), "a.json".into())
        );
    }

    #[test]
    fn a_part_of_the_suite_and_made_up_failures_are_said() {
        let mut report = example();
        report.scope = Scope {
            flags: "--op relu".into(),
            chosen: 9,
            table: 700,
            vectors: 0,
        };
        report.stopped = Some("stopped by a signal after 9 of 12 jobs".into());
        report.provoked = Some("abort:relu/".into());
        let shown = adapter(&report, &report.adapters[0], 200);
        for what in [
            "not the whole suite: 9 of 700 cases, chosen by --op relu",
            "9 of 12 jobs",
            "simulated",
        ] {
            assert!(shown.contains(what), "{shown}");
        }
    }

    #[test]
    fn a_driver_that_fails_everything_does_not_fill_the_screen() {
        let mut report = example();
        report.adapters[0].cases = vec![report.adapters[0].cases[4].clone(); 300];
        assert!(adapter(&report, &report.adapters[0], 80).lines().count() < 120);
    }
}
