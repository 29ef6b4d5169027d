//! A report for machines that read JUnit's XML: a suite for each adapter, a case for each case.

use std::fmt::Write;

use super::report::{AdapterReport, CaseReport, Report};
use crate::kernels_test::Verdict;

/// The XML file.
pub fn text(report: &Report) -> String {
    let suites: String = report
        .adapters
        .iter()
        .map(|adapter| suite(report, adapter))
        .collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"dbvq-wgpu conformance\">\n{suites}</testsuites>\n"
    )
}

fn suite(report: &Report, adapter: &AdapterReport) -> String {
    let count = |wanted: &dyn Fn(Verdict) -> bool| adapter.count(|case| wanted(case.verdict));
    let errors = count(&is_error) + usize::from(adapter.error.is_some());
    let mut out = format!(
        "<testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{errors}\" skipped=\"{}\" time=\"{:.3}\" timestamp=\"{}\">\n",
        escaped(&adapter.label()),
        adapter.cases.len() + usize::from(adapter.error.is_some()),
        count(&|v| v == Verdict::Fail),
        count(&is_skipped),
        adapter.seconds,
        report.date.trim_end_matches('Z'),
    );
    out.push_str("<properties>\n");
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
            "failures made up by DBVQ_CONFORMANCE_FAULT",
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
    for (name, value) in known.into_iter().chain(remarks).chain(probes) {
        let _ = writeln!(
            out,
            "<property name=\"{}\" value=\"{}\"/>",
            escaped(name),
            escaped(&value)
        );
    }
    out.push_str("</properties>\n");
    if let Some(what) = &adapter.error {
        let what = escaped(what);
        let _ = writeln!(
            out,
            "<testcase classname=\"adapter\" name=\"opens\"><error message=\"{what}\"/></testcase>"
        );
    }
    adapter
        .cases
        .iter()
        .for_each(|case| out.push_str(&test(case)));
    out + "</testsuite>\n"
}

fn test(case: &CaseReport) -> String {
    let head = format!(
        "<testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
        escaped(&case.op),
        escaped(&case.case),
        case.seconds
    );
    let repeat = if case.repeat.is_empty() {
        String::new()
    } else {
        format!("; repeat with: {}", case.repeat)
    };
    let word = case.verdict.word();
    let detail = escaped(&format!("{}{repeat}", case.detail));
    let inside = match case.verdict {
        Verdict::Pass => return format!("{head}/>\n"),
        Verdict::QualityWarning => format!("<system-out>{word}: {detail}</system-out>"),
        verdict if is_skipped(verdict) => format!("<skipped message=\"{word}: {detail}\"/>"),
        verdict if is_error(verdict) => format!("<error type=\"{word}\" message=\"{detail}\"/>"),
        _ => format!("<failure type=\"{word}\" message=\"{detail}\"/>"),
    };
    format!("{head}>{inside}</testcase>\n")
}

fn is_skipped(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::NotSupported | Verdict::KnownFailure)
}

/// JUnit keeps tests that went wrong apart from tests that could not be carried through.
fn is_error(verdict: Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Crash | Verdict::Timeout | Verdict::ResourceError
    )
}

/// Text for an attribute or between tags; characters that XML has no word for are left out.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(' '),
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::report::tests::example;

    #[test]
    fn counts_are_those_of_junit() {
        let mut report = example();
        let xml = text(&report);
        assert!(
            xml.contains("tests=\"9\" failures=\"1\" errors=\"3\" skipped=\"2\""),
            "{xml}"
        );
        assert_eq!(xml.matches("<testcase ").count(), 9);
        assert!(
            xml.contains("name=\"vulkan/llvmpipe\"")
                && xml.contains("value=\"a != a is &lt;false&gt;\""),
            "{xml}"
        );
        report.adapters[0].error = Some("does not open".into());
        let xml = text(&report);
        assert!(
            xml.contains("tests=\"10\" failures=\"1\" errors=\"4\""),
            "{xml}"
        );
        assert!(
            xml.contains("repeat with: dbvq-wgpu conformance --adapter 1 --op matmul"),
            "{xml}"
        );
    }

    #[test]
    fn tags_balance_whatever_the_driver_says() {
        let mut report = example();
        report.adapters[0].cases[4].detail = "</testcase> & \u{1}\u{fffe}'\"\n".into();
        let xml = text(&report);
        assert!(!xml.contains('\u{1}') && !xml.contains('\u{fffe}'));
        let mut open = Vec::new();
        let mut rest = xml.split_once('\n').expect("a head").1;
        while let Some(at) = rest.find('<') {
            let (tag, after) = rest[at + 1..].split_once('>').expect("a tag ends");
            rest = after;
            let name = tag
                .trim_start_matches('/')
                .split([' ', '/'])
                .next()
                .unwrap_or_default();
            assert!(tag.matches('"').count() % 2 == 0, "<{tag}>");
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(name));
            } else if !tag.ends_with('/') {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }
}
