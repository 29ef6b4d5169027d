//! Samples as a safetensors file, with their provenance as metadata.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};

use super::product::{self, Form};
use crate::error::{Error, Result};

/// Values of one type.
#[derive(Clone, Copy)]
pub enum Values<'a> {
    /// Floats.
    F32(&'a [f32]),
    /// Codes.
    U32(&'a [u32]),
}

/// An error if any of `values` is not finite; `what` names them in the message, in the plural.
///
/// # Errors
/// [`Error::Diverged`] with the number of such values and the first of them.
pub fn check_finite(what: &str, values: &[f32]) -> Result<()> {
    let Some(at) = values.iter().position(|v| !v.is_finite()) else {
        return Ok(());
    };
    let count = values.iter().filter(|v| !v.is_finite()).count();
    Err(Error::Diverged(format!(
        "the {what} are not finite: {count} of {} numbers, the first {} at {at}; nothing was written. Either the run's weights \
         are damaged, or the adapter computes wrong results (check with `dbvq-wgpu conformance`)",
        values.len(),
        values[at]
    )))
}

/// Writes `tensors` (name, shape, values), and `facts` as JSON under the single metadata key
/// `made_by`, so that equal samples give equal bytes.
///
/// # Errors
/// [`Error::Diverged`] for a number that is not finite, [`Error::Usage`] if a file is there that
/// this program did not write, [`Error::Io`] naming the file.
pub fn write(
    file: &Path,
    tensors: &[(&str, Vec<usize>, Values)],
    facts: &[(&str, String)],
) -> Result<()> {
    let trouble = |e: safetensors::SafeTensorError| Error::io(file)(std::io::Error::other(e));
    let mut views = Vec::new();
    for (name, shape, values) in tensors {
        if let Values::F32(values) = values {
            check_finite(&format!("numbers of `{name}`"), values)?;
        }
        let (dtype, bytes) = match values {
            Values::F32(values) => (Dtype::F32, bytemuck::cast_slice(values)),
            Values::U32(values) => (Dtype::U32, bytemuck::cast_slice(values)),
        };
        views.push((
            *name,
            TensorView::new(dtype, shape.clone(), bytes).map_err(trouble)?,
        ));
    }
    let facts: BTreeMap<&str, &String> = facts.iter().map(|(name, text)| (*name, text)).collect();
    let text = serde_json::to_string(&facts).expect("texts are plain data");
    let metadata = HashMap::from([("made_by".to_string(), text)]);
    product::write(
        file,
        Form::Tensors,
        &safetensors::serialize(views, Some(metadata)).map_err(trouble)?,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_not_finite_are_never_written() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let file = folder.path().join("samples.safetensors");
        let write = |values: &[f32]| {
            write(
                &file,
                &[("z0", vec![values.len()], Values::F32(values))],
                &[],
            )
        };
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = write(&[1.0, wrong, 2.0, wrong]).expect_err("refused");
            assert_eq!(error.exit_code(), 10);
            assert!(
                error.to_string().contains("`z0` are not finite: 2 of 4"),
                "{error}"
            );
            assert!(!file.exists());
        }
        write(&[1.0, f32::MAX]).expect("finite numbers");
    }
}
