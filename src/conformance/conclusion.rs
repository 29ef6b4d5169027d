//! The outcome of a run: success, or an error that says whose fault it is.

use super::choice::counted;
use super::report::{AdapterReport, CaseReport, Report};
use crate::error::{Error, Result};
use crate::kernels_test::Fault;

/// Maximum failures of files and lists that are named individually.
const NAMED: usize = 3;

/// Ok if nothing is worse than a warning or a known failure.
///
/// # Errors
/// [`Error::Conformance`].
pub fn of(report: &Report) -> Result<()> {
    let mut sentences: Vec<String> = report
        .adapters
        .iter()
        .filter(|adapter| adapter.failed())
        .filter_map(of_adapter)
        .collect();
    sentences.extend(of_files(report));
    sentences.extend(of_lists(report));
    if sentences.is_empty() {
        return Ok(());
    }
    if let Some(fault) = &report.provoked {
        sentences.push(format!(
            "failures are simulated: DBVQ_CONFORMANCE_FAULT={fault} is set"
        ));
    }
    Err(Error::Conformance(sentences.join("; ")))
}

/// What is wrong with an adapter.
fn of_adapter(adapter: &AdapterReport) -> Option<String> {
    let bad = failures(adapter, Fault::Adapter).count();
    let judged = adapter.cases.len()
        - failures(adapter, Fault::File).count()
        - failures(adapter, Fault::List).count();
    let given_up = if adapter.error.is_some() {
        ", given up"
    } else {
        ""
    };
    let none = adapter.nothing_right() && bad == 0 && given_up.is_empty() && judged > 0;
    let none = if none { ", none passes" } else { "" };
    let wrong = bad > 0 || !given_up.is_empty() || !none.is_empty();
    wrong.then(|| {
        format!(
            "not conformant: {}: {bad} of {judged} cases fail{given_up}{none}",
            adapter.label()
        )
    })
}

/// Files of vectors that cannot be used, or disagree with the definition: no adapter's fault.
fn of_files(report: &Report) -> Option<String> {
    let names = names(report, Fault::File, |case| {
        case.case
            .trim_start_matches(crate::conformance::VECTOR)
            .to_string()
    });
    let one = names.len() == 1;
    let verb = if one {
        "is wrong or cannot be used"
    } else {
        "are wrong or cannot be used"
    };
    let count = counted(names.len(), "vector file");
    (!names.is_empty()).then(|| {
        format!(
            "{count} {verb}, which is not an adapter's fault: {}",
            listed(&names)
        )
    })
}

/// Known failures that pass.
fn of_lists(report: &Report) -> Option<String> {
    let names = names(report, Fault::List, |case| {
        format!("{} {}", case.op, case.case)
    });
    let verb = if names.len() == 1 { "passes" } else { "pass" };
    let count = counted(names.len(), "known failure");
    (!names.is_empty()).then(|| {
        format!(
            "{count} {verb} now; remove the entry from its list: {}",
            listed(&names)
        )
    })
}

fn failures(adapter: &AdapterReport, fault: Fault) -> impl Iterator<Item = &CaseReport> {
    adapter
        .cases
        .iter()
        .filter(move |case| case.verdict.is_failure() && case.fault == fault)
}

fn names(report: &Report, fault: Fault, name: impl Fn(&CaseReport) -> String) -> Vec<String> {
    let mut names: Vec<String> = report
        .adapters
        .iter()
        .flat_map(|a| failures(a, fault))
        .map(name)
        .collect();
    names.sort();
    names.dedup();
    names
}

fn listed(names: &[String]) -> String {
    let more = if names.len() > NAMED {
        format!(" and {} more", names.len() - NAMED)
    } else {
        String::new()
    };
    names
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ")
        + &more
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::report::tests::example;
    use crate::kernels_test::Verdict;

    #[test]
    fn warnings_and_known_failures_are_no_failure_of_the_run() {
        let mut report = example();
        let error = of(&report).expect_err("four cases failed");
        assert!(
            error.exit_code() == 12 && error.to_string().contains("4 of 9 cases fail"),
            "{error}"
        );
        report.adapters[0]
            .cases
            .retain(|case| !case.verdict.is_failure());
        assert!(of(&report).is_ok());
        report.adapters[0]
            .cases
            .retain(|case| case.verdict == Verdict::NotSupported);
        assert!(of(&report).is_err(), "where nothing runs nothing is shown");
        report.adapters[0].cases.clear();
        report.adapters[0].error = Some("does not open".into());
        assert!(of(&report).is_err());
    }

    #[test]
    fn the_sentence_says_on_which_side_the_fault_is() {
        let mut report = example();
        report.adapters[0]
            .cases
            .retain(|case| case.verdict <= Verdict::KnownFailure || case.verdict == Verdict::Fail);
        let bad = report.adapters[0]
            .cases
            .iter()
            .position(|case| case.verdict.is_failure())
            .expect("one fails");
        report.adapters[0].cases[bad].fault = Fault::File;
        report.adapters[0].cases[bad].case = "vector a/b.safetensors".into();
        let what = of(&report).expect_err("a file is wrong").to_string();
        assert_eq!(
            what,
            "1 vector file is wrong or cannot be used, which is not an adapter's fault: a/b.safetensors"
        );
        report.adapters[0].cases[bad].fault = Fault::List;
        let what = of(&report)
            .expect_err("an entry is out of date")
            .to_string();
        assert!(
            what.starts_with("1 known failure passes now") && !what.contains("not conformant"),
            "{what}"
        );
        report.provoked = Some("abort:relu/".into());
        assert!(
            of(&report)
                .expect_err("it fails")
                .to_string()
                .ends_with("DBVQ_CONFORMANCE_FAULT=abort:relu/ is set")
        );
    }
}
