//! The report as JUnit XML: a test suite for each adapter, a test case for each case.

use std::time::Duration;

use chrono::DateTime;
use quick_junit::{NonSuccessKind, Property, TestCase, TestCaseStatus, TestSuite};

use super::report::{AdapterReport, CaseReport, Report};
use crate::kernels_test::Verdict;

/// The XML file.
pub fn text(report: &Report) -> String {
    let mut file = quick_junit::Report::new("dbvq-wgpu conformance");
    file.add_test_suites(report.adapters.iter().map(|adapter| suite(report, adapter)));
    file.to_string().expect("a report fits in memory")
}

fn suite(report: &Report, adapter: &AdapterReport) -> TestSuite {
    let mut suite = TestSuite::new(adapter.label());
    suite.set_time(seconds(adapter.seconds));
    if let Ok(date) = DateTime::parse_from_rfc3339(&report.date) {
        suite.set_timestamp(date);
    }
    suite.add_properties(properties(report, adapter));
    if let Some(what) = &adapter.error {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(line(what));
        let mut opens = TestCase::new("opens", status);
        opens.set_classname("adapter");
        suite.add_test_case(opens);
    }
    suite.add_test_cases(adapter.cases.iter().map(test));
    suite
}

/// What is known of the adapter, remarks on the report, and what the probes found.
fn properties(report: &Report, adapter: &AdapterReport) -> Vec<Property> {
    let facts = &adapter.facts;
    let known = [
        ("adapter", facts.name.clone()),
        ("driver", facts.driver_version()),
        ("version", report.version.clone()),
        ("revision", report.revision.clone()),
        ("command", report.command.clone()),
        ("wgpu", report.wgpu.clone()),
        ("system", report.system.clone()),
    ];
    let remarks = [
        ("scope", report.scope.partial()),
        ("stopped", report.stopped.clone()),
        (
            "failures simulated by DBVQ_CONFORMANCE_FAULT",
            report.provoked.clone(),
        ),
    ];
    let remarks = remarks
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    let probes = adapter
        .probes
        .iter()
        .map(|fact| (fact.name.as_str(), fact.found.clone()));
    known
        .into_iter()
        .chain(remarks)
        .chain(probes)
        .map(|(name, value)| Property::new(name, line(&value)))
        .collect()
}

fn test(case: &CaseReport) -> TestCase {
    let repeat = if case.repeat.is_empty() {
        String::new()
    } else {
        format!("; repeat with: {}", case.repeat)
    };
    let word = case.verdict.word();
    let detail = line(&format!("{}{repeat}", case.detail));
    let mut status = match case.verdict {
        Verdict::Pass | Verdict::QualityWarning => TestCaseStatus::success(),
        verdict if is_skipped(verdict) => TestCaseStatus::skipped(),
        verdict if is_error(verdict) => TestCaseStatus::non_success(NonSuccessKind::Error),
        _ => TestCaseStatus::non_success(NonSuccessKind::Failure),
    };
    if is_skipped(case.verdict) {
        status.set_message(format!("{word}: {detail}"));
    } else if !matches!(case.verdict, Verdict::Pass | Verdict::QualityWarning) {
        status.set_type(word).set_message(detail.clone());
    }
    let mut test = TestCase::new(case.case.as_str(), status);
    test.set_classname(case.op.as_str())
        .set_time(seconds(case.seconds));
    if case.verdict == Verdict::QualityWarning {
        test.set_system_out(format!("{word}: {detail}"));
    }
    test
}

fn is_skipped(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::NotSupported | Verdict::KnownFailure)
}

/// JUnit distinguishes tests that failed from tests that could not be completed.
fn is_error(verdict: Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Crash | Verdict::Timeout | Verdict::ResourceError
    )
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// Text from a driver, in one line and without characters that XML cannot represent.
fn line(text: &str) -> String {
    text.replace(['\n', '\t'], " ")
        .replace(['\u{fffe}', '\u{ffff}'], "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::report::tests::example;

    /// The suite of the only adapter, read back.
    fn read(report: &Report) -> TestSuite {
        let text = text(report);
        let mut file = quick_junit::Report::deserialize_from_str(&text).expect("it is JUnit's XML");
        file.test_suites.remove(0)
    }

    #[test]
    fn counts_are_those_of_junit() {
        let mut report = example();
        let suite = read(&report);
        let counts = |suite: &TestSuite| [suite.tests, suite.failures, suite.errors, suite.skipped];
        assert_eq!(counts(&suite), [9, 1, 3, 2]);
        assert_eq!(suite.test_cases.len(), 9);
        assert_eq!(suite.name.as_str(), "vulkan/llvmpipe");
        let found = suite
            .properties
            .iter()
            .any(|p| p.value.as_str() == "a != a is <false>");
        assert!(found, "{:?}", suite.properties);
        report.adapters[0].error = Some("does not open".into());
        assert_eq!(counts(&read(&report)), [10, 1, 4, 2]);
        let repeat = "repeat with: dbvq-wgpu conformance --adapter 1 --op matmul";
        assert!(text(&report).contains(repeat), "{}", text(&report));
    }

    #[test]
    fn it_is_xml_whatever_the_driver_says() {
        let mut report = example();
        report.adapters[0].cases[4].detail = "</testcase> & \u{1}\u{fffe}'\"\n".into();
        let text = text(&report);
        assert!(!text.contains('\u{1}') && !text.contains('\u{fffe}'));
        assert_eq!(read(&report).test_cases.len(), 9);
    }
}
