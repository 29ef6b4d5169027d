//! `dbvq-wgpu figures`: the toy's figures of the paper from a trained run, and Table 4 as text.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::figures::{self, Frame};
use super::sample::{Trained, pairs};
use super::{Device, run_dir};
use crate::data::toy::{self, DIM, LENGTH};
use crate::error::{Error, Result};
use crate::models::dbvq::Toy;
use crate::models::sampler::Sampler;
use crate::philox::Stream;
use crate::tensor::{Shape, Tensor};

/// Arguments of `figures`.
#[derive(Clone, Debug)]
pub struct FigureArgs {
    /// A run directory.
    pub run: PathBuf,
    /// Where the pictures go.
    pub out: PathBuf,
    /// Seed of what is drawn.
    pub seed: u64,
    /// The adapter.
    pub device: Device,
}

/// Draws figures 2, 3, 11 (learnt codes) and the training curves; prints Table 4.
///
/// # Errors
/// As [`Trained::load`], and [`Error::Io`] for the files.
pub fn run(args: &FigureArgs) -> Result<()> {
    let trained = Trained::load(&args.run, &args.device)?;
    std::fs::create_dir_all(&args.out).map_err(Error::io(&args.out))?;
    let facts = [
        ("seed", args.seed.to_string()),
        ("run", args.run.display().to_string()),
        ("training_steps", trained.step.to_string()),
        ("version", env!("CARGO_PKG_VERSION").to_string()),
    ];
    let save = |name: &str, picture: &image::RgbImage| {
        let file = args.out.join(name);
        figures::save(&file, picture, &facts)?;
        println!("{}", file.display());
        Ok(())
    };
    let (codes, points) = data(args.seed, 2);
    let rows: Vec<[u32; LENGTH]> = codes.chunks_exact(LENGTH).map(|c| [c[0], c[1], c[2], c[3], c[4]]).collect();
    save("figure-2-data.png", &figures::toy_data(&toy::centroids(), &frames(&points), &rows))?;
    let (forward, reverse) = (forward_path(&trained, args.seed), reverse_path(&trained, args.seed)?);
    save("figure-3-paths.png", &figures::paths(&toy::centroids(), &forward, &reverse))?;
    if trained.config.codes.is_some() {
        let before = pairs(&Toy::new(&trained.gpu, &trained.config)?.codebook().to_vec());
        let (_, cloud) = data(args.seed, 300);
        let picture = figures::codes_before_after(&toy::centroids(), &before, &trained.codebook(), &pairs(&cloud));
        save("figure-11-codes.png", &picture)?;
        println!(
            "{} of {} centroids have one code of their own within {RECOVERED}",
            recovered(&trained.codebook()),
            toy::CODES
        );
    }
    save("training.png", &curves(&args.run)?)?;
    print!("{}", table4(&reverse, trained.model.bridge.steps()));
    Ok(())
}

/// Codes [n, 5] and points [n, 5, 2] of the data.
fn data(seed: u64, n: usize) -> (Vec<u32>, Vec<f32>) {
    let stream = Stream { seed, step: 0, stream: 0x3000, first: 0 };
    let codes = toy::sequences(stream, n);
    let points = toy::points(&codes, Stream { stream: 0x3001, ..stream });
    (codes, points)
}

fn frames(points: &[f32]) -> Vec<Frame> {
    pairs(points).chunks_exact(LENGTH).map(|f| [f[0], f[1], f[2], f[3], f[4]]).collect()
}

/// One path of the forward process, t = 0..T.
fn forward_path(trained: &Trained, seed: u64) -> Vec<Frame> {
    let bridge = &trained.model.bridge;
    let target = trained.model.target().to_vec();
    let (_, mut z) = data(seed, 1);
    let mut path = frames(&z);
    for t in 1..=bridge.steps() {
        let (keep, noise) = ((1.0 - bridge.beta(t)).sqrt(), (bridge.stationary_variance() * bridge.beta(t)).sqrt());
        let stream = Stream { seed, step: t as u32, stream: 0x3002, first: 0 };
        for (i, v) in z.iter_mut().enumerate() {
            let goal = f64::from(target[i % DIM]);
            *v = (goal + keep * (f64::from(*v) - goal) + noise * stream.normal(i as u32)) as f32;
        }
        path.extend(frames(&z));
    }
    path
}

/// One ancestral path of the trained model, t = T..0.
fn reverse_path(trained: &Trained, seed: u64) -> Result<Vec<Frame>> {
    let eps = |z: &Tensor, t: usize| trained.model.eps(z, t);
    let mut path = Vec::new();
    let shape = Shape::from([1, LENGTH, DIM]);
    let steps = trained.model.bridge.steps();
    trained
        .process(&eps)
        .sample(shape, Sampler::Ancestral, steps, seed, &mut |_, z| path.extend(frames(&z.to_vec())))?;
    Ok(path)
}

/// Table 4: the nearest centroids on the way from noise to data.
fn table4(reverse: &[Frame], steps: usize) -> String {
    let mut text = String::from("\n  t  nearest centroids (Table 4)\n");
    for row in 0..=5 {
        let t = steps * (5 - row) / 5;
        let codes = toy::nearest(reverse[steps - t].as_flattened(), &toy::centroids());
        text += &format!("{t:>3}  {codes:?}\n");
    }
    text
}

fn curves(run: &Path) -> Result<image::RgbImage> {
    let lines = run_dir::metrics(run)?;
    let names = ["loss", "diffusion", "reconstruction", "regulariser"];
    let series = |name: &str| -> Vec<(f64, f64)> {
        let point = |m: &serde_json::Map<String, Value>| Some((m.get("step")?.as_f64()?, m.get(name)?.as_f64()?));
        lines.iter().filter_map(point).collect()
    };
    let all: Vec<(&str, Vec<(f64, f64)>)> =
        names.iter().map(|&n| (n, series(n))).filter(|(_, s)| !s.is_empty()).collect();
    // With one part the total says the same twice.
    let skip = usize::from(all.len() == 2);
    let views: Vec<(&str, &[(f64, f64)])> = all.iter().skip(skip).map(|(n, s)| (*n, s.as_slice())).collect();
    Ok(figures::curves("Training", "step", "loss", true, &views))
}

/// How near a learnt code must be to a centroid.
const RECOVERED: f32 = 0.02;

/// Number of true centroids that have exactly one code near them: what joint training must bring to eight.
fn recovered(codebook: &[[f32; DIM]]) -> usize {
    let close = |c: &[f32; DIM], e: &[f32; DIM]| ((c[0] - e[0]).powi(2) + (c[1] - e[1]).powi(2)).sqrt() <= RECOVERED;
    toy::centroids().iter().filter(|c| codebook.iter().filter(|&e| close(c, e)).count() == 1).count()
}
