//! The codes of a data set that comes as codes: read for training, stored in the run with their
//! vectors and the characters that they stand for.

use std::path::Path;

use safetensors::SafeTensors;

use crate::config::CodebookConfig;
use crate::data::codes::{self, CodeSet, Text};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::models::first_stage::{FixedCodebook, random_vectors};
use crate::report::samples_file::{self, Values};

/// The file in a run directory that holds the code vectors and characters.
const FILE: &str = "codebook.safetensors";
const VECTORS: &str = "codebook";
const SYMBOLS: &str = "symbols";

/// Opens the data set in `file`. A text's characters are `symbols`, or by default those that occur.
///
/// # Errors
/// As [`codes::open`].
pub fn open(file: &Path, config: &CodebookConfig, symbols: Option<&[char]>) -> Result<CodeSet> {
    let text = Text {
        window: config.width.max(1),
        symbols,
    };
    codes::open(file, text)
}

/// Checks that `set`, read from `file`, has the grid of `config` and only its codes.
fn check(file: &Path, set: &CodeSet, config: &CodebookConfig) -> Result<()> {
    let [h, w] = [config.height, config.width];
    let wrong = |what: String| Err(Error::Data(format!("{}: {what}", file.display())));
    if set.grid != [h, w] {
        return wrong(format!(
            "its samples are {}x{} codes, but the run has {h}x{w}",
            set.grid[0], set.grid[1]
        ));
    }
    match set.codes.iter().max() {
        Some(&code) if code as usize >= config.codes => wrong(format!(
            "it has code {code}, but the run's codes are 0 to {}",
            config.codes - 1
        )),
        _ => Ok(()),
    }
}

/// The data set in `file` for a run whose codes stand for `symbols`, if for any.
///
/// # Errors
/// As [`codes::open`], and [`Error::Data`] if the grid or the codes do not fit the run.
pub fn open_for(symbols: Option<&[char]>, file: &Path, config: &CodebookConfig) -> Result<CodeSet> {
    let set = open(file, config, symbols)?;
    check(file, &set, config)?;
    Ok(set)
}

/// The first sample in `file` for a run whose codes stand for `symbols`, if for any: [h, w].
///
/// # Errors
/// As [`codes::read`], and [`Error::Data`] if the grid or the codes do not fit the run.
pub fn first_of(
    symbols: Option<&[char]>,
    file: &Path,
    config: &CodebookConfig,
) -> Result<Vec<u32>> {
    let text = Text {
        window: config.width,
        symbols,
    };
    let set = codes::read(file, text)?;
    check(file, &set, config)?;
    Ok(set.codes[..config.height * config.width].to_vec())
}

/// Writes the vectors of `set`, random ones if it has none, and its characters into the run `out`.
///
/// # Errors
/// [`Error::Io`].
pub fn keep(out: &Path, set: &CodeSet, config: &CodebookConfig, seed: u64) -> Result<()> {
    let vectors = match &set.codebook {
        Some((vectors, _)) => vectors.clone(),
        None => random_vectors(config, seed),
    };
    let symbols: Vec<u32> = set
        .symbols
        .iter()
        .flatten()
        .map(|&c| u32::from(c))
        .collect();
    let mut tensors = vec![(
        VECTORS,
        vec![config.codes, config.dim],
        Values::F32(&vectors),
    )];
    if !symbols.is_empty() {
        tensors.push((SYMBOLS, vec![symbols.len()], Values::U32(&symbols)));
    }
    samples_file::write(&out.join(FILE), &tensors, &[])
}

/// Whether the run at `out` has stored its code vectors.
pub fn is_kept(out: &Path) -> bool {
    out.join(FILE).is_file()
}

/// What a run has stored of its codes.
pub struct Kept {
    /// The code vectors, [k, d].
    vectors: Vec<f32>,
    /// The characters that the codes stand for, if the run was trained on a text.
    pub symbols: Option<Vec<char>>,
}

impl Kept {
    /// Reads the file of the run at `run`, whose configuration is `config`.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Checkpoint`] if it is damaged or has
    /// vectors of other sizes.
    pub fn read(run: &Path, config: &CodebookConfig) -> Result<Kept> {
        let file = run.join(FILE);
        let bytes = std::fs::read(&file).map_err(Error::io(&file))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| {
            let what = format!("is damaged ({e}); train again into another --out");
            Error::checkpoint(&file, what)
        })?;
        let vectors: Vec<f32> = values(&tensors, VECTORS).unwrap_or_default();
        if vectors.len() != config.codes * config.dim {
            let what = format!(
                "has {} code vector values, not {} x {}",
                vectors.len(),
                config.codes,
                config.dim
            );
            return Err(Error::checkpoint(&file, what));
        }
        let points: Option<Vec<u32>> = values(&tensors, SYMBOLS);
        let letter = |point| char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER);
        let symbols = points.map(|points| points.into_iter().map(letter).collect());
        Ok(Kept { vectors, symbols })
    }

    /// The first stage of a run with these codes.
    pub fn first_stage(&self, gpu: &Gpu, config: &CodebookConfig) -> FixedCodebook {
        FixedCodebook::new(gpu, config, &self.vectors)
    }
}

/// The values of the tensor `name`, if there is one.
fn values<T: bytemuck::Pod>(tensors: &SafeTensors, name: &str) -> Option<Vec<T>> {
    let found = tensors.tensor(name).ok()?;
    Some(bytemuck::pod_collect_to_vec(found.data()))
}
