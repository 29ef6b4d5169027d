//! The toy experiment: the bridge with several seeds, a joint training, samplers and inpainting,
//! figures 2, 3, 11, 12 and Table 4.

use image::RgbImage;
use serde_json::json;

use super::pipeline::{Pipeline, Wanted};
use super::toy_findings::{FIGURES, FILLINGS, Filled, Measured, Row, SAMPLES, Sampled};
use super::training::Training;
use super::{ReproduceArgs, toy_report};
use crate::commands::toy_figures;
use crate::config::{Config, Stored};
use crate::data::toy::{self, Reached};
use crate::error::Result;
use crate::experiment::device::keep_caches;
use crate::experiment::drawing::Drawing;
use crate::experiment::drawing::sampler_name;
use crate::experiment::filling::Filling;
use crate::experiment::inpaint;
use crate::experiment::inpaint::MaskedImages;
use crate::experiment::run_dir;
use crate::experiment::sample;
use crate::experiment::subject::points;
use crate::experiment::trained::Trained;
use crate::models::sampler::Sampler;
use crate::report::figures::{self, Frame};

const SAMPLE_SEED: u64 = 1;
const FILL_SEED: u64 = 0;
/// Known codes in figure 12: q_0 = 0, q_4 = 4.
const KNOWN: [(usize, u32); 2] = [(0, 0), (4, 4)];
/// Passes over each level in inpainting.
const PASSES: [usize; 2] = [1, 10];
/// Steps of the fast samplers.
const STEPS: usize = 10;

/// Reproduces section 4.1.
///
/// # Errors
/// Any error of training, evaluating or writing files; see [`Error`](crate::error::Error).
pub fn run(args: &ReproduceArgs) -> Result<()> {
    let mut pipeline = Pipeline::new(&args.out)?;
    pipeline.stages = 2 * (args.seeds() as usize + 1) + 2;
    let trainings = train(args, &mut pipeline)?;
    let mut measured = Vec::new();
    for training in &trainings {
        let run = pipeline.run(&training.name);
        let from = run_dir::fingerprint(
            std::slice::from_ref(&run),
            &json!([SAMPLES, FILLINGS, PASSES, STEPS]),
        )?;
        let name = format!("{} measured", training.name);
        let what = format!("{SAMPLES} samples of each sampler, {FILLINGS} fillings");
        measured.push(pipeline.keep(&name, &what, &from, &[], || {
            measure(
                &Trained::load(&run, &args.device)?,
                run_dir::config(&run)?.codes.is_some(),
            )
        })?);
    }
    let table4 = draw(args, &mut pipeline, &trainings)?;
    toy_report::write(args, &mut pipeline, &trainings, &measured, &table4)
}

/// Trains each seed, then the joint model.
fn train(args: &ReproduceArgs, pipeline: &mut Pipeline) -> Result<Vec<Training>> {
    let mut trainings = Vec::new();
    for seed in 0..=args.seeds() {
        let joint = seed == args.seeds();
        let (preset, name) = if joint {
            ("toy-joint", "joint".into())
        } else {
            (args.preset(), format!("seed-{seed}"))
        };
        // Only the joint preset has learnable codes.
        let mut sets: Vec<String> = args
            .sets
            .iter()
            .filter(|set| joint || !set.trim_start().starts_with("codes."))
            .cloned()
            .collect();
        sets.push(format!("seed={}", if joint { 0 } else { seed }));
        let config = Config::load(preset, &sets)?;
        let args = args.training(preset, sets, None, None);
        trainings.push(pipeline.train(Wanted {
            name,
            args,
            config: Stored::Toy(Box::new(config)),
        })?);
    }
    Ok(trainings)
}

/// Measures all samplers and inpainting of one run.
fn measure(trained: &Trained, learns_codes: bool) -> Result<Measured> {
    let all = trained.config.bridge.steps;
    let few = STEPS.min(all);
    let mut samplers = Vec::new();
    for (sampler, steps) in [
        (Sampler::Ancestral, all),
        (Sampler::Ddim { kappa: 0.0 }, few),
        (Sampler::Dpmpp2m, few),
        (Sampler::PaperLiteral, all),
    ] {
        let begin = std::time::Instant::now();
        let z0 = drawn(trained, sampler, steps)?;
        let seconds = begin.elapsed().as_secs_f64();
        let Reached {
            valid,
            total_variation,
            distinct,
            samples,
        } = toy::reached(&points::truth(&z0));
        let sampler = sampler_name(sampler).to_string();
        samplers.push(Sampled {
            sampler,
            steps,
            valid,
            total_variation,
            distinct,
            samples,
            seconds,
        });
    }
    let mut fillings = Vec::new();
    for resample in PASSES {
        let codes = points::truth(&fill(trained, resample)?);
        let paths = toy::shares(&codes, &toy::fillings(&KNOWN));
        fillings.push(Filled {
            resample,
            consistent: paths.iter().sum(),
            paths,
            samples: FILLINGS,
        });
    }
    let book = toy_figures::codebook(trained);
    let codes = learns_codes.then(|| (toy_figures::recovered(&book), farthest(&book)));
    let facts = trained.gpu.facts();
    let adapter = format!("{}, {} {}", facts.name, facts.driver, facts.driver_info);
    keep_caches(&trained.gpu);
    Ok(Measured {
        samplers,
        fillings,
        codes,
        adapter,
    })
}

/// z_0 of samples.
fn drawn(trained: &Trained, sampler: Sampler, steps: usize) -> Result<Vec<f32>> {
    let drawing = Drawing {
        count: Some(SAMPLES),
        sampler: Some(sampler),
        steps: Some(steps),
        seed: SAMPLE_SEED,
        ..Drawing::default()
    };
    Ok(sample::draw(trained, &drawing)?.0.z0)
}

/// z_0 of fillings.
fn fill(trained: &Trained, resample: usize) -> Result<Vec<f32>> {
    let holed = MaskedImages::of_known(trained, &KNOWN)?;
    let filling = Filling {
        resample: Some(resample),
        seed: FILL_SEED,
        ..Filling::default()
    };
    Ok(inpaint::fill(trained, &filling, &holed, FILLINGS)?.0.z0)
}

/// The largest distance of a true centroid to its nearest code.
fn farthest(book: &[[f32; toy::DIM]]) -> f64 {
    let distance =
        |c: &[f32; toy::DIM], e: &[f32; toy::DIM]| f64::from((c[0] - e[0]).hypot(c[1] - e[1]));
    let nearest = |c: &[f32; toy::DIM]| {
        book.iter()
            .map(|e| distance(c, e))
            .fold(f64::INFINITY, f64::min)
    };
    toy::centroids().iter().map(nearest).fold(0.0, f64::max)
}

/// Draws the figures from seed 0 and the joint run; returns Table 4.
fn draw(args: &ReproduceArgs, pipeline: &mut Pipeline, trainings: &[Training]) -> Result<Vec<Row>> {
    let [run, joint] = [&trainings[0], &trainings[trainings.len() - 1]]
        .map(|training| pipeline.run(&training.name));
    let from = run_dir::fingerprint(&[run.clone(), joint.clone()], &json!([FILLINGS, SAMPLES]))?;
    let files = FIGURES.map(|(file, _)| file.to_string());
    pipeline.keep(
        "figures",
        "drawing figures 2, 3, 11, 12",
        &from,
        &files,
        || {
            let trained = Trained::load(&run, &args.device)?;
            let of_joint = Trained::load(&joint, &args.device)?;
            let seed = trained.config.seed;
            let (paths, reverse): (RgbImage, Vec<Frame>) = toy_figures::paths(&trained, seed)?;
            let filled = fill(&trained, PASSES[1])?;
            let config = run_dir::config(&joint)?;
            let pictures = [
                toy_figures::samples_of_data(seed),
                paths,
                toy_figures::codes(&of_joint, &config, config.seed)?,
                points::filled(&KNOWN, &filled),
                overview(&trained)?,
                toy_figures::curves(&run)?,
                toy_figures::curves(&joint)?,
            ];
            for (i, (file, picture)) in files.iter().zip(pictures).enumerate() {
                let (run, trained) = if [2, 6].contains(&i) {
                    (&joint, &of_joint)
                } else {
                    (&run, &trained)
                };
                figures::save(
                    &args.out.join(file),
                    &picture,
                    &toy_figures::facts(run, trained, seed),
                )?;
            }
            Ok(toy_figures::table4(&reverse))
        },
    )
}

/// Plots the ancestral sampler's points and chains.
fn overview(trained: &Trained) -> Result<RgbImage> {
    let steps = trained.config.bridge.steps;
    let z0 = drawn(trained, Sampler::Ancestral, steps)?;
    Ok(points::overview(&z0, &format!("ancestral, {steps} steps")))
}
