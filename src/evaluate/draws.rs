//! Codes of images and of samples. Samples are written to files chunk by chunk, so that an
//! interrupted evaluation can continue.

use std::path::{Path, PathBuf};
use std::time::Instant;

use safetensors::{Dtype, SafeTensors};

use super::EvaluateArgs;
use crate::data::ImageSet;
use crate::error::{Error, Result};
use crate::experiment::asked::ImageFlags;
use crate::experiment::dataset::Pictures;
use crate::experiment::drawing::{Drawing, chunk_seed, sampler_name};
use crate::experiment::run_dir;
use crate::experiment::sample;
use crate::experiment::stages::context::CHUNK;
use crate::experiment::trained::{Prior, Trained};
use crate::report::progress::Progress;
use crate::report::samples_file::{self, Values};

/// Two draws of the data as codes, [count, h, w] each.
pub(super) struct DataCodes {
    /// Codes of the first held-out images.
    pub first: Vec<u32>,
    /// Codes of other images.
    pub second: Vec<u32>,
    /// Where those come from.
    pub second_name: &'static str,
}

impl DataCodes {
    /// Encodes two sets of `count` images: the first held-out ones, and others (held-out if there
    /// are enough, else from the training set). At least `count` images must be held out.
    ///
    /// # Errors
    /// [`Error::Diverged`] if their latents are not finite.
    pub fn new(trained: &Trained, pictures: &Pictures, count: usize) -> Result<DataCodes> {
        let held_out = &pictures.held_out;
        let train = &pictures.train;
        let range = |first: usize| (first..first + count).map(|i| i as u32).collect::<Vec<_>>();
        let first = codes_of(trained, held_out, &range(0))?;
        if held_out.len() >= 2 * count {
            let second = codes_of(trained, held_out, &range(count))?;
            return Ok(DataCodes {
                first,
                second,
                second_name: "other held-out images",
            });
        }
        let spread: Vec<u32> = (0..count)
            .map(|i| (i * train.len() / count) as u32)
            .collect();
        let second = codes_of(trained, train, &spread)?;
        Ok(DataCodes {
            first,
            second,
            second_name: "training images",
        })
    }
}

/// The codes [n, h, w] of the images `indices` of a set.
///
/// # Errors
/// [`Error::Diverged`] if their latents are not finite, and those of [`ImageSet::image`].
pub(super) fn codes_of(trained: &Trained, set: &ImageSet, indices: &[u32]) -> Result<Vec<u32>> {
    let mut progress = Progress::new("encode", 0, indices.len() as u64);
    let mut codes = Vec::new();
    for (i, chunk) in indices.chunks(CHUNK).enumerate() {
        let latents = trained.latents(&trained.encode(&set.floats(chunk)?)?);
        codes.extend(
            trained
                .gpu
                .no_grad(|| trained.first.quantise(&latents))
                .to_vec(),
        );
        progress.at((i * CHUNK + chunk.len()) as u64, String::new);
    }
    progress.finish();
    Ok(codes)
}

/// Samples of a run.
pub(super) struct Draws {
    /// Sampler and its steps.
    pub sampler: String,
    /// Factor on the logits, for priors that predict codes.
    pub sharpen: Option<f64>,
    /// Number of samples.
    pub count: usize,
    /// [count, h, w].
    pub codes: Vec<u32>,
    /// Wall seconds per sample, including decoding.
    pub seconds: f64,
}

impl Draws {
    /// Draws `count` samples of a run that has a prior, reusing those kept from an earlier
    /// evaluation.
    ///
    /// # Errors
    /// [`Error::Usage`] for a sampler that does not fit, [`Error::Diverged`] if samples are not
    /// finite, [`Error::Io`] for the file.
    pub fn of(trained: &Trained, args: &EvaluateArgs, count: usize) -> Result<Draws> {
        let (sampler, steps) = match trained.prior {
            Prior::Diffusion(_) => (args.sampler, args.steps),
            _ => (None, None),
        };
        let name = match &trained.prior {
            Prior::Diffusion(model) => {
                let (sampler, steps) = trained.sampler(model, sampler, steps)?;
                format!("{} {steps}", sampler_name(sampler))
            }
            _ => "raster".to_string(),
        };
        let sharpen = sharpen(trained, args);
        let sharpened = sharpen.map_or_else(String::new, |by| format!(" × {by}"));
        let file = file(trained, &format!("{name}{sharpened}"), args)?;
        let drawing = Drawing {
            count: Some(CHUNK),
            sampler,
            steps,
            seed: args.seed,
            images: ImageFlags {
                sharpen,
                ..ImageFlags::default()
            },
        };
        let cells = trained.config.cells();
        let (mut codes, mut seconds) =
            stored(&file, cells, trained.config.codes()).unwrap_or_default();
        // Redraw an incomplete last chunk.
        codes.truncate(codes.len() / cells / CHUNK * CHUNK * cells);
        if codes.is_empty() {
            seconds = 0.0;
        }
        let chunks = count.div_ceil(CHUNK);
        for chunk in codes.len() / cells / CHUNK..chunks {
            if chunk % 8 == 0 {
                note!(
                    "{}: samples {} of {} ({name})",
                    trained.run.display(),
                    chunk * CHUNK,
                    count
                );
            }
            let begin = Instant::now();
            let drawing = Drawing {
                seed: chunk_seed(args.seed, chunk),
                ..drawing.clone()
            };
            codes.extend(sample::draw(trained, &drawing)?.0.codes);
            seconds += begin.elapsed().as_secs_f64();
            let facts = [("sampler", name.clone()), ("seed", args.seed.to_string())];
            keep(&file, &codes, cells, seconds, &facts)?;
        }
        let seconds = seconds / (codes.len() / cells) as f64;
        codes.truncate(count * cells);
        Ok(Draws {
            sampler: name,
            sharpen,
            count,
            codes,
            seconds,
        })
    }
}

/// The factor on the logits, if the prior of `trained` predicts logits.
fn sharpen(trained: &Trained, args: &EvaluateArgs) -> Option<f64> {
    match &trained.prior {
        Prior::Diffusion(model) if model.head().is_some() => {
            Some(args.sharpen.unwrap_or(trained.config.prior.sharpen))
        }
        _ => None,
    }
}

/// The samples file for exactly these weights, sampler, seed, adapter and precision.
fn file(trained: &Trained, sampler: &str, args: &EvaluateArgs) -> Result<PathBuf> {
    let facts = trained.gpu.facts();
    let gpu = &trained.gpu;
    let device = (
        &facts.name,
        &facts.driver,
        &facts.driver_info,
        gpu.cooperative(),
        gpu.prefers(),
    );
    let fingerprint = run_dir::fingerprint(
        &[&trained.run],
        &format!("{sampler} {} {device:?}", args.seed),
    )?;
    let folder = args.out.join("samples");
    std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
    Ok(folder.join(format!(
        "{}-{}.safetensors",
        trained.stage.name(),
        &fingerprint[..16]
    )))
}

/// Writes `codes`, `cells` per sample, and the seconds they took.
fn keep(
    file: &Path,
    codes: &[u32],
    cells: usize,
    seconds: f64,
    facts: &[(&str, String)],
) -> Result<()> {
    let shape = vec![codes.len() / cells, cells];
    let took = [seconds as f32];
    let tensors = [
        ("codes", shape, Values::U32(codes)),
        ("seconds", vec![1], Values::F32(&took)),
    ];
    samples_file::write(file, &tensors, facts)
}

/// Codes and the seconds they took, if the file exists and is complete.
fn stored(file: &Path, cells: usize, most: usize) -> Option<(Vec<u32>, f64)> {
    parse(&std::fs::read(file).ok()?, cells, most)
}

/// Parses a file's `bytes`: codes below `most`, `cells` per sample, and the seconds they took.
pub(crate) fn parse(bytes: &[u8], cells: usize, most: usize) -> Option<(Vec<u32>, f64)> {
    let tensors = SafeTensors::deserialize(bytes).ok()?;
    let of_kind = |name: &str, dtype| {
        tensors
            .tensor(name)
            .ok()
            .filter(|tensor| tensor.dtype() == dtype)
    };
    let codes = of_kind("codes", Dtype::U32)?;
    let is_of_samples = matches!(codes.shape(), &[_, columns] if columns == cells);
    let codes: Vec<u32> = bytemuck::pod_collect_to_vec(codes.data());
    let seconds: Vec<f32> = bytemuck::pod_collect_to_vec(of_kind("seconds", Dtype::F32)?.data());
    let seconds = f64::from(*seconds.first()?);
    let fits = is_of_samples && codes.iter().all(|&code| (code as usize) < most) && seconds >= 0.0;
    (fits && seconds.is_finite()).then_some((codes, seconds))
}
