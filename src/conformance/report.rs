//! A run as data: what `--report` writes as JSON and `--merge` reads. `docs/conformance.md`
//! documents every key.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::gpu::{AdapterFacts, Shader, WGPU_VERSION};
use crate::kernels_test::probes::{self, Fact};
use crate::kernels_test::{Fault, Outcome, Verdict};
use crate::ops;
use crate::report::console;
use crate::report::console::REVISION;

/// Incremented when a key changes its meaning or is removed.
const SCHEMA: u32 = 1;

/// One run of the suite on one machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Version of this schema.
    pub schema: u32,
    /// Version of the program.
    pub version: String,
    /// The commit that the program was built from, as far as that is known.
    pub revision: String,
    /// The command, as it was typed.
    #[serde(default)]
    pub command: String,
    /// Which part of the suite was run.
    #[serde(default)]
    pub scope: Scope,
    /// Why the run ended before its end, if it did.
    #[serde(default)]
    pub stopped: Option<String>,
    /// What `DBVQ_CONFORMANCE_FAULT` was: failures are then made up.
    #[serde(default)]
    pub provoked: Option<String>,
    /// Unused entries of lists of known failures, and why they are unused.
    #[serde(default)]
    pub unused: Vec<String>,
    /// Version of wgpu.
    pub wgpu: String,
    /// Operating system and processor.
    pub system: String,
    /// When the run began, UTC, as `2022-07-17T12:00:00Z`.
    pub date: String,
    /// BLAKE3 of each shader's source, imports resolved.
    pub shaders: BTreeMap<String, String>,
    /// What was found on each adapter.
    pub adapters: Vec<AdapterReport>,
}

/// The part of the suite that a run was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scope {
    /// The selecting flags; empty if nothing was left out.
    pub flags: String,
    /// Number of cases of the table that were chosen.
    pub chosen: usize,
    /// Number of cases in the table.
    pub table: usize,
    /// Number of vector files.
    pub vectors: usize,
}

impl Scope {
    /// The part that was run, unless it was the whole suite.
    pub fn partial(&self) -> Option<String> {
        if self.flags.is_empty() {
            return None;
        }
        let vectors = if self.vectors == 0 {
            String::new()
        } else {
            format!(" and {} vectors", self.vectors)
        };
        let Scope {
            flags,
            chosen,
            table,
            ..
        } = self;
        Some(format!(
            "not the whole suite: {chosen} of {table} cases{vectors}, chosen by {flags}"
        ))
    }
}

/// One adapter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AdapterReport {
    /// What the driver says about itself.
    pub facts: AdapterFacts,
    /// Why the adapter was given up; the cases below are those done before.
    pub error: Option<String>,
    /// What the driver does where WGSL leaves it a choice.
    pub probes: Vec<Fact>,
    /// The cases in the order of the table.
    pub cases: Vec<CaseReport>,
    /// Wall time.
    pub seconds: f64,
}

/// One case, over all its modes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaseReport {
    /// The op.
    pub op: String,
    /// Shape and parameters, or the file of a golden vector.
    pub case: String,
    /// The conclusion.
    pub verdict: Verdict,
    /// Worst error of the forward result as a share of its bound; `null` if it was not computed, or
    /// the case is a known failure.
    pub forward: Option<f64>,
    /// The same for the directional derivative.
    pub gradient: Option<f64>,
    /// What is wrong; empty if nothing is.
    pub detail: String,
    /// Whose fault it is, if it fails.
    #[serde(default)]
    pub fault: Fault,
    /// The command that repeats it; empty if it passed without remarks.
    #[serde(default)]
    pub repeat: String,
    /// Wall time, including opening the device and compiling the kernels if this case was the first
    /// to need them.
    pub seconds: f64,
}

impl CaseReport {
    /// The report of an outcome.
    pub fn new(op: &str, case: &str, outcome: Outcome, took: Duration) -> CaseReport {
        let computed = !outcome.verdict.is_failure() || outcome.forward > 0.0;
        CaseReport {
            op: op.into(),
            case: case.into(),
            verdict: outcome.verdict,
            forward: Some(outcome.forward)
                .filter(|_| computed && outcome.verdict != Verdict::KnownFailure),
            gradient: outcome.gradient,
            detail: outcome.detail,
            fault: outcome.fault,
            repeat: String::new(),
            seconds: (took.as_secs_f64() * 1e3).round() / 1e3,
        }
    }

    /// Whether the numbers are right.
    pub fn passed(&self) -> bool {
        self.verdict <= Verdict::QualityWarning
    }
}

impl Report {
    /// An empty report of this program, dated now.
    pub fn new() -> Report {
        let hash = |shader: &Shader| blake3::hash(shader.text().as_bytes()).to_hex().to_string();
        let shaders = ops::shaders()
            .into_iter()
            .chain([&probes::SHADER, &probes::HALVES]);
        Report {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").into(),
            revision: REVISION.into(),
            command: String::new(),
            scope: Scope::default(),
            stopped: None,
            provoked: None,
            unused: Vec::new(),
            wgpu: WGPU_VERSION.into(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            date: console::now(),
            shaders: shaders
                .map(|shader| (shader.name.to_string(), hash(shader)))
                .collect(),
            adapters: Vec::new(),
        }
    }

    /// Reads the JSON of a report.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Data`] if the file is not a report.
    pub fn read(file: &Path) -> Result<Report> {
        let bytes = std::fs::read(file).map_err(Error::io(file))?;
        let unfit = |what: String| {
            Error::Data(format!(
                "{}: not a conformance report: {what}",
                file.display()
            ))
        };
        let report: Report = serde_json::from_slice(&bytes).map_err(|e| unfit(e.to_string()))?;
        match report.schema {
            SCHEMA => Ok(report),
            other => Err(unfit(format!(
                "its schema is {other}, but this program reads {SCHEMA}"
            ))),
        }
    }
}

impl AdapterReport {
    /// `vulkan/llvmpipe`.
    pub fn label(&self) -> String {
        label(&self.facts)
    }

    /// Number of cases for which `wanted` is true.
    pub fn count(&self, wanted: impl Fn(&CaseReport) -> bool) -> usize {
        self.cases.iter().filter(|case| wanted(case)).count()
    }

    /// Whether something is wrong: the adapter was given up, a case failed, or not a single one
    /// passed.
    pub fn failed(&self) -> bool {
        self.error.is_some()
            || self.cases.iter().any(|c| c.verdict.is_failure())
            || self.nothing_right()
    }

    /// Whether not a single case passed, though not all are known to fail.
    pub fn nothing_right(&self) -> bool {
        let excused = self
            .cases
            .iter()
            .all(|case| case.verdict == Verdict::KnownFailure);
        !self.cases.is_empty() && self.count(CaseReport::passed) == 0 && !excused
    }
}

/// `vulkan/llvmpipe`: the backend, and the name up to the first parenthesis.
pub fn label(facts: &AdapterFacts) -> String {
    format!(
        "{}/{}",
        facts.backend,
        facts.name.split('(').next().unwrap_or_default().trim()
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A report with one case of every verdict.
    pub fn example() -> Report {
        let mut report = Report::new();
        let facts = r#"{"index": 1, "name": "llvmpipe (LLVM 15, 256 bits)", "backend": "vulkan", "kind": "cpu",
            "driver": "llvmpipe", "driver_info": "Mesa 22.3.6", "vendor": 65541, "device": 0, "subgroup": [8, 8],
            "usable": {"Ok": null}, "default": true, "limits": {"max_storage_buffer_binding_size": 0,
            "max_buffer_size": 0, "max_storage_buffers_per_shader_stage": 8,
            "max_compute_invocations_per_workgroup": 256, "max_compute_workgroup_storage_size": 16384,
            "max_immediate_size": 128}, "features": {"shader_f16": false, "shader_int64": false, "subgroup": false,
            "timestamps_in_passes": false, "pipeline_cache": false, "cooperative_matrix": false, "cooperative_f16": null}}"#;
        let facts: AdapterFacts = serde_json::from_str(facts).expect("facts of an adapter");
        let verdicts = [
            ("add", Verdict::Pass),
            ("add", Verdict::KnownFailure),
            ("conv2d", Verdict::Pass),
            ("conv2d", Verdict::QualityWarning),
            ("group_norm_silu", Verdict::Fail),
            ("matmul", Verdict::Crash),
            ("pad", Verdict::Timeout),
            ("relu", Verdict::NotSupported),
            ("softmax", Verdict::ResourceError),
        ];
        let case = |(i, (op, verdict)): (usize, (&str, Verdict))| {
            let detail = "unchecked: element 3: got 1, expected 0 ± 1e-7; a < b & \"c\" | d";
            let detail = if verdict == Verdict::Pass { "" } else { detail };
            let outcome = Outcome {
                forward: 0.1 * i as f64,
                gradient: Some(0.5),
                ..Outcome::failed(verdict, detail)
            };
            let report = CaseReport::new(
                op,
                &format!("[3, {i}]"),
                outcome,
                Duration::from_millis(1500),
            );
            let repeat = format!("dbvq-wgpu conformance --adapter 1 --op {op} --case '[3, {i}]'");
            CaseReport {
                repeat: if verdict == Verdict::Pass {
                    String::new()
                } else {
                    repeat
                },
                ..report
            }
        };
        report.adapters.push(AdapterReport {
            facts,
            error: None,
            probes: vec![probes::PROBES[0].fact("a != a is <false>")],
            cases: verdicts.into_iter().enumerate().map(case).collect(),
            seconds: 12.5,
        });
        report
    }
}
