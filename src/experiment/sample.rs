//! Samples drawn from a trained run.

use serde_json::json;

use super::drawn::{Drawn, Facts};
use super::raster::{Batch, InRaster};
use super::stages::context::CHUNK;
use super::subject::Defaults;
use super::trained::{Prior, Trained};
use crate::error::Result;
use crate::experiment::drawing::{Drawing, chunk_seed, sampler_name};
use crate::models::diffusion::Diffusion;
use crate::models::lesson::Ask;
use crate::models::pixelcnn::PixelCnn;
use crate::models::pixelcnn::raster::Algorithm;
use crate::models::sampler::Sampler;
use crate::report::progress::Progress;
use crate::tensor::{Shape, Tensor};

/// Checks that `how` fits the run.
///
/// # Errors
/// [`Error::Usage`](crate::error::Error::Usage).
pub(crate) fn check(trained: &Trained, how: &Drawing) -> Result<()> {
    check_sharpen(trained, how.images.sharpen)?;
    match &trained.prior {
        Prior::None => {
            return Err(trained.unfit(
                "it has no prior to sample from; name a run of stage prior, pixelcnn or joint",
            ));
        }
        Prior::Diffusion(model) => {
            if how.images.way != Algorithm::default() {
                return Err(trained.unfit("--pixelcnn-sampler is for runs of pixelcnn"));
            }
            trained.sampler(model, how.sampler, how.steps)?;
        }
        Prior::PixelCnn(_)
            if how.sampler.is_some() || how.steps.is_some() || how.images.temperature.is_some() =>
        {
            let what = "it draws codes one after another; omit --sampler, --sampling-steps, --codes and --temperature";
            return Err(trained.unfit(what));
        }
        Prior::PixelCnn(_) => {}
    }
    trained.check_class(&how.images)
}

/// Draws samples, and returns them with metadata on how they were drawn.
///
/// # Errors
/// [`Error::Usage`] for flags that do not fit the run, [`Error::Diverged`] for samples that are not
/// finite.
pub(crate) fn draw(trained: &Trained, how: &Drawing) -> Result<(Drawn, Facts)> {
    check(trained, how)?;
    match &trained.prior {
        Prior::None => Ok(Default::default()),
        Prior::Diffusion(model) => diffuse(trained, model, how),
        Prior::PixelCnn(model) => raster(trained, model, how),
    }
}

/// The sizes of the chunks that make up the number of samples in `how`.
fn chunks(trained: &Trained, how: &Drawing) -> Vec<usize> {
    let Defaults { count, chunk, .. } = trained.subject.defaults();
    let count = how.count.unwrap_or(count);
    (0..count)
        .step_by(chunk)
        .map(|first| chunk.min(count - first))
        .collect()
}

fn diffuse(trained: &Trained, model: &Diffusion, how: &Drawing) -> Result<(Drawn, Facts)> {
    let chunks = chunks(trained, how);
    let (sampler, steps) = trained.sampler(model, how.sampler, how.steps)?;
    let [h, w] = trained.config.grid();
    let mut progress = Progress::new("sample", 0, (chunks.len() * (steps + 1)) as u64);
    let mut drawn = Drawn {
        how: format!("{}, {steps} steps", sampler_name(sampler)),
        ..Drawn::default()
    };
    let mut done = 0;
    for (i, &n) in chunks.iter().enumerate() {
        let seed = chunk_seed(how.seed, i);
        let shape = Shape::from([n, h, w, trained.config.dim()]);
        let guidance = trained.guidance(&how.images, n);
        let ask = Ask {
            guidance: guidance.as_ref(),
            ..trained.ask(&how.images)
        };
        let eps = |z: &Tensor, t: usize| model.asked(z, t, &ask);
        let z = trained
            .process(model, &eps)
            .sample(shape, sampler, steps, seed, &mut |t, _| {
                done += 1;
                progress.at(done, || format!("t = {t}"));
            })?;
        drawn.append(trained.of_latents(model, &z, &how.images, seed)?);
    }
    progress.finish();
    let codes = how.images.temperature.map_or_else(
        || "nearest".to_string(),
        |tau| format!("softmax, τ = {tau}"),
    );
    let name = json!(sampler_name(sampler));
    let facts = [
        ("seed", json!(how.seed)),
        ("sampler", name),
        ("steps", json!(steps)),
        ("codes", json!(codes)),
    ];
    let kappa = if let Sampler::Ddim { kappa } = sampler {
        Some(("kappa", json!(kappa)))
    } else {
        None
    };
    let sharpen = model
        .head()
        .map(|_| ("sharpen", json!(trained.sharpen(&how.images))));
    Ok((
        drawn,
        facts
            .into_iter()
            .chain(kappa)
            .chain(sharpen)
            .chain(how.images.facts())
            .collect(),
    ))
}

fn raster(trained: &Trained, model: &PixelCnn, how: &Drawing) -> Result<(Drawn, Facts)> {
    let chunks = chunks(trained, how);
    let batches = chunks.iter().enumerate().map(|(i, &n)| Batch {
        class: trained.classes(&how.images, i * CHUNK, n),
        codes: Vec::new(),
    });
    let raster = InRaster {
        name: "sample",
        known: None,
        images: &how.images,
        seed: how.seed,
    };
    raster.draw(trained, model, batches)
}

/// Returns an error if `sharpen` is given and the prior of `trained` has no logits to sharpen.
pub(crate) fn check_sharpen(trained: &Trained, sharpen: Option<f64>) -> Result<()> {
    match &trained.prior {
        Prior::Diffusion(model) if model.head().is_some() => Ok(()),
        _ if sharpen.is_none() => Ok(()),
        _ => {
            Err(trained.unfit("--sharpen is for diffusion priors with unet.prediction = \"codes\""))
        }
    }
}
