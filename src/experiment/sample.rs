//! `dbvq-wgpu sample`: Algorithm 2 from a trained run, to `samples.safetensors`, a picture and a
//! short word on both. Here the toy; image runs are passed on.

use std::path::Path;
use std::time::Instant;

use serde_json::json;

use super::device::{Device, keep_caches, print_profile};
use super::drawing::{FILES, SampleArgs, chunk_seed, sampler_name};
use super::images::asked::{ImageFlags, PictureFlags};
use super::images::sample as images;
use super::run_dir;
use crate::bridge::ReverseVariance;
use crate::data::toy::{self, CODES, DIM, LENGTH, Reached};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::models::dbvq::Toy;
use crate::models::sampler::{Process, Sampler};
use crate::ops;
use crate::report::figures;
use crate::report::product::{self, Folder, Form};
use crate::report::progress::Progress;
use crate::report::samples_file::{self, Values, check_finite};
use crate::tensor::{Shape, Tensor};

/// Sequences, unless the user says otherwise.
pub(super) const COUNT: usize = 1024;
/// Most sequences sampled side by side.
const CHUNK: usize = 16_384;

/// A trained model, its averaged weights loaded.
pub struct Trained {
    /// The device.
    pub gpu: Gpu,
    /// The model.
    pub model: Toy,
    /// σ_t² of the reverse step.
    pub variance: ReverseVariance,
    /// Training steps behind it.
    pub step: u64,
    /// The run's configuration.
    pub config: crate::config::Config,
}

impl Trained {
    /// Loads the newest checkpoint of `run`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if there is none that fits.
    pub fn load(run: &Path, device: &Device) -> Result<Trained> {
        let config = run_dir::config(run)?;
        let found = run_dir::newest(run)?;
        if found.model != config.model_text() {
            return Err(Error::checkpoint(
                &found.path,
                "is of another configuration than the config.toml beside it",
            ));
        }
        let gpu = device.open()?;
        let mut model = Toy::new(&gpu, &config)?;
        found.weights(&gpu, &mut model, "ema.")?;
        Ok(Trained {
            gpu,
            model,
            variance: config.bridge.reverse_variance,
            step: found.step,
            config,
        })
    }

    /// What samplers work with; `eps` is usually `&|z, t| trained.model.eps(z, t)`.
    pub fn process<'a>(&'a self, eps: &'a dyn Fn(&Tensor, usize) -> Tensor) -> Process<'a> {
        Process {
            gpu: &self.gpu,
            bridge: &self.model.bridge,
            variance: self.variance,
            target: self.model.target(),
            eps,
        }
    }

    /// Code vectors on the host.
    pub fn codebook(&self) -> Vec<[f32; DIM]> {
        pairs(&self.model.codebook().to_vec())
    }
}

/// Points of the plane from their flat coordinates.
pub fn pairs(flat: &[f32]) -> Vec<[f32; DIM]> {
    flat.chunks_exact(DIM).map(|p| [p[0], p[1]]).collect()
}

/// Sequences of five points from their flat coordinates.
pub fn frames(flat: &[f32]) -> Vec<figures::Frame> {
    pairs(flat)
        .chunks_exact(LENGTH)
        .map(|f| std::array::from_fn(|i| f[i]))
        .collect()
}

/// Sequences of five codes from the flat codes.
pub fn sequences(flat: &[u32]) -> Vec<[u32; LENGTH]> {
    flat.chunks_exact(LENGTH)
        .map(|c| std::array::from_fn(|i| c[i]))
        .collect()
}

/// Samples.
///
/// # Errors
/// As [`Trained::load`], and [`Error::Io`] for the files.
pub fn run(args: &SampleArgs) -> Result<()> {
    if run_dir::is_of_images(&args.run)? {
        return images::run(args);
    }
    only_for_images(&args.run, &args.drawing.images, &args.pictures)?;
    let _folder = Folder::open(&args.out, &FILES, None)?;
    let trained = Trained::load(&args.run, &args.device)?;
    let steps = args.drawing.steps.unwrap_or(trained.model.bridge.steps());
    trained
        .model
        .bridge
        .timesteps(steps)
        .map_err(|e| Error::Usage(format!("--sampling-steps: {e}")))?;
    let count = args.drawing.count.unwrap_or(COUNT);
    let sampler = args.drawing.sampler.unwrap_or(Sampler::Ancestral);
    let begin = Instant::now();
    let (codes, z0) = draw(&trained, args.drawing.seed, count, sampler, steps)?;
    let seconds = begin.elapsed().as_secs_f64();
    write_samples(&args.out.join("samples.safetensors"), count, &codes, &z0)?;
    // Learnt codes come in an order of their own: chains are judged by the nearest true centroid.
    let truth = toy::nearest(&z0, &toy::centroids());
    let reached = toy::reached(&truth);
    let adapter = trained.gpu.facts().name.clone();
    let name = sampler_name(sampler);
    let summary = json!({
        "sampler": name, "steps": steps, "samples": count, "seed": args.drawing.seed, "training_steps": trained.step,
        "valid": reached.valid, "total_variation": reached.total_variation, "distinct": reached.distinct,
        "seconds": seconds, "adapter": adapter,
    });
    let text = serde_json::to_string_pretty(&summary).expect("plain data");
    product::write(&args.out.join("summary.json"), Form::Json, text.as_bytes())?;
    let caption = caption(name, steps, &reached);
    let picture =
        figures::samples_overview(&toy::centroids(), &pairs(&z0), &caption, &histogram(&truth));
    figures::save(
        &args.out.join("samples.png"),
        &picture,
        &metadata(args, &trained, name, steps),
    )?;
    say!("{caption}");
    say!(
        "{:.1} s on {adapter}; wrote samples.safetensors, samples.png and summary.json to {}",
        seconds,
        args.out.display()
    );
    keep_caches(&trained.gpu);
    print_profile(&trained.gpu);
    Ok(())
}

/// An error if the user says of the toy's run what only image runs can be told.
///
/// # Errors
/// [`Error::Usage`].
pub(super) fn only_for_images(
    run: &Path,
    flags: &ImageFlags,
    pictures: &PictureFlags,
) -> Result<()> {
    if *flags == ImageFlags::default() && *pictures == PictureFlags::default() {
        return Ok(());
    }
    let what =
        "--class, --guidance, --codes, --temperature, --scale and --separate are for image runs";
    Err(Error::Usage(format!(
        "{} is a run of the toy; {what}",
        run.display()
    )))
}

/// Codes [n, 5] and z_0 [n, 5, 2].
///
/// # Errors
/// [`Error::Usage`] if `steps` do not fit, [`Error::Diverged`] if the samples are not finite.
pub(crate) fn draw(
    trained: &Trained,
    seed: u64,
    count: usize,
    sampler: Sampler,
    steps: usize,
) -> Result<(Vec<u32>, Vec<f32>)> {
    let eps = |z: &Tensor, t: usize| trained.model.eps(z, t);
    let process = trained.process(&eps);
    let chunks = count.div_ceil(CHUNK);
    let mut progress = Progress::new("sample", 0, (chunks * (steps + 1)) as u64);
    let mut codes = Vec::new();
    let mut z0 = Vec::new();
    let mut done = 0;
    for chunk in 0..chunks {
        let n = CHUNK.min(count - chunk * CHUNK);
        let seed = chunk_seed(seed, chunk);
        let z = process.sample(
            Shape::from([n, LENGTH, DIM]),
            sampler,
            steps,
            seed,
            &mut |t, _| {
                done += 1;
                progress.at(done, || format!("t = {t}"));
            },
        )?;
        codes.extend(ops::nearest(&z, trained.model.codebook()).to_vec());
        z0.extend(z.to_vec());
    }
    progress.finish();
    check_finite("samples", &z0)?;
    Ok((codes, z0))
}

pub(crate) fn caption(name: &str, steps: usize, reached: &Reached) -> String {
    format!(
        "{name}, {steps} steps: {:.2} % of {} sequences are valid chains, total variation {:.3} among them, {} distinct sequences",
        100.0 * reached.valid,
        reached.samples,
        reached.total_variation,
        reached.distinct
    )
}

fn metadata(
    args: &SampleArgs,
    trained: &Trained,
    name: &str,
    steps: usize,
) -> Vec<(&'static str, String)> {
    vec![
        ("seed", args.drawing.seed.to_string()),
        ("sampler", name.to_string()),
        ("steps", steps.to_string()),
        ("run", args.run.display().to_string()),
        ("training_steps", trained.step.to_string()),
        ("version", env!("CARGO_PKG_VERSION").to_string()),
    ]
}

/// Share of each of the 128 chains among the valid sequences.
pub(crate) fn histogram(codes: &[u32]) -> Vec<f64> {
    let mut counts = vec![0.0; toy::CHAINS];
    codes
        .chunks_exact(LENGTH)
        .filter_map(toy::chain_index)
        .for_each(|i| counts[i] += 1.0);
    let total: f64 = counts.iter().sum::<f64>().max(1.0);
    counts.into_iter().map(|c| c / total).collect()
}

/// `codes` u32 [n, 5] and `z0` f32 [n, 5, 2].
///
/// # Errors
/// [`Error::Io`].
pub fn write_samples(file: &Path, n: usize, codes: &[u32], z0: &[f32]) -> Result<()> {
    let tensors = [
        ("codes", vec![n, LENGTH], Values::U32(codes)),
        ("z0", vec![n, LENGTH, DIM], Values::F32(z0)),
    ];
    let facts = [
        ("version", env!("CARGO_PKG_VERSION").to_string()),
        ("codes", CODES.to_string()),
    ];
    samples_file::write(file, &tensors, &facts)
}
