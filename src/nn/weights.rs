//! Saves and loads the weights of a model as a safetensors file with PyTorch's names and layouts.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use half::{bf16, f16};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::Module;
use crate::error::{Error, Result, excerpt};
use crate::tensor::{Shape, Tensor};

/// A tensor to write: its name, shape and values.
pub type Entry = (String, Shape, Vec<f32>);

/// The number format of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// 32-bit floats, as in memory.
    #[default]
    F32,
    /// IEEE half precision, rounded to nearest.
    F16,
    /// bfloat16: the range of an f32 with 8 bits of precision, rounded to nearest.
    Bf16,
}

/// Returns a parameter's dimensions in PyTorch and, in PyTorch's element order, the index of each
/// element here.
///
/// Convolution kernels, that is, tensors with more than two dimensions, are [taps.., a, b] here and
/// [b, a, taps..] in PyTorch. b is the number of output channels of a convolution, or of input
/// channels of a transposed convolution.
fn pytorch_order(dims: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let count = dims.iter().product();
    match dims {
        [taps @ .., a, b] if !taps.is_empty() => {
            let taps_count = taps.iter().product::<usize>();
            let mut order = Vec::with_capacity(count);
            for j in 0..*b {
                for i in 0..*a {
                    order.extend((0..taps_count).map(|tap| (tap * a + i) * b + j));
                }
            }
            ([&[*b, *a], taps].concat(), order)
        }
        _ => (dims.to_vec(), (0..count).collect()),
    }
}

/// Returns the dimensions and values of a parameter in PyTorch's layout.
pub fn to_pytorch(dims: &[usize], values: &[f32]) -> (Vec<usize>, Vec<f32>) {
    let (dims, order) = pytorch_order(dims);
    (dims, order.into_iter().map(|at| values[at]).collect())
}

/// Returns a safetensors file of `entries` and `metadata`.
///
/// # Errors
/// The message of the `safetensors` crate.
pub fn serialise(
    entries: &[Entry],
    metadata: HashMap<String, String>,
    format: Format,
) -> Result<Vec<u8>, String> {
    let dtype = match format {
        Format::F32 => Dtype::F32,
        Format::F16 => Dtype::F16,
        Format::Bf16 => Dtype::BF16,
    };
    let bytes: Vec<Cow<[u8]>> = entries
        .iter()
        .map(|(_, _, values)| written(values, format))
        .collect();
    let views: Result<Vec<_>, _> = entries
        .iter()
        .zip(&bytes)
        .map(|((name, shape, _), bytes)| {
            let view = TensorView::new(dtype, shape.dims().to_vec(), bytes);
            view.map(|view| (name.as_str(), view))
        })
        .collect();
    safetensors::serialize(views.map_err(|e| e.to_string())?, Some(metadata))
        .map_err(|e| e.to_string())
}

fn written(values: &[f32], format: Format) -> Cow<'_, [u8]> {
    match format {
        Format::F32 => Cow::Borrowed(bytemuck::cast_slice(values)),
        Format::F16 => values
            .iter()
            .flat_map(|v| f16::from_f32(*v).to_le_bytes())
            .collect(),
        Format::Bf16 => values
            .iter()
            .flat_map(|v| bf16::from_f32(*v).to_le_bytes())
            .collect(),
    }
}

/// Returns the values of a tensor of floats, or `None` if it is not of floats.
fn numbers(view: &TensorView) -> Option<Vec<f32>> {
    let bytes = view.data();
    let read = match view.dtype() {
        Dtype::F32 => words(bytes, f32::from_le_bytes),
        Dtype::F16 => words(bytes, |b| f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => words(bytes, |b| bf16::from_le_bytes(b).to_f32()),
        Dtype::F64 => words(bytes, |b| f64::from_le_bytes(b) as f32),
        _ => return None,
    };
    Some(read)
}

fn words<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (words, _) = bytes.as_chunks::<N>();
    words.iter().map(|word| number(*word)).collect()
}

/// Writes the parameters of `model` to `file`.
///
/// # Errors
/// [`Error::Io`], naming the file, if it cannot be written; [`Error::Checkpoint`] if two parameters
/// have the same path; what [`Tensor::read`] returns.
pub fn save(model: &mut dyn Module, file: &Path, format: Format) -> Result<()> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut outcome = Ok(());
    model.visit(&mut |path, tensor| {
        let twice = entries.iter().any(|(known, ..)| known == path);
        match tensor.read() {
            _ if outcome.is_err() => {}
            Ok(_) if twice => {
                let what = format!("two parameters of the model are called {path}");
                outcome = Err(Error::checkpoint(file, what));
            }
            Ok(values) => {
                let (dims, values) = to_pytorch(tensor.shape().dims(), &values);
                entries.push((path.to_string(), dims.into(), values));
            }
            Err(error) => outcome = Err(error),
        }
    });
    outcome?;
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    let bytes =
        serialise(&entries, metadata, format).map_err(|what| Error::checkpoint(file, what))?;
    let mut out = atomic_write_file::AtomicWriteFile::open(file).map_err(Error::io(file))?;
    std::io::Write::write_all(&mut out, &bytes).map_err(Error::io(file))?;
    out.commit().map_err(Error::io(file))
}

/// Reads the parameters of `model` from `file`, as written by [`save`] or PyTorch in f32, f16, bf16
/// or f64. On an error, the model stays unchanged.
///
/// # Errors
/// [`Error::Io`], naming the file, if it cannot be read; [`Error::Checkpoint`] if it is damaged,
/// lacks a parameter, has one of another shape or not of floats, or has a tensor that the model
/// lacks.
pub fn load(model: &mut dyn Module, file: &Path) -> Result<()> {
    let bytes = std::fs::read(file).map_err(Error::io(file))?;
    let bad = |what: String| Error::checkpoint(file, what);
    let found = SafeTensors::deserialize(&bytes)
        .map_err(|e| bad(format!("no safetensors file: {}", excerpt(&e.to_string()))))?;
    let mut read: HashMap<String, Vec<f32>> = HashMap::new();
    let mut wrong = None;
    model.visit(&mut |path, tensor| match parameter(&found, path, tensor) {
        Ok(values) => {
            read.insert(path.to_string(), values);
        }
        Err(what) => {
            wrong.get_or_insert(what);
        }
    });
    let unknown = found
        .names()
        .into_iter()
        .find(|name| !read.contains_key(*name));
    if let Some(what) = wrong {
        return Err(bad(what));
    }
    if let Some(name) = unknown {
        return Err(bad(format!(
            "has a tensor {}, which the model has not",
            excerpt(name)
        )));
    }
    model.visit(&mut |path, tensor| tensor.assign(&read[path]));
    Ok(())
}

/// Returns the values of the parameter at `path`, in the layout of this crate.
fn parameter(found: &SafeTensors, path: &str, tensor: &Tensor) -> Result<Vec<f32>, String> {
    let view = found
        .tensor(path)
        .map_err(|_| format!("has no tensor {path}, which the model needs"))?;
    let (dims, order) = pytorch_order(tensor.shape().dims());
    if view.shape() != dims {
        return Err(format!(
            "tensor {path} is {:?}, the model needs {dims:?}",
            view.shape()
        ));
    }
    let values = numbers(&view)
        .ok_or_else(|| format!("tensor {path} is {:?}, not of floats", view.dtype()))?;
    let mut own = vec![0.0; values.len()];
    for (value, at) in values.into_iter().zip(order) {
        own[at] = value;
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_alone_change_their_order() {
        let values: Vec<f32> = (0..24).map(|i| i as f32).collect();
        let (dims, turned) = to_pytorch(&[2, 2, 2, 3], &values);
        assert_eq!(dims, [3, 2, 2, 2]);
        // Tap (1, 0) from channel 1 to channel 2.
        assert_eq!(turned[(2 * 2 + 1) * 4 + 2], values[(2 * 2 + 1) * 3 + 2]);
        assert_eq!(to_pytorch(&[3, 2, 4], &values).0, [4, 2, 3]);
        assert_eq!(to_pytorch(&[4, 6], &values), (vec![4, 6], values.clone()));
        assert_eq!(to_pytorch(&[24], &values).0, [24]);
    }

    #[test]
    fn every_format_is_read_as_it_is_written() {
        // Numbers that bf16 holds exactly.
        let values = vec![1.5, -0.25, 96.0, 0.0];
        let entries = [("x".to_string(), [4].into(), values.clone())];
        for format in [Format::F32, Format::F16, Format::Bf16] {
            let bytes = serialise(&entries, HashMap::new(), format).expect("it is a tensor");
            let found = SafeTensors::deserialize(&bytes).expect("it was just written");
            let view = found.tensor("x").expect("it was just written");
            assert_eq!(numbers(&view), Some(values.clone()), "{format:?}");
        }
    }
}
