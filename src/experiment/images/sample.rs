//! `dbvq-wgpu sample`: samples of a trained run, as tensors, a picture and a few numbers.

use std::time::Instant;

use serde_json::{Value, json};

use super::asked::ImageFlags;
use super::context::CHUNK;
use super::dataset::keep_out_of_images;
use super::output::{Output, nchw};
use super::subject::Defaults;
use super::trained::{Prior, Trained};
use crate::error::Result;
use crate::experiment::drawing::{Drawing, FILES, SampleArgs, chunk_seed, sampler_name};
use crate::models::diffusion::{Ask, Diffusion};
use crate::models::pixelcnn::PixelCnn;
use crate::models::pixelcnn::raster::{Algorithm, Raster};
use crate::models::sampler::{Sampler, draw_codes};
use crate::philox::{Draw, Stream};
use crate::report::product::Folder;
use crate::report::progress::Progress;
use crate::report::samples_file::{Values, check_finite};
use crate::tensor::{Codes, Shape, Tensor};

/// Most images on the picture.
const SHOWN: usize = 256;

/// Samples as they go to files.
#[derive(Default)]
pub(crate) struct Drawn {
    /// [n, h, w].
    pub codes: Vec<u32>,
    /// What a diffusion prior gave, as the encoder scales it, [n, h, w, d]; empty from a PixelCNN.
    pub z0: Vec<f32>,
    /// [n, height, width, 3].
    pub images: Vec<f32>,
    /// By which sampler, in how many steps.
    pub how: String,
}

impl Drawn {
    /// Takes in what a PixelCNN drew.
    ///
    /// # Errors
    /// [`Error::Diverged`] if the images are not finite.
    pub fn take_codes(&mut self, trained: &Trained, codes: Vec<u32>) -> Result<()> {
        let [h, w] = trained.config.grid();
        let on_gpu = Codes::from_slice(&trained.gpu, &codes, [codes.len() / (h * w), h, w]);
        self.images.extend(trained.decode(&on_gpu)?);
        self.codes.extend(codes);
        Ok(())
    }

    /// Takes in what a diffusion prior drew: `z` standardised.
    ///
    /// # Errors
    /// [`Error::Diverged`] if the latents or the images are not finite.
    pub fn take_latents(
        &mut self,
        trained: &Trained,
        model: &Diffusion,
        z: &Tensor,
        flags: &ImageFlags,
        seed: u64,
    ) -> Result<()> {
        let latents = trained.gpu.no_grad(|| model.restore(z));
        let values = latents.to_vec();
        check_finite("samples", &values).map_err(|error| flags.explain(error))?;
        let codes = trained.gpu.no_grad(|| match flags.temperature {
            None => trained.first.quantise(&latents),
            Some(temperature) => {
                let stream = Stream {
                    seed,
                    step: 0,
                    stream: Draw::SampledCodes.stream(),
                    first: 0,
                };
                draw_codes(&latents, &trained.first.vectors(), temperature, stream)
            }
        });
        self.images.extend(trained.decode(&codes)?);
        self.codes.extend(codes.to_vec());
        self.z0.extend(values);
        Ok(())
    }

    /// `codes`, `z0` if there is one, and of image runs `images` in [−1, 1], [n, 3, size, size].
    pub fn write(
        &self,
        output: &mut Output,
        trained: &Trained,
        more: &[(&str, Vec<usize>, Values)],
    ) -> Result<()> {
        let config = &trained.config;
        let [h, w] = config.grid();
        let [height, width] = config.picture();
        let n = self.images.len() / trained.image();
        let images = nchw(&self.images, [height, width])
            .into_iter()
            .map(|v| v.clamp(-1.0, 1.0))
            .collect::<Vec<_>>();
        // Sequences have no row.
        let grid = if config.codebook.is_some() && h == 1 {
            vec![n, w]
        } else {
            vec![n, h, w]
        };
        let mut tensors = vec![("codes", grid.clone(), Values::U32(&self.codes))];
        if config.codebook.is_none() {
            let shape = vec![n, 3, height, width];
            tensors.push(("images", shape, Values::F32(&images)));
        }
        if !self.z0.is_empty() {
            let shape = [&grid[..], &[config.dim()]].concat();
            tensors.push(("z0", shape, Values::F32(&self.z0)));
        }
        tensors.extend_from_slice(more);
        output.tensors("samples.safetensors", &tensors)
    }
}

/// Samples.
///
/// # Errors
/// [`Error::Checkpoint`] if the run has none that fits, [`Error::Usage`] for flags that do not fit
/// the run, and [`Error::Io`] for the files.
pub fn run(args: &SampleArgs) -> Result<()> {
    keep_out_of_images(&args.out, &args.run)?;
    let _folder = Folder::open(&args.out, &FILES, None)?;
    let trained = Trained::load(&args.run, &args.device)?;
    check(&trained, &args.drawing)?;
    let size = trained.config.picture();
    let look = &args.pictures;
    let count = args
        .drawing
        .count
        .unwrap_or(trained.subject.defaults().count);
    let shown = look.fits(size, 1, SHOWN.min(count))?;
    let begin = Instant::now();
    let (drawn, facts) = draw(&trained, &args.drawing)?;
    let seconds = begin.elapsed().as_secs_f64();
    let mut output = Output::new(&args.out, &trained, facts);
    output.picture("samples.png", &trained.subject.sheet(&drawn, shown, look))?;
    if shown < drawn.images.len() / trained.image() {
        note!(
            "samples.png shows the first {shown}; samples.safetensors has all, --separate writes each to a file"
        );
    }
    if look.separate {
        output.each(
            "samples",
            &drawn.images,
            size,
            look.scale.unwrap_or(1),
            |i| format!("{i:06}"),
        )?;
    }
    drawn.write(&mut output, &trained, &[])?;
    let found = trained.subject.found(&drawn);
    found.lines.iter().for_each(|line| say!("{line}"));
    output.finish(&trained, seconds, found.numbers)
}

/// An error if `how` does not fit the run.
fn check(trained: &Trained, how: &Drawing) -> Result<()> {
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
            let what = "it draws codes one after another; leave --sampler, --sampling-steps, --codes and --temperature away";
            return Err(trained.unfit(what));
        }
        Prior::PixelCnn(_) => {}
    }
    trained.check_class(&how.images)
}

/// Draws, and says how.
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

/// The sizes of the chunks that make what `how` asks for.
fn chunks(trained: &Trained, how: &Drawing) -> Vec<usize> {
    let Defaults { count, chunk, .. } = trained.subject.defaults();
    let count = how.count.unwrap_or(count);
    (0..count)
        .step_by(chunk)
        .map(|first| chunk.min(count - first))
        .collect()
}

/// What files say of how samples were made.
pub(super) type Facts = Vec<(&'static str, Value)>;

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
        drawn.take_latents(trained, model, &z, &how.images, seed)?;
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
    let [h, w] = trained.config.grid();
    let mut progress = Progress::new("sample", 0, (chunks.len() * h * w) as u64);
    let mut drawn = Drawn::default();
    let mut done = 0;
    for (i, &n) in chunks.iter().enumerate() {
        let class = trained.classes(&how.images, i * CHUNK, n);
        let seed = chunk_seed(how.seed, i);
        let raster = Raster {
            size: [h, w],
            class: &class,
            given: None,
            seed,
            way: how.images.way,
        };
        let codes = model.sample(&raster, &mut |at| {
            done += 1;
            progress.at(done, || format!("code {} of {}", at + 1, h * w));
        });
        drawn.take_codes(trained, codes)?;
    }
    progress.finish();
    let facts = [("seed", json!(how.seed)), ("sampler", json!("raster"))];
    Ok((drawn, facts.into_iter().chain(how.images.facts()).collect()))
}

/// An error if the prior of `trained` gives no logits to sharpen.
fn check_sharpen(trained: &Trained, sharpen: Option<f64>) -> Result<()> {
    match &trained.prior {
        Prior::Diffusion(model) if model.head().is_some() => Ok(()),
        _ if sharpen.is_none() => Ok(()),
        _ => {
            Err(trained.unfit("--sharpen is for diffusion priors with unet.prediction = \"codes\""))
        }
    }
}
