//! The outcome of a case.

use serde::{Deserialize, Serialize};

use super::shares::Shares;
use crate::gpu::Launch;

/// What a case says about an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verdict {
    /// Right, within the likely bounds.
    Pass,
    /// Within the specification's bounds, but beyond the likely ones.
    QualityWarning,
    /// Fails for a reason that the list of known failures names.
    KnownFailure,
    /// The adapter lacks what the kernel needs.
    NotSupported,
    /// Wrong numbers, different bits on a second run, or a write outside a tensor.
    Fail,
    /// Out of memory.
    ResourceError,
    /// No answer in time.
    Timeout,
    /// The device was lost or the process died.
    Crash,
}

/// How a case went on an adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The conclusion.
    pub verdict: Verdict,
    /// Worst error of the forward result as a share of the specification's bound.
    pub forward: f64,
    /// The same of the directional derivatives; `None` if the case has no gradient.
    pub gradient: Option<f64>,
    /// What differs, where, by how much; empty for [`Verdict::Pass`].
    pub detail: String,
    /// What is at fault if it fails.
    #[serde(default)]
    pub fault: Fault,
    /// The numbers, if some are wrong; not serialised, so they stay in this process.
    #[serde(skip)]
    pub evidence: Option<Box<Evidence>>,
}

/// What is at fault for a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// The adapter and its driver, or our kernels.
    #[default]
    Adapter,
    /// A vector's file: it cannot be used, or contradicts its op's definition.
    File,
    /// The list of known failures: it names a case that passes.
    List,
}

/// Inputs and results of a case with wrong numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Name, dimensions, numbers.
    pub tensors: Vec<(String, Vec<usize>, Vec<f64>)>,
    /// The kernels that ran.
    pub kernels: Vec<Launch>,
}

impl Outcome {
    /// An outcome with a verdict and a detail, but no measured errors.
    pub fn failed(verdict: Verdict, detail: impl Into<String>) -> Outcome {
        let fault = Fault::Adapter;
        let evidence = None;
        Outcome {
            verdict,
            forward: 0.0,
            gradient: None,
            detail: detail.into(),
            fault,
            evidence,
        }
    }

    pub(super) fn of(forward: Shares, gradient: Option<Shares>) -> Outcome {
        let worst = forward.worst(gradient.unwrap_or_default());
        let (verdict, detail) = if worst.likely > 1.0 {
            (
                Verdict::QualityWarning,
                format!(
                    "the error is {:.2} of what is likely, within the specification",
                    worst.likely
                ),
            )
        } else {
            (Verdict::Pass, String::new())
        };
        Outcome {
            forward: forward.bound,
            gradient: gradient.map(|g| g.bound),
            ..Outcome::failed(verdict, detail)
        }
    }
}
