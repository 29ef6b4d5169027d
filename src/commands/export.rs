//! `dbvq-wgpu export`: exports a run's weights for PyTorch; docs/weights.md describes the file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::error::{Error, Result};
use crate::experiment::run_dir;
use crate::nn::checkpoint::{self, Checkpoint, Entry};
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
}

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
        checkpoint::serialise(&entries, metadata).map_err(|e| Error::checkpoint(&found.path, e))?;
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
            let (dims, values) = pytorch(dims, values);
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

/// Converts a parameter to PyTorch's layout. Convolution kernels, that is, tensors with more than
/// two dimensions, are [taps.., a, b] here and [b, a, taps..] in PyTorch: b is the output channels
/// of a convolution, the input channels of a transposed one.
fn pytorch(dims: &[usize], values: &[f32]) -> (Vec<usize>, Vec<f32>) {
    let [taps @ .., a, b] = dims else {
        return (dims.to_vec(), values.to_vec());
    };
    let count = taps.iter().product::<usize>();
    let a = *a;
    let b = *b;
    if taps.is_empty() {
        return (dims.to_vec(), values.to_vec());
    }
    let order = (0..b)
        .flat_map(|j| (0..a).flat_map(move |i| (0..count).map(move |tap| (tap * a + i) * b + j)));
    (
        [&[b, a], taps].concat(),
        order.map(|at| values[at]).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_alone_change_their_order() {
        let values: Vec<f32> = (0..24).map(|i| i as f32).collect();
        let (dims, turned) = pytorch(&[2, 2, 2, 3], &values);
        assert_eq!(dims, [3, 2, 2, 2]);
        // Tap (1, 0) from channel 1 to channel 2.
        assert_eq!(turned[(2 * 2 + 1) * 4 + 2], values[(2 * 2 + 1) * 3 + 2]);
        assert_eq!(pytorch(&[3, 2, 4], &values).0, [4, 2, 3]);
        assert_eq!(pytorch(&[4, 6], &values), (vec![4, 6], values.clone()));
        assert_eq!(pytorch(&[24], &values).0, [24]);
    }
}
