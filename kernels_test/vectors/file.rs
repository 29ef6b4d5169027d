//! Reads the file: metadata and tensors, without what is specific to an op.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Map, Value};

use super::Vector;

/// Prefixes of tensors' names.
const PARTS: [&str; 4] = ["in", "out", "cot", "grad"];

/// A tensor of a file.
#[derive(Clone, Debug)]
pub struct Array {
    pub dims: Vec<usize>,
    pub numbers: Numbers,
}

/// Entries in row-major order.
#[derive(Clone, Debug)]
pub enum Numbers {
    /// F32 (`single`) or F64.
    Float { values: Vec<f64>, single: bool },
    /// I64 or U32.
    Index(Vec<u32>),
}

/// Longest header that the format allows, bytes.
const LONGEST_HEADER: u64 = 100_000_000;

/// What a file's header says; neither the numbers nor their fit to the op are checked.
pub struct Header {
    /// The op it names.
    pub op: Option<String>,
    /// Whether the file has a gradient with respect to any input.
    pub has_gradient: bool,
}

impl Header {
    /// Reads the header of a file; `None` if it cannot be read.
    pub fn read(path: &Path) -> Option<Header> {
        // Opening a pipe would block.
        let mut file = path.is_file().then(|| std::fs::File::open(path).ok())??;
        let mut length = [0; 8];
        let mut header = Vec::new();
        file.read_exact(&mut length).ok()?;
        file.take(Some(u64::from_le_bytes(length)).filter(|&n| n <= LONGEST_HEADER)?)
            .read_to_end(&mut header)
            .ok()?;
        let header: Map<String, Value> = serde_json::from_slice(&header).ok()?;
        let op = header
            .get("__metadata__")
            .and_then(|metadata| metadata.get("op")?.as_str());
        Some(Header {
            op: op.map(String::from),
            has_gradient: header.keys().any(|name| name.starts_with("grad.")),
        })
    }
}

/// The vector in a file; the error does not name the file.
pub fn read(path: &Path) -> Result<Vector, String> {
    let unreadable = |e: std::io::Error| format!("cannot be read: {e}");
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err("is no file; a vector is a file that ends in .safetensors".into());
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let name = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    parse(name, &bytes)
}

/// The vector in a file's bytes.
pub fn parse(name: String, bytes: &[u8]) -> Result<Vector, String> {
    let broken = |e: safetensors::SafeTensorError| format!("is no whole safetensors file: {e}");
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let op = metadata
        .get("op")
        .ok_or("its metadata has no `op`, the name of the operation")?
        .clone();
    let params = params(metadata.get("params").map_or("{}", String::as_str))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in SafeTensors::deserialize(bytes).map_err(broken)?.tensors() {
        let known = name
            .split_once('.')
            .is_some_and(|(part, rest)| PARTS.contains(&part) && !rest.is_empty());
        if !known {
            return Err(format!(
                "tensor `{name}` is none of in.NAME, out.NAME, cot.NAME, grad.NAME"
            ));
        }
        let array = array(&view).map_err(|what| format!("tensor {name} {what}"))?;
        tensors.insert(name, array);
    }
    Ok(Vector {
        name,
        op,
        note: metadata.get("note").cloned(),
        params,
        tensors,
    })
}

fn params(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => {
            Err("`params` in its metadata is not a JSON object such as {\"stride\": 1}".into())
        }
        Err(e) => Err(format!("`params` in its metadata is not JSON: {e}")),
    }
}

fn array(view: &TensorView) -> Result<Array, String> {
    let data = view.data();
    let float = |values: Vec<f64>, single| match values.iter().position(|v| !v.is_finite()) {
        Some(at) => Err(format!(
            "has {} at element {at}; a vector's numbers are finite",
            values[at]
        )),
        None => Ok(Numbers::Float { values, single }),
    };
    let numbers = match view.dtype() {
        Dtype::F64 => float(bytemuck::pod_collect_to_vec(data), false)?,
        Dtype::F32 => {
            let values: Vec<f32> = bytemuck::pod_collect_to_vec(data);
            float(values.into_iter().map(f64::from).collect(), true)?
        }
        Dtype::U32 => Numbers::Index(bytemuck::pod_collect_to_vec(data)),
        Dtype::I64 => {
            let indices: Vec<i64> = bytemuck::pod_collect_to_vec(data);
            let small = |(at, &i): (usize, &i64)| {
                u32::try_from(i)
                    .map_err(|_| format!("has {i} at element {at}; an index is 0 to {}", u32::MAX))
            };
            Numbers::Index(
                indices
                    .iter()
                    .enumerate()
                    .map(small)
                    .collect::<Result<_, _>>()?,
            )
        }
        other => {
            return Err(format!(
                "is {other:?}; F32 and F64 are read, and I64 and U32 for indices"
            ));
        }
    };
    Ok(Array {
        dims: view.shape().to_vec(),
        numbers,
    })
}
