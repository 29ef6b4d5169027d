//! Driver failures that have been seen and understood, as data: `known_failures.toml`.

use std::sync::OnceLock;

use serde::Deserialize;

use super::{Fault, Outcome, Verdict};
use crate::gpu::AdapterFacts;

const LIST: &str = include_str!("known_failures.toml");

/// Path of [`LIST`].
const BUILT_IN: &str = "kernels_test/known_failures.toml";

/// One entry of the list. Every pattern is optional; a missing one matches anything.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownFailure {
    /// Part of the backend's name.
    #[serde(default)]
    pub backend: String,
    /// PCI vendor: hexadecimal such as `0x10de`, or part of it, or the number.
    #[serde(default)]
    pub vendor: Id,
    /// PCI device, in the same form.
    #[serde(default)]
    pub device: Id,
    /// Part of the adapter's name.
    #[serde(default)]
    pub adapter: String,
    /// Part of the driver's name and version text, joined by a space.
    #[serde(default)]
    pub driver: String,
    /// The op's full name.
    #[serde(default)]
    pub op: String,
    /// Part of the case's name.
    #[serde(default)]
    pub case: String,
    /// What the driver does, and how that was observed.
    pub reason: String,
    /// The file that the entry is in.
    #[serde(skip)]
    pub file: String,
}

/// A PCI vendor or device: hexadecimal after `0x`, of which a part is enough, or a number.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Id {
    /// As `0x10de` or `4318`.
    Text(String),
    /// As 4318.
    Number(u32),
}

impl Default for Id {
    fn default() -> Id {
        Id::Text(String::new())
    }
}

impl Id {
    fn fits(&self, id: u32) -> bool {
        match self {
            Id::Number(number) => *number == id,
            Id::Text(text) => {
                let hexadecimal = format!("{id:#06x}").contains(&text.trim().to_lowercase());
                hexadecimal || text.trim().parse() == Ok(id)
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    failure: Vec<KnownFailure>,
}

/// Parses a list; messages refer to it as `file`.
///
/// # Errors
/// What is wrong with it.
pub fn parse_known_failures(text: &str, file: &str) -> Result<Vec<KnownFailure>, String> {
    let parsed: File = toml::from_str(text).map_err(|e| e.to_string().trim_end().to_string())?;
    match parsed
        .failure
        .iter()
        .position(|entry| entry.reason.trim().is_empty())
    {
        Some(at) => Err(format!(
            "entry {} has no reason; say what the driver does",
            at + 1
        )),
        None => Ok(parsed
            .failure
            .into_iter()
            .map(|entry| KnownFailure {
                file: file.into(),
                ..entry
            })
            .collect()),
    }
}

/// The built-in list.
///
/// # Panics
/// If the built-in file is malformed, which a test would have caught.
pub fn known_failures() -> &'static [KnownFailure] {
    static PARSED: OnceLock<Vec<KnownFailure>> = OnceLock::new();
    PARSED.get_or_init(|| {
        parse_known_failures(LIST, BUILT_IN).unwrap_or_else(|e| panic!("{BUILT_IN}: {e}"))
    })
}

impl KnownFailure {
    /// Whether the entry applies to an adapter.
    pub fn is_of(&self, facts: &AdapterFacts) -> bool {
        let part =
            |text: &str, pattern: &str| text.to_lowercase().contains(&pattern.to_lowercase());
        part(&facts.backend, &self.backend)
            && self.vendor.fits(facts.vendor)
            && self.device.fits(facts.device)
            && part(&facts.name, &self.adapter)
            && part(
                &format!("{} {}", facts.driver, facts.driver_info),
                &self.driver,
            )
    }

    /// Whether the entry applies to a case.
    pub fn names(&self, op: &str, case: &str) -> bool {
        (self.op.is_empty() || self.op == op) && case.contains(&self.case)
    }

    fn fits(&self, facts: &AdapterFacts, op: &str, case: &str) -> bool {
        self.is_of(facts) && self.names(op, case)
    }
}

/// Applies the built-in list to the outcome of a case.
pub fn with_known_failures(
    facts: &AdapterFacts,
    op: &str,
    case: &str,
    outcome: Outcome,
) -> Outcome {
    in_the_light_of(known_failures(), facts, op, case, outcome)
}

/// Applies a list to the outcome of a case. A listed failure becomes a [`Verdict::KnownFailure`]
/// with the entry's reason; a listed case that passes becomes a [`Verdict::Fail`], since the entry
/// is out of date.
pub fn in_the_light_of(
    list: &[KnownFailure],
    facts: &AdapterFacts,
    op: &str,
    case: &str,
    outcome: Outcome,
) -> Outcome {
    let Some(entry) = list.iter().find(|entry| entry.fits(facts, op, case)) else {
        return outcome;
    };
    match outcome.verdict {
        Verdict::Pass | Verdict::QualityWarning => Outcome {
            verdict: Verdict::Fail,
            fault: Fault::List,
            detail: format!(
                "passes unexpectedly: take it off {} ({})",
                entry.file, entry.reason
            ),
            ..outcome
        },
        Verdict::NotSupported | Verdict::KnownFailure => outcome,
        // A wrong file is not the driver's fault.
        Verdict::Fail if outcome.fault == Fault::File => outcome,
        Verdict::Fail | Verdict::ResourceError | Verdict::Crash | Verdict::Timeout => Outcome {
            verdict: Verdict::KnownFailure,
            detail: format!("{} (now: {})", entry.reason, outcome.detail),
            ..outcome
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<KnownFailure>, String> {
        parse_known_failures(text, "my.toml")
    }

    fn facts() -> AdapterFacts {
        let text = r#"{"index": 0, "name": "llvmpipe (LLVM 15)", "backend": "vulkan", "kind": "cpu", "driver": "llvmpipe",
            "driver_info": "Mesa 22.3.6", "vendor": 65541, "device": 0, "subgroup": [8, 8], "usable": {"Ok": null},
            "default": true, "limits": {"max_storage_buffer_binding_size": 0, "max_buffer_size": 0,
            "max_storage_buffers_per_shader_stage": 8, "max_compute_invocations_per_workgroup": 256,
            "max_compute_workgroup_storage_size": 16384, "max_immediate_size": 128},
            "features": {"shader_f16": false, "shader_int64": false, "subgroup": false, "timestamps_in_passes": false,
            "pipeline_cache": false, "cooperative_matrix": false, "cooperative_f16": null}}"#;
        serde_json::from_str(text).expect("facts of an adapter")
    }

    fn fits(entry: &str, op: &str, case: &str) -> bool {
        let text = format!("[[failure]]\n{entry}\nreason = 'seen'");
        parse(&text).expect("a list")[0].fits(&facts(), op, case)
    }

    #[test]
    fn the_list_can_be_read() {
        assert!(
            known_failures()
                .iter()
                .all(|entry| !entry.reason.is_empty())
        );
        let example: String = LIST
            .lines()
            .filter_map(|l| l.strip_prefix("# ").map(|l| format!("{l}\n")))
            .collect();
        let example = &example[example
            .find("[[failure]]")
            .expect("the head shows an entry")..];
        assert_eq!(
            parse(example).expect("the head's example is right").len(),
            1
        );
    }

    #[test]
    fn patterns_are_parts_and_absent_ones_fit_anything() {
        assert!(fits("", "relu", "[3]"));
        assert!(fits(
            "backend = 'vulkan'\nadapter = 'LLVMpipe'\ndriver = 'llvmpipe Mesa 22'",
            "relu",
            "[3]"
        ));
        assert!(fits(
            "vendor = '0x10005'\nop = 'relu'\ncase = '[3'",
            "relu",
            "-1..1 [3]"
        ));
        for other in [
            "backend = 'gl'",
            "vendor = '0x10de'",
            "adapter = 'Swift'",
            "driver = 'Mesa 25'",
            "op = 'rel'",
        ] {
            assert!(!fits(other, "relu", "[3]"), "{other}");
        }
        assert!(!fits("case = '[4]'", "relu", "[3]"));
        for same in [
            "'0x10005'",
            "'0X10005'",
            "'65541'",
            "65541",
            "0x10005",
            "'0x1000'",
        ] {
            assert!(fits(&format!("vendor = {same}"), "relu", "[3]"), "{same}");
        }
        assert!(
            fits("device = 0", "relu", "")
                && !fits("device = 1", "relu", "")
                && !fits("vendor = 6554", "relu", "")
        );
    }

    #[test]
    fn mistakes_in_the_list_are_named() {
        assert!(parse("[[failure]]\nop = 'relu'").is_err_and(|e| e.contains("reason")));
        assert!(parse("[[failure]]\nopp = 'relu'\nreason = 'x'").is_err_and(|e| e.contains("opp")));
        assert!(
            parse("[[failure]]\nreason = ' '").is_err_and(|e| e.contains("entry 1 has no reason"))
        );
    }

    #[test]
    fn a_listed_failure_is_known_and_a_listed_pass_is_not_quiet() {
        let list = parse("[[failure]]\nop = 'relu'\nreason = 'rounds up'").expect("a list");
        let judge = |op: &str, verdict: Verdict| {
            let outcome = Outcome::failed(verdict, "element 3");
            in_the_light_of(&list, &facts(), op, "[3]", outcome)
        };
        for bad in [
            Verdict::Fail,
            Verdict::Crash,
            Verdict::Timeout,
            Verdict::ResourceError,
        ] {
            let outcome = judge("relu", bad);
            assert_eq!(outcome.verdict, Verdict::KnownFailure);
            assert!(outcome.detail.contains("rounds up") && outcome.detail.contains("element 3"));
        }
        let passed = judge("relu", Verdict::Pass);
        assert!(passed.verdict == Verdict::Fail && passed.detail.contains("take it off my.toml"));
        assert_eq!(passed.fault, Fault::List);
        let unreadable = Outcome {
            fault: Fault::File,
            ..Outcome::failed(Verdict::Fail, "no vector")
        };
        assert_eq!(
            in_the_light_of(&list, &facts(), "relu", "[3]", unreadable).verdict,
            Verdict::Fail
        );
        assert_eq!(
            judge("relu", Verdict::NotSupported).verdict,
            Verdict::NotSupported
        );
        assert_eq!(judge("silu", Verdict::Fail).verdict, Verdict::Fail);
    }
}
