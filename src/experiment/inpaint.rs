//! Inpainting: the prior fills in the unknown part of samples (appendix B).

use std::path::PathBuf;

use serde_json::json;

use super::drawn::{Drawn, Facts};
use super::known;
use super::mask::Mask;
use super::pictures::{Size, numbers};
use super::raster::{Batch, InRaster};
use super::sample::check_sharpen;
use super::stages::context::CHUNK;
use super::subject::Defaults;
use super::trained::{Prior, Trained};
use crate::error::{Error, Result};
use crate::experiment::drawing::chunk_seed;
use crate::experiment::filling::{Filling, PriorKind};
use crate::models::diffusion::Diffusion;
use crate::models::lesson::{Ask, Told};
use crate::models::pixelcnn::PixelCnn;
use crate::models::sampler::{Known, Sampler};
use crate::report::progress::Progress;
use crate::tensor::{Codes, Tensor};

/// Sampler and steps for a network that is told the known part.
const TOLD_SAMPLER: Sampler = Sampler::Dpmpp2m;
const TOLD_STEPS: usize = 20;

/// Samples with a hole, as input for the model.
pub(crate) struct MaskedImages {
    pub mask: Mask,
    /// Images [m, size, size, 3]; empty for runs on codes.
    pub originals: Vec<f32>,
    /// The latents of the known part, [m, h, w, d]: encoder outputs of the images with their hole
    /// filled first (E11).
    pub latents: Vec<f32>,
    /// The nearest codes of `latents`, [m, h, w].
    pub codes: Vec<u32>,
}

impl MaskedImages {
    /// The examples in `files`, with the hole `mask`.
    pub fn new(trained: &Trained, files: &[PathBuf], mask: Mask) -> Result<MaskedImages> {
        MaskedImages::of(trained, known::examples(files, trained)?, mask)
    }

    /// `examples`, in the format of their data set, with the hole `mask`.
    ///
    /// # Errors
    /// [`Error::Diverged`] if the latents are not finite.
    pub fn of(trained: &Trained, examples: Vec<f32>, mask: Mask) -> Result<MaskedImages> {
        if !trained.config.is_of_images() {
            // Codes are embedded independently, so the hole need not be filled.
            let latents = trained.encode(&examples)?;
            return Ok(MaskedImages::of_latents(trained, Vec::new(), latents, mask));
        }
        let size = trained.config.picture();
        let images = examples.chunks_exact(trained.image());
        let filled: Vec<f32> = images.flat_map(|image| mask.filled(image, size)).collect();
        let latents = trained.encode(&filled)?;
        Ok(MaskedImages::of_latents(trained, examples, latents, mask))
    }

    /// One sample with known codes at some positions: (position, code).
    ///
    /// # Errors
    /// [`Error::Usage`] if all are.
    pub fn of_known(trained: &Trained, known: &[(usize, u32)]) -> Result<MaskedImages> {
        let d = trained.config.dim();
        let anchors = trained.subject.anchors();
        let vectors = anchors.unwrap_or_else(|| trained.first.vectors().to_vec());
        let mut latents = vec![0.0; trained.latent()];
        let mut hole = vec![true; trained.config.cells()];
        for &(position, code) in known {
            let vector = &vectors[code as usize * d..][..d];
            latents[position * d..][..d].copy_from_slice(vector);
            hole[position] = false;
        }
        let mask = Mask {
            grid: trained.config.grid(),
            hole,
        };
        Ok(MaskedImages::of_latents(trained, Vec::new(), latents, mask))
    }

    fn of_latents(
        trained: &Trained,
        originals: Vec<f32>,
        latents: Vec<f32>,
        mask: Mask,
    ) -> MaskedImages {
        let on_gpu = trained.latents(&latents);
        let gpu = &trained.gpu;
        let codes = gpu.no_grad(|| trained.first.quantise(&on_gpu)).to_vec();
        MaskedImages {
            mask,
            originals,
            latents,
            codes,
        }
    }

    /// Number of samples.
    pub fn count(&self) -> usize {
        self.codes.len() / self.mask.hole.len()
    }

    /// The samples as images, [m, height, width, 3].
    ///
    /// # Errors
    /// As [`Trained::decode`].
    pub fn pictures(&self, trained: &Trained) -> Result<Vec<f32>> {
        if trained.config.is_of_images() {
            return Ok(self.originals.clone());
        }
        let [h, w] = trained.config.grid();
        let shape = [self.count(), h, w];
        trained.decode(&Codes::from_slice(&trained.gpu, &self.codes, shape))
    }

    /// Pastes the known part of the `originals` [m, height, width, 3] into their `count` fillings
    /// each, `images` [m · count, height, width, 3].
    pub fn paste(&self, originals: &[f32], images: &mut [f32], size: Size, count: usize) {
        let image = numbers(size);
        let hole = self.mask.pixels(size);
        let fillings = images.chunks_exact_mut(image);
        let originals = originals
            .chunks_exact(image)
            .flat_map(|original| std::iter::repeat_n(original, count));
        for (filling, original) in fillings.zip(originals) {
            let known = (0..image).filter(|i| !hole[i / 3]);
            known.for_each(|i| filling[i] = original[i]);
        }
    }

    /// 1 where known, [1, h, w, 1].
    pub fn known(&self, trained: &Trained) -> Tensor {
        let [h, w] = self.mask.grid;
        Tensor::from_slice(&trained.gpu, &self.mask.known(), [1, h, w, 1])
    }
}

/// Checks that the options fit the run.
///
/// # Errors
/// [`Error::Usage`].
pub(crate) fn check(trained: &Trained, how: &Filling, prior: Option<PriorKind>) -> Result<()> {
    let Filling {
        resample,
        steps,
        images,
        ..
    } = how;
    check_sharpen(trained, images.sharpen)?;
    match (&trained.prior, prior) {
        (Prior::None, _) => Err(no_prior(trained)),
        (Prior::Diffusion(_), Some(PriorKind::PixelCnn)) => {
            Err(trained.unfit("not --prior pixelcnn"))
        }
        (Prior::PixelCnn(_), Some(PriorKind::Diffusion)) => {
            Err(trained.unfit("not --prior diffusion"))
        }
        (Prior::PixelCnn(_), _) if trained.config.classes > 0 && images.class.is_none() => {
            Err(trained.unfit("it needs the class of the images; add --class"))
        }
        (Prior::PixelCnn(_), _)
            if steps.is_some() || resample.is_some() || images.temperature.is_some() =>
        {
            let what = "it fills in raster order; omit --sampling-steps, --resample, --codes and --temperature";
            Err(trained.unfit(what))
        }
        (Prior::Diffusion(model), _) => {
            model
                .bridge
                .timesteps(steps_of(trained, model, how))
                .map_err(|e| Error::Usage(format!("--sampling-steps: {e}")))?;
            trained.check_class(images)
        }
        _ => trained.check_class(images),
    }
}

/// Sampling steps of a filling: fewer by default if the network is told the known part.
fn steps_of(trained: &Trained, model: &Diffusion, how: &Filling) -> usize {
    let all = model.bridge.steps();
    let told = model.is_told() && how.resample.is_none();
    let usual = if told {
        Some(TOLD_STEPS)
    } else {
        trained.subject.defaults().fill_steps
    };
    how.steps
        .unwrap_or(usual.map_or(all, |steps| steps.min(all)))
}

fn no_prior(trained: &Trained) -> Error {
    trained.unfit("it has no prior to fill with; name a run of stage prior, pixelcnn or joint")
}

/// Draws `count` fillings of each sample; those of one sample are adjacent.
///
/// # Errors
/// [`Error::Usage`] for flags that do not fit the run.
pub(crate) fn fill(
    trained: &Trained,
    how: &Filling,
    holed: &MaskedImages,
    count: usize,
) -> Result<(Drawn, Facts)> {
    let rows: Vec<usize> = (0..holed.count())
        .flat_map(|i| std::iter::repeat_n(i, count))
        .collect();
    match &trained.prior {
        Prior::None => Err(no_prior(trained)),
        Prior::PixelCnn(model) => raster(trained, model, how, holed, &rows),
        Prior::Diffusion(model) => diffuse(trained, model, how, holed, &rows),
    }
}

fn diffuse(
    trained: &Trained,
    model: &Diffusion,
    how: &Filling,
    holed: &MaskedImages,
    rows: &[usize],
) -> Result<(Drawn, Facts)> {
    let Defaults {
        resample, chunk, ..
    } = trained.subject.defaults();
    let way = Diffusing {
        trained,
        model,
        how,
        mask: holed.known(trained),
        told: model.is_told() && how.resample.is_none(),
        steps: steps_of(trained, model, how),
        resample: how.resample.unwrap_or(resample),
    };
    let latent = trained.latent();
    let evaluations = rows.len().div_ceil(chunk) * (way.steps + 1);
    let mut progress = Progress::new("inpaint", 0, evaluations as u64);
    let mut drawn = Drawn::default();
    let mut done = 0;
    for (i, chunk) in rows.chunks(chunk).enumerate() {
        let latents = of_rows(&holed.latents, chunk, latent);
        let z0 = trained.start(model, &trained.latents(&latents));
        let seed = chunk_seed(how.seed, i);
        let z = way.fill(&z0, seed, &mut |t, _| {
            done += 1;
            progress.at(done, || format!("t = {t}"));
        })?;
        drawn.append(trained.of_latents(model, &z, &how.images, seed)?);
    }
    progress.finish();
    Ok((drawn, way.facts()))
}

/// How a diffusion prior fills.
struct Diffusing<'a> {
    trained: &'a Trained,
    model: &'a Diffusion,
    how: &'a Filling,
    /// 1 where known, [1, h, w, 1].
    mask: Tensor,
    /// Whether the network is told the known part; otherwise it is put back at every level.
    told: bool,
    steps: usize,
    /// Passes over each level.
    resample: usize,
}

impl Diffusing<'_> {
    /// Fills samples whose known part is that of `z0` [n, h, w, d]; `seen` is called after each
    /// step.
    fn fill(&self, z0: &Tensor, seed: u64, seen: &mut dyn FnMut(usize, &Tensor)) -> Result<Tensor> {
        let Diffusing {
            trained,
            model,
            how,
            ..
        } = self;
        let [n, ..] = z0.dims::<4>();
        let guidance = trained.guidance(&how.images, n);
        let known = Told {
            z0: z0.clone(),
            mask: self.mask.clone(),
        };
        let ask = Ask {
            guidance: guidance.as_ref(),
            told: self.told.then_some(&known),
            ..trained.ask(&how.images)
        };
        let eps = |z: &Tensor, t: usize| model.asked(z, t, &ask);
        let process = trained.process(model, &eps);
        let levels = process.levels(self.steps)?;
        if self.told {
            let noise = &process.initial(z0.shape(), seed);
            let z = process.denoise(noise, &levels, TOLD_SAMPLER, seed, seen);
            return Ok(trained.gpu.no_grad(|| known.put_into(&z)));
        }
        let known = Known {
            z0,
            mask: &self.mask,
            resample: self.resample,
        };
        Ok(process.inpaint(&known, &levels, seed, seen))
    }

    /// Metadata for files.
    fn facts(&self) -> Facts {
        let name = if self.told { "dpmpp2m" } else { "ancestral" };
        let mut facts = vec![
            ("seed", json!(self.how.seed)),
            ("sampler", json!(name)),
            ("steps", json!(self.steps)),
            ("told", json!(self.told)),
        ];
        if !self.told {
            facts.push(("resample", json!(self.resample)));
        }
        facts.extend(self.how.images.facts());
        facts
    }
}

fn raster(
    trained: &Trained,
    model: &PixelCnn,
    how: &Filling,
    holed: &MaskedImages,
    rows: &[usize],
) -> Result<(Drawn, Facts)> {
    let known: Vec<bool> = holed.mask.hole.iter().map(|hole| !hole).collect();
    let batches = rows.chunks(CHUNK).map(|rows| Batch {
        class: trained.classes(&how.images, 0, rows.len()),
        codes: of_rows(&holed.codes, rows, known.len()),
    });
    let raster = InRaster {
        name: "inpaint",
        known: Some(&known),
        images: &how.images,
        seed: how.seed,
    };
    raster.draw(trained, model, batches)
}

/// The rows `rows` of `values`, `each` values per row.
fn of_rows<T: Copy>(values: &[T], rows: &[usize], each: usize) -> Vec<T> {
    rows.iter()
        .flat_map(|&row| &values[row * each..][..each])
        .copied()
        .collect()
}
