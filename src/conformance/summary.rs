//! The summary of an op in tables: all its cases in one line.

use super::report::{AdapterReport, CaseReport};
use crate::kernels_test::Verdict;

/// All cases of an op.
#[derive(Clone, Debug)]
pub struct OpSummary {
    /// The op.
    pub op: String,
    /// Number of its cases.
    pub cases: usize,
    /// Number of cases whose numbers are right.
    pub passed: usize,
    /// Worst share of a forward bound.
    pub forward: Option<f64>,
    /// Worst share of a gradient's bound.
    pub gradient: Option<f64>,
    /// The worst verdict.
    pub verdict: Verdict,
}

impl OpSummary {
    fn new(op: &str) -> OpSummary {
        OpSummary {
            op: op.into(),
            cases: 0,
            passed: 0,
            forward: None,
            gradient: None,
            verdict: Verdict::Pass,
        }
    }

    fn add(&mut self, case: &CaseReport) {
        let worse = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::max);
        self.cases += 1;
        self.passed += usize::from(case.passed());
        self.forward = worse(self.forward, case.forward);
        self.gradient = worse(self.gradient, case.gradient);
        self.verdict = self.verdict.max(case.verdict);
    }
}

/// A share of a bound in at most seven characters; empty if there is none.
pub fn share(share: Option<f64>) -> String {
    match share {
        None => String::new(),
        Some(0.0) => "0".into(),
        Some(x) if (1e-3..1e3).contains(&x) => format!("{x:.3}"),
        Some(x) => format!("{x:.0e}"),
    }
}

impl AdapterReport {
    /// A line for each op, in the order of the table.
    pub fn ops(&self) -> Vec<OpSummary> {
        let mut list: Vec<OpSummary> = Vec::new();
        for case in &self.cases {
            match list.iter_mut().find(|summary| summary.op == case.op) {
                Some(summary) => summary.add(case),
                None => {
                    let mut summary = OpSummary::new(&case.op);
                    summary.add(case);
                    list.push(summary);
                }
            }
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::report::tests::example;

    #[test]
    fn ops_are_summed_up() {
        let report = example();
        let ops = report.adapters[0].ops();
        let find = |op: &str| ops.iter().find(|s| s.op == op).expect(op);
        assert_eq!(
            (find("add").cases, find("add").passed, find("add").verdict),
            (2, 1, Verdict::KnownFailure)
        );
        assert_eq!(
            (find("conv2d").passed, find("conv2d").verdict),
            (2, Verdict::QualityWarning)
        );
        assert_eq!(
            find("conv2d").forward.map(|x| (x * 10.0).round()),
            Some(3.0)
        );
        assert!(report.adapters[0].failed());
        assert!(
            report.shaders.values().all(|hash| hash.len() == 64)
                && report.shaders.contains_key("probes")
        );
    }

    #[test]
    fn shares_are_short() {
        for (x, text) in [
            (None, ""),
            (Some(0.0), "0"),
            (Some(0.25), "0.250"),
            (Some(1e-9), "1e-9"),
            (Some(f64::MAX), "2e308"),
        ] {
            assert_eq!(share(x), text);
        }
    }
}
