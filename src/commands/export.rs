//! `dbvq-wgpu export`: exports a run's weights for PyTorch; docs/weights.md describes the file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::error::{Error, Result};
use crate::experiment::run_dir;
use crate::nn::checkpoint::{Checkpoint, Entry};
use crate::nn::weights::{Format, serialise, to_pytorch};
use crate::report::product::{self, Folder, Form};
use crate::report::samples_file::check_finite;
use crate::tensor::Shape;

#[derive(Args, Debug)]
pub(crate) struct ExportFlags {
    /// A run directory.
    run: PathBuf,
    /// The safetensors file to write; the run's configuration is written next to it as .toml.
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
    /// Export the weights of the last step instead of their running averages.
    #[arg(long)]
    raw: bool,
    /// Number format of the tensors.
    #[arg(long, value_enum, default_value_t)]
    dtype: Dtype,
}

/// A number format.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Dtype {
    /// 32-bit floats, as they are trained.
    #[default]
    F32,
    /// Half precision: 11 bits, up to 65,504.
    F16,
    /// bfloat16: 8 bits, the range of f32.
    Bf16,
}

impl Dtype {
    /// The format, if it holds `values`.
    fn format(self, name: &str, values: &[f32]) -> Result<Format> {
        let largest = values.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        match self {
            Dtype::F16 if largest > MAX_F16 => Err(Error::Usage(format!(
                "`{name}` holds {largest}, more than f16's {MAX_F16}; use --dtype bf16 or f32"
            ))),
            Dtype::F16 => Ok(Format::F16),
            Dtype::Bf16 => Ok(Format::Bf16),
            Dtype::F32 => Ok(Format::F32),
        }
    }
}

/// The largest number of f16.
const MAX_F16: f32 = 65_504.0;

/// Tensors that a model uses besides its parameters (buffers): their names in a checkpoint, and in
/// PyTorch, where the code vectors are the weights of an embedding.
const BESIDE: [(&str, &str); 4] = [
    ("codebook.vectors", "codebook.weight"),
    ("latents.mean", "latents.mean"),
    ("latents.std", "latents.std"),
    ("codes.spread", "codes.spread"),
];

/// Writes the weights, and the run's configuration next to them.
///
/// # Errors
/// [`Error::Usage`] for a name that does not end in .safetensors, or that would replace a file of
/// the run or of the user, [`Error::Checkpoint`] if the run has no checkpoint, [`Error::Diverged`]
/// for weights that are not finite, [`Error::Io`] for files that cannot be written.
pub(crate) fn run(args: &ExportFlags) -> Result<()> {
    let beside = args.out.with_extension("toml");
    if args.out.extension().is_none_or(|end| end != "safetensors") {
        return Err(Error::Usage(format!(
            "--out {}: give it a name that ends in .safetensors",
            args.out.display()
        )));
    }
    if let Some(file) = [&args.out, &beside]
        .into_iter()
        .find(|file| belongs_to(&args.run, file))
    {
        let what = format!(
            "--out would replace {}, a file of the run; choose another folder",
            file.display()
        );
        return Err(Error::Usage(what));
    }
    product::check(&args.out, Form::Tensors)?;
    product::check(&beside, Form::Settings)?;
    let config = run_dir::text(&args.run)?;
    let found = run_dir::newest(&args.run)?;
    let entries = weights(&found, args.raw);
    entries
        .iter()
        .try_for_each(|(name, _, values)| check_finite(&format!("numbers of `{name}`"), values))?;
    let mut format = Format::F32;
    for (name, _, values) in &entries {
        format = args.dtype.format(name, values)?;
    }
    let kind = if args.raw { "raw" } else { "averaged" };
    let metadata = [
        ("format", "pt".to_string()),
        ("weights", kind.to_string()),
        ("step", found.step.to_string()),
    ];
    let metadata: HashMap<String, String> = metadata
        .map(|(name, value)| (name.to_string(), value))
        .into();
    let bytes =
        serialise(&entries, metadata, format).map_err(|e| Error::checkpoint(&found.path, e))?;
    let _folder = args.out.parent().map(Folder::make).transpose()?;
    product::write(&args.out, Form::Tensors, &bytes)?;
    product::write(&beside, Form::Settings, config.as_bytes())?;
    let tensors = entries.len();
    let numbers = entries
        .iter()
        .map(|(_, shape, _)| shape.count())
        .sum::<usize>();
    let step = found.step;
    let out = args.out.display();
    let config = beside.display();
    note!(
        "{tensors} tensors, {numbers} numbers, {kind}, from step {step}: {out}; configuration: {config}"
    );
    Ok(())
}

/// Whether `file` exists in the run directory.
fn belongs_to(run: &Path, file: &Path) -> bool {
    let folder = file
        .canonicalize()
        .ok()
        .and_then(|whole| whole.parent().map(Path::to_path_buf));
    folder.is_some() && folder == run.canonicalize().ok()
}

/// The weights of a checkpoint under the names of the model's parameters, followed by the
/// [`BESIDE`] tensors.
fn weights(found: &Checkpoint, raw: bool) -> Vec<Entry> {
    let wanted = if raw { "model." } else { "ema." };
    let mut entries = Vec::new();
    let mut beside = Vec::new();
    for (name, dims, values) in found.tensors() {
        if let Some(path) = name.strip_prefix(wanted) {
            let (dims, values) = to_pytorch(dims, values);
            entries.push((path.to_string(), Shape::from(dims), values));
        } else if let Some((_, exported)) = BESIDE.iter().find(|(stored, _)| *stored == name) {
            beside.push(((*exported).to_string(), Shape::from(dims), values.to_vec()));
        }
    }
    // In joint training the VQ-VAE is part of the model.
    if entries.iter().any(|(name, ..)| name.starts_with("vqvae.")) {
        beside
            .iter_mut()
            .filter(|(name, ..)| name == BESIDE[0].1)
            .for_each(|(name, ..)| name.insert_str(0, "vqvae."));
    }
    // Code vectors trained by gradient are already among the parameters.
    beside.retain(|(name, ..)| !entries.iter().any(|(known, ..)| known == name));
    entries.extend(beside);
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beyond_f16_are_refused() {
        let refused = Dtype::F16.format("x", &[1.0, -70_000.0]);
        let message = refused.expect_err("it is over 65,504").to_string();
        assert!(message.contains("`x` holds 70000"), "{message}");
        for (dtype, format) in [(Dtype::F32, Format::F32), (Dtype::Bf16, Format::Bf16)] {
            let found = dtype.format("x", &[-70_000.0]);
            assert_eq!(found.expect("it holds them"), format);
        }
    }
}
