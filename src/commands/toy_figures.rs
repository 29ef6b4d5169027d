//! `dbvq-wgpu figures`: the paper's toy figures from a trained run, and Table 4 as text.

use std::path::{Path, PathBuf};

use clap::Args;

use super::DeviceFlags;
use crate::config::Config;
use crate::data::toy::{self, DIM, LENGTH};
use crate::error::Result;
use crate::experiment::run_dir;
use crate::experiment::subject::points::{frames, pairs, sequences};
use crate::experiment::trained::Trained;
use crate::models::diffusion::Diffusion;
use crate::models::sampler::Sampler;
use crate::models::toy::Toy;
use crate::philox::{Draw, Stream};
use crate::report::figures::{self, Frame};
use crate::report::product::{Folder, Form};
use crate::tensor::{Shape, Tensor};

#[derive(Args, Debug)]
pub(super) struct FigureFlags {
    /// A run directory.
    run: PathBuf,
    /// Directory for the figures.
    #[arg(long)]
    out: PathBuf,
    /// Seed of the samples.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    seed: u64,
    #[command(flatten)]
    device: DeviceFlags,
}

impl FigureFlags {
    /// Draws figures 2, 3, 11 (learnt codes) and the training curves; prints Table 4.
    pub(super) fn run(self) -> Result<()> {
        let files = [
            "figure-2-data.png",
            "figure-3-paths.png",
            "figure-11-codes.png",
            "training.png",
        ];
        let _folder = Folder::open(&self.out, &files.map(|file| (file, Form::Picture)), None)?;
        let config = run_dir::config(&self.run)?;
        let trained = Trained::load(&self.run, &self.device.into())?;
        let facts = facts(&self.run, &trained, self.seed);
        let save = |name: &str, picture: &image::RgbImage| {
            let file = self.out.join(name);
            figures::save(&file, picture, &facts)?;
            say!("{}", file.display());
            Ok(())
        };
        save("figure-2-data.png", &samples_of_data(self.seed))?;
        let (paths, reverse) = paths(&trained, self.seed)?;
        save("figure-3-paths.png", &paths)?;
        if config.codes.is_some() {
            save("figure-11-codes.png", &codes(&trained, &config, self.seed)?)?;
            let found = recovered(&codebook(&trained));
            say!(
                "{found} of {} centroids have one code of their own within {RECOVERED}",
                toy::CODES
            );
        }
        save("training.png", &curves(&self.run)?)?;
        say!("\n  t  nearest centroids (Table 4)");
        table4(&reverse)
            .iter()
            .for_each(|(t, codes)| say!("{t:>3}  {codes:?}"));
        Ok(())
    }
}

/// Metadata of a figure about its run.
pub(super) fn facts(run: &Path, trained: &Trained, seed: u64) -> [(&'static str, String); 4] {
    [
        ("seed", seed.to_string()),
        ("run", run.display().to_string()),
        ("training_steps", trained.step.to_string()),
        ("version", env!("CARGO_PKG_VERSION").to_string()),
    ]
}

/// Figure 2: two samples of the data.
pub(super) fn samples_of_data(seed: u64) -> image::RgbImage {
    let (codes, points) = data(seed, 2);
    figures::toy_data(&toy::centroids(), &frames(&points), &sequences(&codes))
}

/// Figure 3, and its reverse path, t = T..0, from which Table 4 is taken.
pub(super) fn paths(trained: &Trained, seed: u64) -> Result<(image::RgbImage, Vec<Frame>)> {
    let model = trained.diffusion().expect("a run of the toy has a bridge");
    let forward = forward_path(model, seed);
    let reverse = reverse_path(trained, model, seed)?;
    Ok((
        figures::paths(&toy::centroids(), &forward, &reverse),
        reverse,
    ))
}

/// Figure 11: the codes of a joint training, before and after.
pub(super) fn codes(trained: &Trained, config: &Config, seed: u64) -> Result<image::RgbImage> {
    let before = pairs(&Toy::new(&trained.gpu, config)?.codebook().to_vec());
    let (_, cloud) = data(seed, 300);
    Ok(figures::codes_before_after(
        &toy::centroids(),
        &before,
        &codebook(trained),
        &pairs(&cloud),
    ))
}

/// The code vectors of a run.
pub(super) fn codebook(trained: &Trained) -> Vec<[f32; DIM]> {
    pairs(&trained.first.vectors().to_vec())
}

/// Codes [n, 5] and points [n, 5, 2] of the data.
fn data(seed: u64, n: usize) -> (Vec<u32>, Vec<f32>) {
    let stream = Stream {
        seed,
        step: 0,
        stream: Draw::FigureSequences.stream(),
        first: 0,
    };
    let codes = toy::sequences(stream, n);
    let points = toy::points(
        &codes,
        Stream {
            stream: Draw::FigurePoints.stream(),
            ..stream
        },
    );
    (codes, points)
}

/// One path of the forward process, t = 0..T.
fn forward_path(model: &Diffusion, seed: u64) -> Vec<Frame> {
    let bridge = &model.bridge;
    let target = model.target().to_vec();
    let (_, mut z) = data(seed, 1);
    let mut path = frames(&z);
    for t in 1..=bridge.steps() {
        let keep = (1.0 - bridge.beta(t)).sqrt();
        let noise = (bridge.stationary_variance() * bridge.beta(t)).sqrt();
        let stream = Stream {
            seed,
            step: t as u32,
            stream: Draw::FigurePath.stream(),
            first: 0,
        };
        for (i, v) in z.iter_mut().enumerate() {
            let goal = f64::from(target[i % DIM]);
            *v = (goal + keep * (f64::from(*v) - goal) + noise * stream.normal(i as u32)) as f32;
        }
        path.extend(frames(&z));
    }
    path
}

/// One ancestral path of the trained model, t = T..0.
fn reverse_path(trained: &Trained, model: &Diffusion, seed: u64) -> Result<Vec<Frame>> {
    let eps = |z: &Tensor, t: usize| model.eps(z, t, None);
    let mut path = Vec::new();
    let shape = Shape::from([1, 1, LENGTH, DIM]);
    let steps = model.bridge.steps();
    trained
        .process(model, &eps)
        .sample(shape, Sampler::Ancestral, steps, seed, &mut |_, z| {
            path.extend(frames(&z.to_vec()))
        })?;
    Ok(path)
}

/// Table 4: levels and the nearest centroids at them, from noise to data.
pub(super) fn table4(reverse: &[Frame]) -> Vec<(usize, Vec<u32>)> {
    let steps = reverse.len() - 1;
    let row = |row: usize| {
        let t = steps * (5 - row) / 5;
        (
            t,
            toy::nearest(reverse[steps - t].as_flattened(), &toy::centroids()),
        )
    };
    (0..=5).map(row).collect()
}

/// The losses of a training.
pub(super) fn curves(run: &Path) -> Result<image::RgbImage> {
    let lines = run_dir::metrics(run)?;
    let names = ["loss", "diffusion", "reconstruction", "regulariser"];
    let all: Vec<(&str, Vec<(f64, f64)>)> = names
        .iter()
        .map(|&n| (n, run_dir::series(&lines, n)))
        .filter(|(_, s)| !s.is_empty())
        .collect();
    // With a single part the total would repeat it.
    let skip = usize::from(all.len() == 2);
    let views: Vec<(&str, &[(f64, f64)])> = all
        .iter()
        .skip(skip)
        .map(|(n, s)| (*n, s.as_slice()))
        .collect();
    Ok(figures::curves("Training", "step", "loss", true, &views))
}

/// Maximum distance of a learnt code to a centroid.
pub(super) const RECOVERED: f32 = 0.02;

/// Number of true centroids that have exactly one code near them; a successful joint training
/// reaches eight.
pub(super) fn recovered(codebook: &[[f32; DIM]]) -> usize {
    let close = |c: &[f32; DIM], e: &[f32; DIM]| {
        ((c[0] - e[0]).powi(2) + (c[1] - e[1]).powi(2)).sqrt() <= RECOVERED
    };
    toy::centroids()
        .iter()
        .filter(|c| codebook.iter().filter(|&e| close(c, e)).count() == 1)
        .count()
}
