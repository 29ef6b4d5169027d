//! Computes features of images with Inception-v3.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

use super::cache::{self, Cache};
use super::{Features, Statistics};
use crate::error::{Error, Result, excerpt};
use crate::gpu::Gpu;
use crate::models::inception::{FEATURES, Inception};
use crate::ops;
use crate::tensor::Tensor;

/// Images per forward pass.
const CHUNK: usize = 8;
/// Images per cache file.
const BLOCK: usize = 256;

/// Inception-v3 with weights from a file, and a cache of its features.
pub struct FeatureNetwork {
    gpu: Gpu,
    network: Inception,
    checksum: String,
    /// Checksum of everything that features depend on besides the images.
    key: blake3::Hash,
    cache: Option<Cache>,
}

impl FeatureNetwork {
    /// Reads `weights`, a file of `tools/inception_weights.py`, and prints its checksum. Features
    /// are cached in the folder `cache`, if given (see [`cache_folder`]).
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Checkpoint`] if it does not hold the
    /// tensors of the network.
    pub fn open(gpu: &Gpu, weights: &Path, cache: Option<&Path>) -> Result<FeatureNetwork> {
        let bytes = std::fs::read(weights).map_err(Error::io(weights))?;
        let wrong = |what: String| {
            let remedy = "make the file from pytorch-fid's weights with tools/inception_weights.py";
            Error::checkpoint(weights, format!("{what}; {remedy}"))
        };
        let file = parse_weights(&bytes).map_err(wrong)?;
        let network = Inception::load(gpu, &mut |name, dims| {
            numbers(&file, name, dims).map_err(wrong)
        })?;
        let checksum = blake3::hash(&bytes).to_hex().to_string();
        note!(
            "features: Inception-v3 of {}, blake3 {checksum}",
            weights.display()
        );
        let key = key(gpu, &checksum);
        let cache = cache.and_then(Cache::open);
        Ok(FeatureNetwork {
            gpu: gpu.clone(),
            network,
            checksum,
            key,
            cache,
        })
    }

    /// BLAKE3 of the weights file in hexadecimal, printed in reports.
    pub fn checksum(&self) -> &str {
        &self.checksum
    }

    /// Features of `images`, flat [n, size, size, 3] in −1..1, as pytorch-fid computes them from
    /// PNG files of these images: pixels are rounded to 8 bits and resized to 299 × 299. `done` is
    /// called with the number of images done.
    ///
    /// # Errors
    /// [`Error::Data`] if the features are not finite.
    ///
    /// # Panics
    /// If the length of `images` is not a whole number of images.
    #[track_caller]
    pub fn features(
        &self,
        images: &[f32],
        size: usize,
        done: &mut dyn FnMut(usize),
    ) -> Result<Features> {
        let image = size * size * 3;
        assert!(
            image > 0 && images.len().is_multiple_of(image),
            "{} values are not whole images of {size}",
            images.len()
        );
        let mut values = Vec::with_capacity(images.len() / image * FEATURES);
        for block in images.chunks(BLOCK * image) {
            let pixels: Vec<u8> = block.iter().map(|&v| eight_bits(v)).collect();
            let mut hasher = blake3::Hasher::new();
            hasher
                .update(self.key.as_bytes())
                .update(&(size as u64).to_le_bytes())
                .update(&pixels);
            let name = format!("features-{}.bin", hasher.finalize().to_hex());
            let kept = self.cache.as_ref().and_then(|cache| cache.read(&name));
            let kept = kept.map(|bytes| bytemuck::pod_collect_to_vec::<u8, f32>(&bytes));
            if let Some(kept) = kept.filter(|kept| kept.len() == pixels.len() / image * FEATURES) {
                values.extend(kept);
                done(values.len() / FEATURES);
                continue;
            }
            let first = values.len();
            for chunk in pixels.chunks(CHUNK * image) {
                values.extend(self.run(chunk, size));
                done(values.len() / FEATURES);
            }
            self.keep(&name, bytemuck::cast_slice(&values[first..]));
        }
        Features::new(values, FEATURES)
    }

    /// Statistics of `features`, cached too: the covariance of a few thousand images takes a
    /// second.
    ///
    /// # Errors
    /// [`Error::Data`] for fewer than two images.
    pub fn statistics(&self, features: &Features) -> Result<Statistics> {
        let of_features = blake3::hash(bytemuck::cast_slice(features.values()));
        let name = format!("statistics-{}.bin", of_features.to_hex());
        let kept = self.cache.as_ref().and_then(|cache| cache.read(&name));
        if let Some(kept) = kept.and_then(|bytes| cache::unpack(&bytes, features.width())) {
            return Ok(kept);
        }
        let statistics = Statistics::of(features)?;
        self.keep(&name, &cache::pack(&statistics));
        Ok(statistics)
    }

    /// Stores `bytes` in the cache; a failure is only reported.
    fn keep(&self, name: &str, bytes: &[u8]) {
        if let Some(Err(error)) = self.cache.as_ref().map(|cache| cache.keep(name, bytes)) {
            note!("note: features are not cached for the next run ({error})");
        }
    }

    fn run(&self, pixels: &[u8], size: usize) -> Vec<f32> {
        let values: Vec<f32> = pixels
            .iter()
            .map(|&v| (f64::from(v) / 127.5 - 1.0) as f32)
            .collect();
        let images = Tensor::from_slice(
            &self.gpu,
            &values,
            [pixels.len() / (size * size * 3), size, size, 3],
        );
        self.gpu.no_grad(|| self.network.features(&images)).to_vec()
    }
}

/// The default folder for cached features; `None` if the user has no cache directory.
pub fn cache_folder() -> Option<PathBuf> {
    crate::experiment::cache::folder().map(|folder| folder.join("features"))
}

/// Converts −1..1 to the 8-bit value of a PNG file.
fn eight_bits(v: f32) -> u8 {
    ((v.clamp(-1.0, 1.0) + 1.0) * 127.5).round() as u8
}

/// The tensors in a file's `bytes`, or an error message.
pub(crate) fn parse_weights(bytes: &[u8]) -> Result<SafeTensors<'_>, String> {
    SafeTensors::deserialize(bytes)
        .map_err(|e| format!("it is not a safetensors file ({})", excerpt(&e.to_string())))
}

/// The values of a tensor of `file`, or an error message.
pub(crate) fn numbers(
    file: &SafeTensors<'_>,
    name: &str,
    dims: &[usize],
) -> Result<Vec<f32>, String> {
    let tensor = file
        .tensor(name)
        .map_err(|_| format!("tensor `{name}` is missing"))?;
    if tensor.dtype() != Dtype::F32 || tensor.shape() != dims {
        let dtype = tensor.dtype();
        let shape = tensor.shape();
        return Err(format!(
            "tensor `{name}` is {dtype:?} {shape:?}, not F32 {dims:?}"
        ));
    }
    Ok(bytemuck::pod_collect_to_vec(tensor.data()))
}

/// A checksum of the weights, adapter and program.
fn key(gpu: &Gpu, weights: &str) -> blake3::Hash {
    let facts = gpu.facts();
    let mut hasher = blake3::Hasher::new();
    let program = if cfg!(debug_assertions) {
        "checked"
    } else {
        "unchecked"
    };
    let matrices = format!("{:?}", gpu.cooperative());
    for text in [
        weights,
        &facts.name,
        &facts.driver,
        &facts.driver_info,
        program,
        &matrices,
    ] {
        hasher.update(text.as_bytes()).update(b"\n");
    }
    ops::shaders()
        .iter()
        .for_each(|shader| _ = hasher.update(shader.text().as_bytes()));
    hasher.finalize()
}
