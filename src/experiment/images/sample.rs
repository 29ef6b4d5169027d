//! `dbvq-wgpu sample` of an image run.

use std::time::Instant;

use serde_json::{Map, Value, json};

use super::dataset::keep_out_of_images;
use super::output::{Output, nchw};
use super::trained::{Prior, Trained};
use super::vqvae::Usage;
use super::{CHUNK, pictures};
use crate::config::{Diffuse, Stage};
use crate::error::{Error, Result};
use crate::experiment::sample::{Drawing, FILES, SampleArgs, chunk_seed, sampler_name};
use crate::models::diffusion::{Ask, Diffusion, Guidance};
use crate::models::pixelcnn::PixelCnn;
use crate::models::pixelcnn::raster::{Raster, Way};
use crate::models::sampler::{Sampler, draw_codes};
use crate::philox::Stream;
use crate::report::product::Folder;
use crate::report::progress::Progress;
use crate::report::samples_file::{Values, check_finite};
use crate::tensor::{Codes, Shape, Tensor};

/// Images, sampler and its steps, unless the user says otherwise.
const COUNT: usize = 32;
const SAMPLER: Sampler = Sampler::Dpmpp2m;
const STEPS: usize = 20;
/// Most images on the picture.
const SHOWN: usize = 256;
/// Philox stream of codes that are drawn from latents.
const CODES: u32 = 0x2200;

/// What only image runs can be told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ImageFlags {
    /// The class to sample.
    pub class: Option<u32>,
    /// Scale of classifier-free guidance; 0 is the unconditional model.
    pub guidance: Option<f64>,
    /// Codes ~ softmax(−‖z − e‖²/τ) at this τ; `None`: the nearest.
    pub temperature: Option<f64>,
    /// Factor of the logits of a prior that predicts codes; `None`: that of the run's
    /// configuration.
    pub sharpen: Option<f64>,
    /// How a PixelCNN computes.
    pub way: Way,
}

/// How pictures of images are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureFlags {
    /// Pixels to a side for each pixel of an image; `None`: what makes small images large enough to
    /// look at.
    pub scale: Option<usize>,
    /// Each image in a file of its own too, `scale` times its size, its own without.
    pub separate: bool,
}

/// Samples as they go to files.
#[derive(Default)]
pub(crate) struct Drawn {
    /// [n, h, w].
    pub codes: Vec<u32>,
    /// What a diffusion prior gave, as the encoder scales it, [n, h, w, d]; empty from a PixelCNN.
    pub z0: Vec<f32>,
    /// [n, size, size, 3].
    pub images: Vec<f32>,
}

impl Drawn {
    /// Takes in what a PixelCNN drew.
    ///
    /// # Errors
    /// [`Error::Diverged`] if the images are not finite.
    pub fn take_codes(&mut self, trained: &Trained, codes: Vec<u32>) -> Result<()> {
        let grid = trained.config.vqvae.grid();
        let on_gpu = Codes::from_slice(
            &trained.gpu,
            &codes,
            [codes.len() / (grid * grid), grid, grid],
        );
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
            None => trained.vqvae.quantise(&latents),
            Some(temperature) => {
                let stream = Stream {
                    seed,
                    step: 0,
                    stream: CODES,
                    first: 0,
                };
                draw_codes(&latents, &trained.vqvae.vectors(), temperature, stream)
            }
        });
        self.images.extend(trained.decode(&codes)?);
        self.codes.extend(codes.to_vec());
        self.z0.extend(values);
        Ok(())
    }

    /// `codes`, `z0` if there are any, and `images` in [−1, 1], [n, 3, size, size].
    pub fn write(
        &self,
        output: &mut Output,
        trained: &Trained,
        more: &[(&str, Vec<usize>, Values)],
    ) -> Result<()> {
        let config = &trained.config.vqvae;
        let grid = config.grid();
        let size = config.size;
        let n = self.images.len() / trained.image();
        let images = nchw(&self.images, size)
            .into_iter()
            .map(|v| v.clamp(-1.0, 1.0))
            .collect::<Vec<_>>();
        let mut tensors = vec![
            ("codes", vec![n, grid, grid], Values::U32(&self.codes)),
            ("images", vec![n, 3, size, size], Values::F32(&images)),
        ];
        if !self.z0.is_empty() {
            tensors.push(("z0", vec![n, grid, grid, config.dim], Values::F32(&self.z0)));
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
    let size = trained.config.vqvae.size;
    let look = &args.pictures;
    let shown = look.fits(size, 1, SHOWN.min(args.drawing.count.unwrap_or(COUNT)))?;
    let begin = Instant::now();
    let (drawn, facts) = draw(&trained, &args.drawing)?;
    let seconds = begin.elapsed().as_secs_f64();
    let mut output = Output::new(&args.out, &trained, facts);
    let images = &drawn.images[..shown * trained.image()];
    output.picture(
        "samples.png",
        &pictures::sheet(images, size, pictures::columns(shown), look.zoom(size)),
    )?;
    if shown < drawn.images.len() / trained.image() {
        note!(
            "samples.png shows the first {shown}; samples.safetensors has all, --separate writes each to a file"
        );
    }
    if look.separate {
        output.each(
            "samples",
            &drawn.images,
            [size, look.scale.unwrap_or(1)],
            |i| format!("{i:06}"),
        )?;
    }
    drawn.write(&mut output, &trained, &[])?;
    let usage = Usage::of(&drawn.codes, trained.config.vqvae.codes);
    say!(
        "{} codes in use, perplexity {:.1}",
        usage.used,
        usage.perplexity
    );
    let numbers = [
        ("codes_used", json!(usage.used)),
        ("perplexity", json!(usage.perplexity)),
    ];
    output.finish(
        &trained,
        seconds,
        Map::from_iter(numbers.map(|(name, value)| (name.to_string(), value))),
    )
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
            if how.images.way != Way::default() {
                return Err(trained.unfit("--pixelcnn-sampler is for runs of pixelcnn"));
            }
            check_steps(model, how.sampler, how.steps)?;
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

/// An error if the sampler does not take so many steps, or the bridge has fewer.
pub(crate) fn check_steps(
    model: &Diffusion,
    sampler: Option<Sampler>,
    steps: Option<usize>,
) -> Result<()> {
    let all = model.bridge.steps();
    let (sampler, steps) = sampler_of(sampler, steps, all);
    model
        .bridge
        .timesteps(steps)
        .map_err(|e| Error::Usage(format!("--sampling-steps: {e}")))?;
    if sampler == Sampler::PaperLiteral && steps != all {
        return Err(Error::Usage(format!(
            "--sampler paper-literal takes all {all} steps"
        )));
    }
    Ok(())
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

/// The sizes of the chunks that make `count`.
fn chunks(count: usize) -> Vec<usize> {
    (0..count)
        .step_by(CHUNK)
        .map(|first| CHUNK.min(count - first))
        .collect()
}

/// What files say of how samples were made.
pub(super) type Facts = Vec<(&'static str, Value)>;

/// The sampler and its steps where some of both are not given; `all` is T.
pub(crate) fn sampler_of(
    sampler: Option<Sampler>,
    steps: Option<usize>,
    all: usize,
) -> (Sampler, usize) {
    let sampler = sampler.unwrap_or(SAMPLER);
    (
        sampler,
        steps.unwrap_or(if sampler == SAMPLER {
            STEPS.min(all)
        } else {
            all
        }),
    )
}

fn diffuse(trained: &Trained, model: &Diffusion, how: &Drawing) -> Result<(Drawn, Facts)> {
    let chunks = chunks(how.count.unwrap_or(COUNT));
    let (sampler, steps) = sampler_of(how.sampler, how.steps, model.bridge.steps());
    let config = &trained.config.vqvae;
    let mut progress = Progress::new("sample", 0, (chunks.len() * (steps + 1)) as u64);
    let mut drawn = Drawn::default();
    let mut done = 0;
    for (i, &n) in chunks.iter().enumerate() {
        let seed = chunk_seed(how.seed, i);
        let shape = Shape::from([n, config.grid(), config.grid(), config.dim]);
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
    let chunks = chunks(how.count.unwrap_or(COUNT));
    let grid = trained.config.vqvae.grid();
    let mut progress = Progress::new("sample", 0, (chunks.len() * grid * grid) as u64);
    let mut drawn = Drawn::default();
    let mut done = 0;
    for (i, &n) in chunks.iter().enumerate() {
        let class = trained.classes(&how.images, i * CHUNK, n);
        let seed = chunk_seed(how.seed, i);
        let raster = Raster {
            size: [grid, grid],
            class: &class,
            given: None,
            seed,
            way: how.images.way,
        };
        let codes = model.sample(&raster, &mut |at| {
            done += 1;
            progress.at(done, || format!("row {} of {grid}", at / grid + 1));
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

impl ImageFlags {
    /// `error` of samples that are not finite, which a large guidance makes.
    fn explain(&self, error: Error) -> Error {
        match self.guidance {
            Some(scale) if scale > 1.0 => Error::Diverged(format!(
                "--guidance {scale:e} drives the samples out of the finite numbers; nothing is written. Take less: 1 is the model \
                 itself, 2 to 8 are usual"
            )),
            _ => error,
        }
    }

    /// What the files say of classes.
    pub(super) fn facts(&self) -> impl Iterator<Item = (&'static str, Value)> {
        let class = self.class.map(|class| ("class", json!(class)));
        class.into_iter().chain(
            self.class
                .map(|_| ("guidance", json!(self.guidance.unwrap_or(1.0)))),
        )
    }
}

impl Trained {
    /// Whether the run can do what the flags say of classes.
    pub fn check_class(&self, flags: &ImageFlags) -> Result<()> {
        let known = self.config.classes;
        match flags.class {
            Some(_) if known == 0 => {
                Err(self.unfit("--class needs a run that was trained with classes"))
            }
            Some(class) if class as usize >= known => Err(self.unfit(&format!(
                "--class {class} is none of its classes 0 to {}",
                known - 1
            ))),
            Some(_) if flags.guidance.is_some() && matches!(self.prior, Prior::PixelCnn(_)) => {
                Err(self.unfit("--guidance is for diffusion priors"))
            }
            _ => Ok(()),
        }
    }

    /// How a diffusion prior is asked, but for classes and what is known.
    pub fn ask(&self, flags: &ImageFlags) -> Ask<'static> {
        Ask {
            sharpen: self.sharpen(flags) as f32,
            ..Ask::default()
        }
    }

    /// The factor of the logits of a prior that predicts codes.
    pub fn sharpen(&self, flags: &ImageFlags) -> f64 {
        flags.sharpen.unwrap_or(self.config.prior.sharpen)
    }

    /// What the bridge of the prior starts from.
    pub fn diffuse(&self) -> Diffuse {
        if self.stage == Stage::Joint {
            self.config.joint.diffuse
        } else {
            self.config.prior.diffuse
        }
    }

    /// Where the bridge of `model` starts, standardised: `latents` z_e, or the vectors of their
    /// codes.
    pub fn start(&self, model: &Diffusion, latents: &Tensor) -> Tensor {
        self.gpu.no_grad(|| match self.diffuse() {
            Diffuse::Data => model.standardise(latents),
            Diffuse::Codes => model.standardise(&self.vqvae.look_up(&self.vqvae.quantise(latents))),
        })
    }

    /// What a diffusion prior is told for `n` samples; without a class, or where it counts for
    /// nothing, nothing.
    pub fn guidance(&self, flags: &ImageFlags, n: usize) -> Option<Guidance> {
        let scale = flags.guidance.unwrap_or(1.0) as f32;
        flags.class.filter(|_| scale != 0.0).map(|class| Guidance {
            class: Codes::from_slice(&self.gpu, &vec![class; n], [n]),
            scale,
        })
    }

    /// What a PixelCNN is told for the `n` samples from number `first` on, `[n]`: the class asked
    /// for, or all in turn.
    pub fn classes(&self, flags: &ImageFlags, first: usize, n: usize) -> Codes {
        let known = self.config.classes.max(1);
        let class = |i: usize| flags.class.unwrap_or((i % known) as u32);
        Codes::from_slice(
            &self.gpu,
            &(first..first + n).map(class).collect::<Vec<_>>(),
            [n],
        )
    }
}
