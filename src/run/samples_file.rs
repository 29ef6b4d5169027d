//! Samples as a safetensors file, with what made them in its metadata.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};

use super::product::{self, Form};
use crate::error::{Error, Result};

/// Numbers of one kind.
#[derive(Clone, Copy)]
pub enum Values<'a> {
    /// Floats.
    F32(&'a [f32]),
    /// Codes.
    U32(&'a [u32]),
}

/// Writes `tensors` (name, shape, values), and `facts` as JSON under `made_by`: one key, so that equal samples are equal
/// bytes.
///
/// # Errors
/// [`Error::Usage`] if somebody else's file is there, [`Error::Io`] naming the file.
pub fn write(file: &Path, tensors: &[(&str, Vec<usize>, Values)], facts: &[(&str, String)]) -> Result<()> {
    let trouble = |e: safetensors::SafeTensorError| Error::io(file)(std::io::Error::other(e));
    let mut views = Vec::new();
    for (name, shape, values) in tensors {
        let (dtype, bytes) = match values {
            Values::F32(values) => (Dtype::F32, bytemuck::cast_slice(values)),
            Values::U32(values) => (Dtype::U32, bytemuck::cast_slice(values)),
        };
        views.push((*name, TensorView::new(dtype, shape.clone(), bytes).map_err(trouble)?));
    }
    let facts: BTreeMap<&str, &String> = facts.iter().map(|(name, text)| (*name, text)).collect();
    let text = serde_json::to_string(&facts).expect("texts are plain data");
    let metadata = HashMap::from([("made_by".to_string(), text)]);
    product::write(file, Form::Tensors, &safetensors::serialize(views, Some(metadata)).map_err(trouble)?)
}
