//! A trained run, with its averaged weights loaded.

pub(crate) mod toy;

use std::path::{Path, PathBuf};

use super::asked::{ImageFlags, PictureFlags};
use super::codebook::{self, Kept};
use super::dataset::{Pictures, ReadingFlags};
use super::drawn::Drawn;
use super::pictures::numbers;
use super::stages::context::CHUNK;
use super::stages::sources::{Sources, VQVAE_FILE, load_vqvae};
use super::stages::standard;
use super::subject::{Coloured, Subject, Text};
use crate::config::{Diffuse, GridConfig, Stage, Stored};
use crate::error::{Error, Result};
use crate::experiment::device::Device;
use crate::experiment::run_dir;
use crate::gpu::Gpu;
use crate::models::diffusion::Diffusion;
use crate::models::first_stage::FirstStage;
use crate::models::lesson::{Ask, Guidance};
use crate::models::pixelcnn::PixelCnn;
use crate::models::sampler::{Process, Sampler, draw_codes};
use crate::models::vqvae::VqVae;
use crate::nn::checkpoint::Checkpoint;
use crate::nn::init::Init;
use crate::philox::{Draw, Stream};
use crate::report::samples_file::check_finite;
use crate::tensor::{Codes, Tensor};

/// The prior that codes are sampled from.
pub(crate) enum Prior {
    /// No prior: the run is of stage vqvae.
    None,
    Diffusion(Box<Diffusion>),
    PixelCnn(PixelCnn),
}

/// The trained models of a run.
pub(crate) struct Trained {
    pub gpu: Gpu,
    pub config: GridConfig,
    pub stage: Stage,
    /// Training steps done.
    pub step: u64,
    pub first: Box<dyn FirstStage>,
    pub subject: Box<dyn Subject>,
    pub prior: Prior,
    /// The run directory.
    pub run: PathBuf,
}

impl Trained {
    /// Loads the newest checkpoint of `run`, and the VQ-VAE that it builds on.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if no checkpoint fits.
    pub fn load(run: &Path, device: &Device) -> Result<Trained> {
        match run_dir::stored(run)? {
            Stored::Toy(config) => toy::load(run, &config, device),
            Stored::Grid(stage, config) => Trained::of_grid(run, stage, *config, device),
        }
    }

    /// As [`Trained::load`], for a run on images or codes.
    ///
    /// # Errors
    /// [`Error::Usage`] if it is a run of the toy.
    pub fn load_grid(run: &Path, device: &Device) -> Result<Trained> {
        let (stage, config) = configuration(run)?;
        Trained::of_grid(run, stage, config, device)
    }

    fn of_grid(run: &Path, stage: Stage, config: GridConfig, device: &Device) -> Result<Trained> {
        let found = run_dir::newest_of(run, &config.model_text(stage))?;
        let frozen = match stage {
            Stage::VqVae | Stage::Joint => None,
            _ if !config.is_of_images() => None,
            Stage::Prior | Stage::PixelCnn => {
                Sources::frozen(&run.join(VQVAE_FILE), &config)?.vqvae
            }
        };
        let gpu = device.open()?;
        let (first, symbols): (Box<dyn FirstStage>, _) = match &config.codebook {
            Some(codebook) => {
                let kept = Kept::read(run, codebook)?;
                (Box::new(kept.first_stage(&gpu, codebook)), kept.symbols)
            }
            None => {
                let vqvae = frozen.as_ref().unwrap_or(&found);
                let vqvae = vqvae_of(&gpu, &config, stage, vqvae)?;
                (Box::new(vqvae), None)
            }
        };
        let prior = prior(&gpu, &config, stage, &found)?;
        if let Prior::Diffusion(model) = &prior {
            model.speak(&first.vectors());
        }
        let subject = subject(&config, symbols);
        Ok(Trained {
            gpu,
            config,
            stage,
            step: found.step,
            subject,
            first,
            prior,
            run: run.to_path_buf(),
        })
    }

    /// Reads the data set in `data`, a folder of images or a file of codes, as the run did.
    ///
    /// # Errors
    /// [`Error::Data`] and [`Error::Io`] for the data.
    pub fn examples(&self, data: &Path, flags: &ReadingFlags) -> Result<Pictures> {
        match &self.config.codebook {
            Some(codebook) => {
                let set = codebook::open_for(self.subject.symbols(), data, codebook)?;
                Pictures::of_codes(&set, &data.display().to_string())
            }
            None => Pictures::read(data, &self.config, flags),
        }
    }

    /// The error for a run that cannot do what was asked.
    pub fn unfit(&self, what: &str) -> Error {
        Error::Usage(format!(
            "{} is a run of stage {}: {what}",
            self.run.display(),
            self.stage.name()
        ))
    }

    /// The diffusion prior, if the run has one.
    pub fn diffusion(&self) -> Option<&Diffusion> {
        match &self.prior {
            Prior::Diffusion(model) => Some(model),
            _ => None,
        }
    }

    /// The sampler for `model` and its number of steps, with defaults for what is `None`.
    ///
    /// # Errors
    /// [`Error::Usage`] if the sampler or the bridge does not allow that number of steps.
    pub fn sampler(
        &self,
        model: &Diffusion,
        sampler: Option<Sampler>,
        steps: Option<usize>,
    ) -> Result<(Sampler, usize)> {
        let all = model.bridge.steps();
        let defaults = self.subject.defaults();
        let sampler = sampler.unwrap_or(defaults.sampler);
        let usual = match defaults.steps {
            Some(steps) if sampler == defaults.sampler => steps.min(all),
            _ => all,
        };
        let steps = steps.unwrap_or(usual);
        model
            .bridge
            .timesteps(steps)
            .map_err(|e| Error::Usage(format!("--sampling-steps: {e}")))?;
        if sampler == Sampler::PaperLiteral && steps != all {
            return Err(Error::Usage(format!(
                "--sampler paper-literal takes all {all} steps"
            )));
        }
        Ok((sampler, steps))
    }

    /// The sampling process of the diffusion prior.
    pub fn process<'a>(
        &'a self,
        model: &'a Diffusion,
        eps: &'a dyn Fn(&Tensor, usize) -> Tensor,
    ) -> Process<'a> {
        let variance = self.config.bridge.reverse_variance;
        Process {
            gpu: &self.gpu,
            bridge: &model.bridge,
            variance,
            target: model.target(),
            eps,
        }
    }

    /// The latents of examples, flat, on the host. The examples are in the format of their data
    /// set: images [n, size, size, 3], or codes [n, h, w].
    ///
    /// # Errors
    /// [`Error::Diverged`] if they are not finite.
    pub fn encode(&self, examples: &[f32]) -> Result<Vec<f32>> {
        let encode = |chunk: &[f32]| self.gpu.no_grad(|| self.first.latents(chunk)).to_vec();
        let chunks = examples.chunks(CHUNK * self.example());
        let latents: Vec<f32> = chunks.flat_map(encode).collect();
        check_finite("latents of the images", &latents)?;
        Ok(latents)
    }

    /// The images of `codes` [n, h, w], flat [n, height, width, 3], on the host.
    ///
    /// # Errors
    /// [`Error::Diverged`] if they are not finite.
    pub fn decode(&self, codes: &Codes) -> Result<Vec<f32>> {
        let images = self.gpu.no_grad(|| self.first.show(codes)).to_vec();
        check_finite("decoded images", &images)?;
        Ok(images)
    }

    /// The samples with `codes` [n, h, w], from a PixelCNN.
    ///
    /// # Errors
    /// [`Error::Diverged`] if the images are not finite.
    pub fn of_codes(&self, codes: Vec<u32>) -> Result<Drawn> {
        let [h, w] = self.config.grid();
        let on_gpu = Codes::from_slice(&self.gpu, &codes, [codes.len() / (h * w), h, w]);
        Ok(Drawn {
            images: self.decode(&on_gpu)?,
            codes,
            ..Drawn::default()
        })
    }

    /// The samples of the diffusion prior `model` from standardised latents `z` [n, h, w, d].
    ///
    /// # Errors
    /// [`Error::Diverged`] if the latents or the images are not finite.
    pub fn of_latents(
        &self,
        model: &Diffusion,
        z: &Tensor,
        flags: &ImageFlags,
        seed: u64,
    ) -> Result<Drawn> {
        let latents = self.gpu.no_grad(|| model.restore(z));
        let z0 = latents.to_vec();
        check_finite("samples", &z0).map_err(|error| flags.explain(error))?;
        let codes = self.gpu.no_grad(|| match flags.temperature {
            None => self.first.quantise(&latents),
            Some(temperature) => {
                let stream = Stream {
                    seed,
                    step: 0,
                    stream: Draw::SampledCodes.stream(),
                    first: 0,
                };
                draw_codes(&latents, &self.first.vectors(), temperature, stream)
            }
        });
        Ok(Drawn {
            images: self.decode(&codes)?,
            codes: codes.to_vec(),
            z0,
            ..Drawn::default()
        })
    }

    /// Uploads latents to the GPU, [n, h, w, d].
    pub fn latents(&self, values: &[f32]) -> Tensor {
        let [h, w] = self.config.grid();
        let n = values.len() / self.latent();
        Tensor::from_slice(&self.gpu, values, [n, h, w, self.config.dim()])
    }

    /// Number of values of an example in the format of its data set.
    pub fn example(&self) -> usize {
        if self.config.is_of_images() {
            self.image()
        } else {
            self.config.cells()
        }
    }

    /// Number of values of an image.
    pub fn image(&self) -> usize {
        numbers(self.config.picture())
    }

    /// Number of values of an example's latents.
    pub fn latent(&self) -> usize {
        self.config.cells() * self.config.dim()
    }
}

/// The stage of a run and its configuration.
pub(crate) fn configuration(run: &Path) -> Result<(Stage, GridConfig)> {
    match run_dir::stored(run)? {
        Stored::Grid(stage, config) => Ok((stage, *config)),
        Stored::Toy(_) => Err(Error::Usage(format!(
            "{} is a run of the toy; this command is for runs on images and codes",
            run.display()
        ))),
    }
}

/// The subject of a run whose codes stand for `symbols`, if for any.
fn subject(config: &GridConfig, symbols: Option<Vec<char>>) -> Box<dyn Subject> {
    match symbols {
        Some(symbols) => Box::new(Text {
            symbols,
            length: config.cells(),
        }),
        None => Box::new(Coloured {
            size: config.picture(),
            codes: config.codes(),
        }),
    }
}

/// Loads the VQ-VAE of the checkpoint `found` of a run of `stage`.
fn vqvae_of(gpu: &Gpu, config: &GridConfig, stage: Stage, found: &Checkpoint) -> Result<VqVae> {
    let mut vqvae = VqVae::new(&mut Init::blank(gpu), &config.vqvae);
    let prefix = if stage == Stage::Joint {
        "ema.vqvae."
    } else {
        "ema."
    };
    load_vqvae(&mut vqvae, found, prefix)?;
    Ok(vqvae)
}

/// Loads the prior that `stage` has trained.
fn prior(gpu: &Gpu, config: &GridConfig, stage: Stage, found: &Checkpoint) -> Result<Prior> {
    let prefix = match stage {
        Stage::VqVae => return Ok(Prior::None),
        Stage::PixelCnn => return Ok(Prior::PixelCnn(pixelcnn(gpu, config, found)?)),
        Stage::Prior => "ema.",
        Stage::Joint => "ema.prior.",
    };
    let model = diffusion(gpu, config, found, prefix)?;
    Ok(Prior::Diffusion(Box::new(model)))
}

/// Loads the PixelCNN of a checkpoint.
fn pixelcnn(gpu: &Gpu, config: &GridConfig, found: &Checkpoint) -> Result<PixelCnn> {
    let mut model = PixelCnn::new(
        &mut Init::blank(gpu),
        &config.pixelcnn,
        config.codes(),
        config.grid()[0],
        config.classes,
    );
    found.weights(gpu, &mut model, "ema.")?;
    Ok(model)
}

/// Loads the diffusion prior of a checkpoint, with the moments of its latents.
fn diffusion(
    gpu: &Gpu,
    config: &GridConfig,
    found: &Checkpoint,
    prefix: &str,
) -> Result<Diffusion> {
    let mut model = Diffusion::new(&mut Init::blank(gpu), config)?;
    found.weights(gpu, &mut model, prefix)?;
    standard::import(&mut model, found)?;
    Ok(model)
}

impl Trained {
    /// Checks that the picture flags fit the run.
    pub fn check_look(&self, look: &PictureFlags) -> Result<()> {
        if self.subject.has_pixels() || *look == PictureFlags::default() {
            return Ok(());
        }
        Err(self.unfit("--scale and --separate are for runs on images or grids of codes"))
    }

    /// Checks that the class flags fit the run.
    pub fn check_class(&self, flags: &ImageFlags) -> Result<()> {
        let known = self.config.classes;
        match flags.class {
            Some(_) if known == 0 => {
                Err(self.unfit("--class needs a run that was trained with classes"))
            }
            Some(class) if class as usize >= known => Err(self.unfit(&format!(
                "--class {class} is not one of its classes 0 to {}",
                known - 1
            ))),
            Some(_) if flags.guidance.is_some() && matches!(self.prior, Prior::PixelCnn(_)) => {
                Err(self.unfit("--guidance is for diffusion priors"))
            }
            _ => Ok(()),
        }
    }

    /// Options for querying a diffusion prior, without guidance and known part.
    pub fn ask(&self, flags: &ImageFlags) -> Ask<'static> {
        Ask {
            sharpen: self.sharpen(flags) as f32,
            ..Ask::default()
        }
    }

    /// The factor on the logits of a prior that predicts codes.
    pub fn sharpen(&self, flags: &ImageFlags) -> f64 {
        flags.sharpen.unwrap_or(self.config.prior.sharpen)
    }

    /// What the prior diffuses: latents or code vectors.
    pub fn diffuse(&self) -> Diffuse {
        if self.stage == Stage::Joint {
            self.config.joint.diffuse
        } else {
            self.config.prior.diffuse
        }
    }

    /// z_0 of the bridge of `model`, standardised: `latents` z_e, or the vectors of their codes.
    pub fn start(&self, model: &Diffusion, latents: &Tensor) -> Tensor {
        self.gpu.no_grad(|| match self.diffuse() {
            Diffuse::Data => model.standardise(latents),
            Diffuse::Codes => model.standardise(&self.first.look_up(&self.first.quantise(latents))),
        })
    }

    /// Classifier-free guidance for `n` samples; `None` without a class or at scale 0.
    pub fn guidance(&self, flags: &ImageFlags, n: usize) -> Option<Guidance> {
        let scale = flags.guidance.unwrap_or(1.0) as f32;
        flags.class.filter(|_| scale != 0.0).map(|class| Guidance {
            class: Codes::from_slice(&self.gpu, &vec![class; n], [n]),
            scale,
        })
    }

    /// Classes for a PixelCNN for the `n` samples from index `first` on, `[n]`: the class in
    /// `flags`, or all classes in turn.
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
