//! Checkpoints: one safetensors file with weights, running averages, moments and the step,
//! checksummed and written atomically, so that a kill at any moment leaves a whole file. The
//! previous one is kept beside it.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

use super::Module;
use super::weights::{Format, serialise};

pub use super::weights::Entry;
use crate::error::{Error, Result, excerpt};
use crate::gpu::Gpu;
use crate::tensor::{Shape, Tensor};

/// Version of the layout, in the metadata's `format`.
const FORMAT: &str = "dbvq-wgpu checkpoint 1";
/// Largest header that is read; a larger one is no checkpoint of ours.
const MAX_HEADER: u64 = 16 << 20;

/// The checkpoint file of a run directory.
pub fn path(run: &Path) -> PathBuf {
    run.join("checkpoint.safetensors")
}

/// The last good checkpoint before the newest.
pub fn previous(run: &Path) -> PathBuf {
    run.join("checkpoint.previous.safetensors")
}

/// Whether `run` has a checkpoint, good or damaged.
pub fn exists(run: &Path) -> bool {
    path(run).exists() || previous(run).exists()
}

/// The step of the newest checkpoint of `run`, from its header alone; `None` if there is none of
/// this program.
pub fn step(run: &Path) -> Option<u64> {
    [path(run), previous(run)]
        .iter()
        .find_map(|file| head(file)?.get("step")?.parse().ok())
}

/// The metadata of a checkpoint of this program.
fn head(file: &Path) -> Option<HashMap<String, String>> {
    let mut opened = std::fs::File::open(file).ok()?;
    let mut length = [0; 8];
    opened.read_exact(&mut length).ok()?;
    let header = u64::from_le_bytes(length);
    let mut bytes = Vec::new();
    if header > MAX_HEADER {
        return None;
    }
    opened.take(header).read_to_end(&mut bytes).ok()?;
    let mut head: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&bytes).ok()?;
    let facts: HashMap<String, String> =
        serde_json::from_value(head.remove("__metadata__")?).ok()?;
    Some(facts).filter(|facts| facts.get("format").is_some_and(|format| format == FORMAT))
}

/// Replaces the newest checkpoint by the previous one, so that the next [`save`] does not keep a
/// damaged file as the last good one.
///
/// # Errors
/// [`Error::Io`] naming the file.
pub fn fall_back(run: &Path) -> Result<()> {
    keep(&previous(run), &path(run))
}

/// A checkpoint in memory.
pub struct Checkpoint {
    /// Where it came from.
    pub path: PathBuf,
    /// Steps done.
    pub step: u64,
    /// The run's seed.
    pub seed: u64,
    /// The run's resolved configuration without its `train` section: what must agree for weights to
    /// fit.
    pub model: String,
    tensors: HashMap<String, (Vec<usize>, Vec<f32>)>,
}

impl Checkpoint {
    /// Loads the parameters of `model` from the tensors named `prefix` + path, e.g. `ema.` for a
    /// run's averaged weights.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if one is missing or of another shape.
    pub fn weights(&self, gpu: &Gpu, model: &mut dyn Module, prefix: &str) -> Result<()> {
        let mut outcome = Ok(());
        model.visit(&mut |path, tensor| match self
            .tensor(&format!("{prefix}{path}"), tensor.shape())
        {
            Ok(values) => *tensor = Tensor::from_slice(gpu, &values, tensor.shape()),
            Err(error) => outcome = Err(error),
        });
        outcome
    }
}

/// Writes `entries` to the run directory's checkpoint, keeping the previous one.
///
/// # Errors
/// [`Error::Io`] naming the file, [`Error::Checkpoint`] if `entries` cannot be serialised; the
/// existing checkpoint is then untouched.
pub fn save(run: &Path, step: u64, seed: u64, model: &str, entries: &[Entry]) -> Result<()> {
    let file = path(run);
    let facts = facts_text(step, seed, model);
    let mut metadata = HashMap::from([
        ("format".to_string(), FORMAT.to_string()),
        ("step".to_string(), step.to_string()),
        ("seed".to_string(), seed.to_string()),
        ("model".to_string(), model.to_string()),
    ]);
    metadata.insert(
        "blake3".to_string(),
        checksum(
            &facts,
            entries
                .iter()
                .map(|(name, _, v)| (name.as_str(), v.as_slice())),
        ),
    );
    let bytes =
        serialise(entries, metadata, Format::F32).map_err(|e| Error::checkpoint(&file, e))?;
    let mut out = atomic_write_file::AtomicWriteFile::open(&file).map_err(Error::io(&file))?;
    out.write_all(&bytes)
        .and_then(|()| out.sync_all())
        .map_err(Error::io(&file))?;
    if file.exists() {
        keep(&file, &previous(run))?;
    }
    out.commit().map_err(Error::io(&file))
}

/// Makes `to` a hard link to `from` (or a copy where the file system has no links), replacing `to`
/// atomically.
fn keep(from: &Path, to: &Path) -> Result<()> {
    let fresh = to.with_extension("keep");
    let _ = std::fs::remove_file(&fresh);
    if std::fs::hard_link(from, &fresh).is_err() {
        std::fs::copy(from, &fresh).map_err(Error::io(&fresh))?;
    }
    std::fs::rename(&fresh, to).map_err(Error::io(to))?;
    // Renaming a file over a hard link to itself leaves both; remove the spare one.
    let _ = std::fs::remove_file(&fresh);
    Ok(())
}

/// What the checksum covers besides the tensors.
fn facts_text(step: u64, seed: u64, model: &str) -> String {
    format!("{step}\n{seed}\n{model}")
}

fn checksum<'a>(facts: &str, entries: impl Iterator<Item = (&'a str, &'a [f32])>) -> String {
    let mut sorted: Vec<_> = entries.collect();
    sorted.sort_by_key(|(name, _)| *name);
    let mut hasher = blake3::Hasher::new();
    hasher.update(facts.as_bytes());
    for (name, values) in sorted {
        hasher
            .update(name.as_bytes())
            .update(bytemuck::cast_slice(values));
    }
    hasher.finalize().to_hex().to_string()
}

/// The newest good checkpoint of `run`, and a warning if that is not the newest one.
///
/// # Errors
/// The newest one's [`Error::Checkpoint`] or [`Error::Io`] if neither is there and good.
pub fn newest(run: &Path) -> Result<(Checkpoint, Option<String>)> {
    let first = match load(&path(run)) {
        Ok(found) => return Ok((found, None)),
        Err(error) => error,
    };
    match load(&previous(run)) {
        Ok(found) => {
            let note = format!(
                "{first}; continuing from the previous checkpoint, step {}",
                found.step
            );
            Ok((found, Some(note)))
        }
        Err(_) => Err(first),
    }
}

/// Reads one checkpoint file.
///
/// # Errors
/// [`Error::Checkpoint`] saying what is wrong with it, [`Error::Io`] if it cannot be read.
pub fn load(file: &Path) -> Result<Checkpoint> {
    let bad = |what: String| Error::checkpoint(file, what);
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(bad(
                "there is no checkpoint; train first, or name the directory of a training run"
                    .into(),
            ));
        }
        Err(e) => return Err(Error::io(file)(e)),
    };
    parse(file, &bytes)
}

/// Reads the `bytes` of the checkpoint `file`.
///
/// # Errors
/// [`Error::Checkpoint`] saying what is wrong with it.
pub(crate) fn parse(file: &Path, bytes: &[u8]) -> Result<Checkpoint> {
    let bad = |what: String| Error::checkpoint(file, what);
    let header = bytes
        .first_chunk::<8>()
        .map_or(0, |h| u64::from_le_bytes(*h));
    if header > MAX_HEADER || header + 8 > bytes.len() as u64 {
        return Err(bad(format!(
            "damaged: a file of {} bytes claims a header of {header}; use another checkpoint",
            bytes.len()
        )));
    }
    let damaged = |e: safetensors::SafeTensorError| {
        bad(format!(
            "damaged ({}); use another checkpoint",
            excerpt(&e.to_string())
        ))
    };
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let facts = metadata.metadata().clone().unwrap_or_default();
    let fact = |name: &str| {
        facts.get(name).cloned().ok_or_else(|| {
            bad(format!(
                "has no `{name}` in its metadata: not a checkpoint of dbvq-wgpu"
            ))
        })
    };
    if fact("format")? != FORMAT {
        let format = fact("format")?;
        return Err(bad(format!(
            "has format `{}`, but this program reads `{FORMAT}`",
            excerpt(&format)
        )));
    }
    let mut tensors = HashMap::new();
    for (name, view) in SafeTensors::deserialize(bytes).map_err(damaged)?.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(bad(format!(
                "tensor {} is {:?}, expected F32",
                excerpt(&name),
                view.dtype()
            )));
        }
        tensors.insert(
            name,
            (
                view.shape().to_vec(),
                bytemuck::pod_collect_to_vec(view.data()),
            ),
        );
    }
    let number = |name: &str| {
        fact(name)?
            .parse::<u64>()
            .map_err(|_| bad(format!("its `{name}` is not a number")))
    };
    let step = number("step")?;
    let seed = number("seed")?;
    let model = fact("model")?;
    let content = tensors.iter().map(|(n, (_, v))| (n.as_str(), v.as_slice()));
    if checksum(&facts_text(step, seed, &model), content) != fact("blake3")? {
        return Err(bad(
            "damaged: its checksum does not match its content; use another checkpoint".into(),
        ));
    }
    Ok(Checkpoint {
        path: file.to_path_buf(),
        step,
        seed,
        model,
        tensors,
    })
}

impl Checkpoint {
    /// Every tensor: name, dimensions, values. In no order.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize], &[f32])> {
        self.tensors
            .iter()
            .map(|(name, (dims, values))| (name.as_str(), dims.as_slice(), values.as_slice()))
    }

    /// The values of the one-dimensional tensor `name`, of any size.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it is missing, empty or of another rank.
    pub fn row(&self, name: &str) -> Result<Vec<f32>> {
        match self.tensors.get(name) {
            Some((dims, values)) if dims.len() == 1 && !values.is_empty() => Ok(values.clone()),
            _ => Err(Error::checkpoint(
                &self.path,
                format!("has no tensor {name}: it is of another configuration"),
            )),
        }
    }

    /// The values of tensor `name`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it is missing or of another shape.
    pub fn tensor(&self, name: &str, shape: Shape) -> Result<Vec<f32>> {
        match self.tensors.get(name) {
            Some((dims, values)) if dims == shape.dims() => Ok(values.clone()),
            Some((dims, _)) => {
                let what = format!(
                    "tensor {name} is {dims:?} where the model needs {shape:?}: it is of another configuration"
                );
                Err(Error::checkpoint(&self.path, what))
            }
            None => Err(Error::checkpoint(
                &self.path,
                format!("has no tensor {name}: it is of another configuration"),
            )),
        }
    }
}
