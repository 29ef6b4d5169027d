//! Seconds per sample: the last column of tables 2 and 3.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::measure::{Measure, Run};
use super::tables::{Rows, Section};
use super::{EvaluateArgs, Evaluation};
use crate::config::Stage;
use crate::error::Result;
use crate::experiment::asked::ImageFlags;
use crate::experiment::device::Device;
use crate::experiment::drawing::sampler_name;
use crate::experiment::stages::context::CHUNK;
use crate::experiment::trained::{Prior, Trained};
use crate::models::diffusion::Diffusion;
use crate::models::pixelcnn::PixelCnn;
use crate::models::pixelcnn::raster::{Algorithm, Given, Raster};
use crate::models::sampler::Sampler;
use crate::tensor::{Shape, Tensor};

/// Maximum number of repetitions.
const REPEAT: usize = 5;
/// Minimum number of steps that are timed.
const LEAST: usize = 8;

/// Sampling time in batches of 32, from noise to images on the host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TimeRow {
    /// The run's directory.
    pub run: String,
    /// The run's stage.
    pub stage: Stage,
    /// The sampler.
    pub sampler: String,
    /// Its steps, that is, evaluations of the network.
    pub steps: usize,
    /// Samples per batch.
    pub batch: usize,
    /// Number of timed batches, after untimed ones.
    pub repeats: usize,
    /// Steps actually run, if the time of all steps is extrapolated from them; decoding is not
    /// scaled.
    pub extrapolated_from: Option<usize>,
    /// Median wall seconds per sample.
    pub seconds: f64,
    /// Minimum and maximum.
    pub spread: [f64; 2],
    /// Seconds per sample inside kernels, by timestamps, measured on one more batch.
    pub gpu_seconds: f64,
}

/// A way to sample.
#[derive(Clone, Copy)]
enum How {
    Diffuse(Sampler, usize),
    Raster(Algorithm),
}

impl How {
    fn name(self) -> String {
        match self {
            How::Diffuse(sampler, _) => sampler_name(sampler).to_string(),
            How::Raster(Algorithm::Cached) => "raster, cached".to_string(),
            How::Raster(Algorithm::Naive) => "raster, naive".to_string(),
        }
    }

    /// Whether the time of all steps can be extrapolated from some of them. It cannot with cached
    /// activations, which are computed for given codes too.
    fn divisible(self) -> bool {
        !matches!(self, How::Raster(Algorithm::Cached))
    }
}

/// Wall seconds of a batch: of its steps, and of decoding.
#[derive(Clone, Copy)]
struct Batch {
    walk: f64,
    decode: f64,
}

/// Times every sampler of the run's prior.
fn rows(trained: &Trained, args: &EvaluateArgs) -> Result<Vec<TimeRow>> {
    let all = trained.config.bridge.steps;
    let positions = trained.config.cells();
    let hows: Vec<(How, usize)> = match trained.prior {
        Prior::None => Vec::new(),
        Prior::PixelCnn(_) => [Algorithm::Cached, Algorithm::Naive]
            .map(|way| (How::Raster(way), positions))
            .into(),
        Prior::Diffusion(_) => {
            let few = [10, 20, 50].into_iter().filter(|&steps| steps < all);
            let ddim = Sampler::Ddim { kappa: 0.0 };
            let of = |sampler| {
                few.clone()
                    .map(move |steps| (How::Diffuse(sampler, steps), steps))
            };
            let ancestral = (How::Diffuse(Sampler::Ancestral, all), all);
            of(Sampler::Dpmpp2m)
                .chain(of(ddim))
                .chain([ancestral])
                .collect()
        }
    };
    let profiled = Trained::load(
        &trained.run,
        &Device {
            profile: true,
            ..args.device.clone()
        },
    )?;
    hows.into_iter()
        .map(|(how, steps)| row(trained, &profiled, args, how, steps))
        .collect()
}

fn row(
    trained: &Trained,
    profiled: &Trained,
    args: &EvaluateArgs,
    how: How,
    steps: usize,
) -> Result<TimeRow> {
    note!(
        "{}: time of {}, {steps} steps",
        trained.run.display(),
        how.name()
    );
    // The first batch compiles; the second tells how many steps fit into the budget.
    let few = if how.divisible() {
        LEAST.min(steps)
    } else {
        steps
    };
    batch(trained, how, few, args)?;
    let probe = batch(trained, how, few, args)?;
    let affordable = ((args.time_budget - probe.decode) * few as f64 / probe.walk) as usize;
    let walked = affordable.clamp(few, steps);
    let scale = steps as f64 / walked as f64;
    let begin = Instant::now();
    let mut seconds = Vec::new();
    while seconds.is_empty()
        || (seconds.len() < REPEAT && begin.elapsed().as_secs_f64() < args.time_budget)
    {
        let Batch { walk, decode } = batch(trained, how, walked, args)?;
        seconds.push((walk * scale + decode) / CHUNK as f64);
    }
    seconds.sort_by(f64::total_cmp);
    Ok(TimeRow {
        run: trained.run.display().to_string(),
        stage: trained.stage,
        sampler: how.name(),
        steps,
        batch: CHUNK,
        repeats: seconds.len(),
        extrapolated_from: (walked < steps).then_some(walked),
        seconds: seconds[seconds.len() / 2],
        spread: [seconds[0], seconds[seconds.len() - 1]],
        gpu_seconds: in_kernels(profiled, how, [few, steps], args)? / CHUNK as f64,
    })
}

/// Seconds in kernels of a batch of `steps` steps, extrapolated from `few`.
fn in_kernels(
    trained: &Trained,
    how: How,
    [few, steps]: [usize; 2],
    args: &EvaluateArgs,
) -> Result<f64> {
    let kernels = || {
        let kernels = trained.gpu.profile().unwrap_or_default();
        trained.gpu.reset_profile();
        kernels
            .values()
            .map(|kernel| kernel.time.as_secs_f64())
            .sum::<f64>()
    };
    batch(trained, how, few, args)?;
    kernels();
    let drawn = walk(trained, how, few, args)?;
    let walked = kernels();
    decode(trained, drawn)?;
    Ok(walked * steps as f64 / few as f64 + kernels())
}

/// The result of the steps, still to be decoded.
enum Walked {
    Latents(Tensor),
    Codes(Vec<u32>),
}

fn batch(trained: &Trained, how: How, steps: usize, args: &EvaluateArgs) -> Result<Batch> {
    let begin = Instant::now();
    let walked = walk(trained, how, steps, args)?;
    trained.gpu.wait();
    let walk = begin.elapsed().as_secs_f64();
    decode(trained, walked)?;
    Ok(Batch {
        walk,
        decode: begin.elapsed().as_secs_f64() - walk,
    })
}

/// Runs the first `steps` steps of a batch.
fn walk(trained: &Trained, how: How, steps: usize, args: &EvaluateArgs) -> Result<Walked> {
    match (how, &trained.prior) {
        (How::Diffuse(sampler, all), Prior::Diffusion(model)) => {
            diffuse(trained, model, sampler, [steps, all], args.seed).map(Walked::Latents)
        }
        (How::Raster(way), Prior::PixelCnn(model)) => {
            Ok(Walked::Codes(raster(trained, model, way, steps, args.seed)))
        }
        _ => Err(trained.unfit("it has no prior to time")),
    }
}

fn diffuse(
    trained: &Trained,
    model: &Diffusion,
    sampler: Sampler,
    [steps, all]: [usize; 2],
    seed: u64,
) -> Result<Tensor> {
    let [h, w] = trained.config.grid();
    let ask = trained.ask(&ImageFlags::default());
    let eps = |z: &Tensor, t: usize| model.asked(z, t, &ask);
    let process = trained.process(model, &eps);
    let z = process.initial(Shape::from([CHUNK, h, w, trained.config.dim()]), seed);
    Ok(process.denoise(
        &z,
        &process.levels(all)?[..=steps],
        sampler,
        seed,
        &mut |_, _| {},
    ))
}

/// Samples the first `steps` positions; the others are given.
fn raster(
    trained: &Trained,
    model: &PixelCnn,
    way: Algorithm,
    steps: usize,
    seed: u64,
) -> Vec<u32> {
    let [h, w] = trained.config.grid();
    let codes = vec![0; CHUNK * h * w];
    let class = trained.classes(&ImageFlags::default(), 0, CHUNK);
    let known: Vec<bool> = (0..h * w).map(|at| at >= steps).collect();
    let given = (steps < h * w).then_some(Given {
        codes: &codes,
        known: &known,
    });
    model.sample(
        &Raster {
            size: [h, w],
            class: &class,
            given,
            seed,
            way,
        },
        &mut |_| {},
    )
}

fn decode(trained: &Trained, walked: Walked) -> Result<()> {
    match (walked, &trained.prior) {
        (Walked::Latents(z), Prior::Diffusion(model)) => {
            trained.of_latents(model, &z, &ImageFlags::default(), 0)?
        }
        (Walked::Codes(codes), _) => trained.of_codes(codes)?,
        (Walked::Latents(_), _) => unreachable!("only a diffusion prior leaves latents"),
    };
    Ok(())
}

/// Seconds per sample.
pub(super) struct Time;

impl Measure for Time {
    type Row = TimeRow;

    fn run(row: &TimeRow) -> &str {
        &row.run
    }

    fn rows(run: &Run) -> Result<Vec<TimeRow>> {
        rows(run.trained, run.material.args)
    }

    fn table(rows: &Rows<TimeRow>, evaluation: &Evaluation) -> Section {
        let columns = vec![
            rows.runs(),
            rows.left("sampler", 0, |r| r.sampler.clone()),
            rows.right("steps", 0, |r| r.steps.to_string()),
            rows.right("s/sample", 0, |r| format!("{:.4}", r.seconds)),
            rows.right("in kernels", 1, |r| format!("{:.4}", r.gpu_seconds)),
            rows.right("range", 2, |r| {
                format!("{:.4} to {:.4}", r.spread[0], r.spread[1])
            }),
            rows.right("batches", 3, |r| r.repeats.to_string()),
            rows.left("scaled from", 2, |r| {
                r.extrapolated_from
                    .map_or_else(String::new, |n| format!("{n} steps"))
            }),
        ];
        let title = format!(
            "Time per sample, in batches of 32, on {}",
            evaluation.adapter
        );
        Section {
            title,
            columns,
            note: String::new(),
        }
    }
}
