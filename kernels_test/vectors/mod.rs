//! Vectors made elsewhere: one `.safetensors` file per case, with inputs, expected outputs and
//! possibly gradients.
//!
//! `docs/vectors.md` describes the format for those who make such files. [`load`] reads a file and
//! turns it into a plan with its op's parser in `ops`: the op on the GPU, and the same definition
//! in f64 as in the table of cases. [`Prepared`] runs the definition once for all devices and
//! compares it with the file; [`Prepared::check`] compares a GPU with both.

mod args;
mod compare;
mod file;
#[cfg(test)]
mod foreign;
mod ops;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::{Fault, Outcome, Verdict};
use crate::gpu::Gpu;
use args::Args;
use file::Array;
use plan::Plan;

pub use compare::Prepared;
pub use file::Header;
pub use ops::names as ops;

/// A case from a file.
pub struct Vector {
    /// The file's name without its ending.
    pub name: String,
    /// The op, one of [`ops()`].
    pub op: String,
    /// What the file says about its origin.
    pub note: Option<String>,
    params: Map<String, Value>,
    /// Keyed by their names in the file: `in.x`, `out.y`, `cot.y`, `grad.x`.
    tensors: BTreeMap<String, Array>,
}

/// Reads a vector and checks that it has everything its op needs.
///
/// # Errors
/// A sentence that names the file, what is wrong in it, and what is allowed.
pub fn load(path: &Path) -> Result<Vector, String> {
    let vector = file::read(path).map_err(|what| format!("{}: {what}", path.display()))?;
    vector
        .plan()
        .map_err(|what| format!("{}: {what}", path.display()))?;
    Ok(vector)
}

impl Vector {
    /// Runs the definition, whose results are the same for every device.
    pub fn prepared(&self) -> Result<Prepared, Outcome> {
        let mut prepared = None;
        let outcome = super::guarded(|| {
            prepared = Some(Prepared::of(self)?);
            Ok(Outcome::failed(Verdict::Pass, ""))
        });
        prepared.ok_or(Outcome {
            fault: Fault::File,
            ..outcome
        })
    }

    /// Compares `gpu`, which should be opened with `poison`, with the file.
    pub fn check(&self, prepared: &Result<Prepared, Outcome>, gpu: &Gpu) -> Outcome {
        self.with_origin(match prepared {
            Ok(prepared) => prepared.check(gpu),
            Err(outcome) => outcome.clone(),
        })
    }

    /// Adds the file's note on its origin to a failure, which may be the file's fault.
    fn with_origin(&self, mut outcome: Outcome) -> Outcome {
        if let Some(note) = self.note.as_ref().filter(|_| outcome.verdict.is_failure()) {
            let note = note.split_whitespace().collect::<Vec<_>>().join(" ");
            outcome.detail += &format!(
                "; the file's note: {}",
                note.chars().take(200).collect::<String>()
            );
        }
        outcome
    }

    fn plan(&self) -> Result<Plan, String> {
        let mut args = Args::new(self);
        let plan = ops::parse(&mut args)?;
        args.finish(plan)
    }
}
