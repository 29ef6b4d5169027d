//! `dbvq-wgpu inpaint` of an image run: a hole in pictures filled by the prior (appendix B).

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Map, json};

use super::context::CHUNK;
use super::dataset::keep_out_of_images;
use super::known;
use super::mask::{Mask, MaskShape};
use super::output::{Output, counted, nchw};
use super::pictures::{Size, numbers};
use super::sample::{Drawn, Facts};
use super::subject::Filled;
use super::trained::{Prior, Trained};
use crate::error::{Error, Result};
use crate::experiment::drawing::chunk_seed;
use crate::experiment::filling::{FILES, Filling, InpaintArgs, PriorKind};
use crate::models::diffusion::{Ask, Diffusion, Told};
use crate::models::pixelcnn::PixelCnn;
use crate::models::pixelcnn::raster::{Given, Raster};
use crate::models::sampler::{Known, Sampler};
use crate::report::product::Folder;
use crate::report::progress::Progress;
use crate::report::samples_file::Values;
use crate::tensor::{Codes, Tensor};

/// Fillings of a picture, steps and passes over each level, unless the user says otherwise.
const COUNT: usize = 6;
/// Most fillings of a picture that are drawn.
const SHOWN: usize = 64;
pub(crate) const STEPS: usize = 100;
pub(crate) const RESAMPLE: usize = 5;
/// Sampler and steps of a network that is told what is known.
const TOLD_SAMPLER: Sampler = Sampler::Dpmpp2m;
const TOLD_STEPS: usize = 20;

/// Pictures with a hole, as the model sees them.
pub(crate) struct MaskedImages {
    pub mask: Mask,
    /// As their data set has them: [m, size, size, 3], or codes [m, h, w].
    pub originals: Vec<f32>,
    /// The encoder's outputs of the pictures whose hole was filled before: of the known part only
    /// (E11), [m, h, w, d].
    pub latents: Vec<f32>,
}

impl MaskedImages {
    /// The pictures `files` of a run with the hole `mask`.
    pub fn new(trained: &Trained, files: &[PathBuf], mask: Mask) -> Result<MaskedImages> {
        MaskedImages::of(trained, known::examples(files, trained)?, mask)
    }

    /// `originals`, as their data set has them, with the hole `mask`.
    ///
    /// # Errors
    /// [`Error::Diverged`] if the latents are not finite.
    pub fn of(trained: &Trained, originals: Vec<f32>, mask: Mask) -> Result<MaskedImages> {
        let size = trained.config.picture();
        let latents = if trained.config.codebook.is_some() {
            // Codes do not see each other.
            trained.encode(&originals)?
        } else {
            let images = originals.chunks_exact(trained.image());
            let filled: Vec<f32> = images.flat_map(|image| mask.filled(image, size)).collect();
            trained.encode(&filled)?
        };
        Ok(MaskedImages {
            mask,
            originals,
            latents,
        })
    }

    /// How many there are.
    pub fn count(&self, trained: &Trained) -> usize {
        self.originals.len() / trained.example()
    }

    /// What they look like, [m, height, width, 3].
    ///
    /// # Errors
    /// As [`Trained::decode`].
    pub fn pictures(&self, trained: &Trained) -> Result<Vec<f32>> {
        if trained.config.codebook.is_none() {
            return Ok(self.originals.clone());
        }
        let [h, w] = trained.config.grid();
        let shape = [self.count(trained), h, w];
        let codes = Codes::from_slice(&trained.gpu, &self.codes(trained), shape);
        trained.decode(&codes)
    }

    /// Their codes as the model sees them, [m, h, w].
    pub fn codes(&self, trained: &Trained) -> Vec<u32> {
        let latents = trained.latents(&self.latents);
        let gpu = &trained.gpu;
        gpu.no_grad(|| trained.first.quantise(&latents)).to_vec()
    }

    /// Puts what is known of the `originals` [m, height, width, 3] into `count` fillings of each, `images` [m · count,
    /// height, width, 3].
    fn paste(&self, originals: &[f32], images: &mut [f32], size: Size, count: usize) {
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

/// Inpaints.
///
/// # Errors
/// [`Error::Checkpoint`] if the run has none that fits, [`Error::Usage`] for flags that do not fit
/// the run, [`Error::Data`] for the pictures, and [`Error::Io`] for the files.
pub fn run(args: &InpaintArgs) -> Result<()> {
    let Some(shape) = &args.mask else {
        let what =
            "an image run needs --mask centre:N, topleft:N, left, right or a picture of the hole";
        return Err(Error::Usage(format!("{}: {what}", args.run.display())));
    };
    keep_out_of_images(&args.out, &args.run)?;
    let mask = if let MaskShape::File(file) = shape {
        Some(file.as_path())
    } else {
        None
    };
    let _folder = Folder::open(
        &args.out,
        &FILES,
        args.known.iter().map(Path::new).chain(mask),
    )?;
    let trained = Trained::load(&args.run, &args.device)?;
    check(&trained, args)?;
    let config = &trained.config;
    let size = config.picture();
    let count = args.count.unwrap_or(COUNT);
    let look = &args.pictures;
    let files: Vec<PathBuf> = args.known.iter().map(PathBuf::from).collect();
    let holed = MaskedImages::new(
        &trained,
        &files,
        Mask::new(shape, config.grid(), known::fit(config))?,
    )?;
    let shown = look.fits(size, 2 + count.min(SHOWN), files.len())?;
    let begin = Instant::now();
    let (mut drawn, facts) = fill(&trained, &args.filling, &holed, count)?;
    let seconds = begin.elapsed().as_secs_f64();
    let pictures = holed.pictures(&trained)?;
    if args.paste {
        holed.paste(&pictures, &mut drawn.images, size, count);
    }
    let more = [
        ("mask", json!(shape.to_string())),
        ("paste", json!(args.paste)),
    ];
    let mut output = Output::new(&args.out, &trained, facts.into_iter().chain(more).collect());
    output.picture(
        "inpainting.png",
        &trained.subject.fillings(
            &Filled {
                names: &names(&files[..shown]),
                mask: &holed.mask,
                codes: &holed.codes(&trained),
                pictures: &pictures,
                drawn: &drawn,
                count,
                shown: count.min(SHOWN),
            },
            look,
        ),
    )?;
    if shown < files.len() {
        note!(
            "inpainting.png shows the first {shown} of {} pictures; --separate writes each filling to a file",
            files.len()
        );
    }
    if look.separate {
        let name = |i: usize| format!("{:04}-{:04}", i / count, i % count);
        output.each(
            "fillings",
            &drawn.images,
            size,
            look.scale.unwrap_or(1),
            name,
        )?;
    }
    let n = files.len();
    let [h, w] = config.grid();
    let [height, width] = size;
    let originals = nchw(&pictures, size);
    let known = holed.mask.known();
    let mut more = vec![("known", vec![h, w], Values::F32(&known))];
    if config.codebook.is_none() {
        let shape = vec![n, 3, height, width];
        more.push(("originals", shape, Values::F32(&originals)));
    }
    drawn.write(&mut output, &trained, &more)?;
    let holes = holed.mask.hole.iter().filter(|&&hole| hole).count();
    let each = if n == 1 {
        String::new()
    } else {
        format!(" for each of {}", counted(n, "picture"))
    };
    say!(
        "{} of {holes} of {} cells{each}",
        counted(count, "filling"),
        h * w
    );
    let known: Vec<_> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let numbers = [
        ("known", json!(known)),
        ("count", json!(count)),
        ("hole_cells", json!(holes)),
    ];
    output.finish(
        &trained,
        seconds,
        Map::from_iter(numbers.map(|(name, value)| (name.to_string(), value))),
    )
}

/// An error if what was asked for does not fit the run.
fn check(trained: &Trained, args: &InpaintArgs) -> Result<()> {
    let Filling {
        resample,
        steps,
        images,
        ..
    } = &args.filling;
    match (&trained.prior, args.prior) {
        (Prior::None, _) => Err(no_prior(trained)),
        (Prior::Diffusion(_), Some(PriorKind::PixelCnn)) => {
            Err(trained.unfit("not --prior pixelcnn"))
        }
        (Prior::PixelCnn(_), Some(PriorKind::Diffusion)) => {
            Err(trained.unfit("not --prior diffusion"))
        }
        (Prior::PixelCnn(_), _) if trained.config.classes > 0 && images.class.is_none() => {
            Err(trained.unfit("it wants to know the class of the pictures; add --class"))
        }
        (Prior::PixelCnn(_), _)
            if steps.is_some() || resample.is_some() || images.temperature.is_some() =>
        {
            let what = "it fills in raster order; leave --sampling-steps, --resample, --codes and --temperature away";
            Err(trained.unfit(what))
        }
        (Prior::Diffusion(model), _) => {
            model
                .bridge
                .timesteps(steps_of(model, &args.filling))
                .map_err(|e| Error::Usage(format!("--sampling-steps: {e}")))?;
            trained.check_class(images)
        }
        _ => trained.check_class(images),
    }
}

/// Steps of a filling: few where the network is told what is known.
fn steps_of(model: &Diffusion, how: &Filling) -> usize {
    let told = model.is_told() && how.resample.is_none();
    how.steps
        .unwrap_or(if told { TOLD_STEPS } else { STEPS }.min(model.bridge.steps()))
}

fn no_prior(trained: &Trained) -> Error {
    trained.unfit("it has no prior to fill with; name a run of stage prior, pixelcnn or joint")
}

/// The names of `files`, without their folders.
fn names(files: &[PathBuf]) -> Vec<String> {
    let name = |file: &PathBuf| {
        file.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    files.iter().map(name).collect()
}

/// `count` fillings of each of the pictures, one after another.
///
/// # Errors
/// [`Error::Usage`] for flags that do not fit the run.
pub(crate) fn fill(
    trained: &Trained,
    how: &Filling,
    holed: &MaskedImages,
    count: usize,
) -> Result<(Drawn, Facts)> {
    let rows: Vec<usize> = (0..holed.count(trained))
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
    let told = model.is_told() && how.resample.is_none();
    let steps = steps_of(model, how);
    let resample = how.resample.unwrap_or(RESAMPLE);
    let mask = holed.known(trained);
    let latent = trained.latent();
    let mut progress = Progress::new(
        "inpaint",
        0,
        (rows.len().div_ceil(CHUNK) * (steps + 1)) as u64,
    );
    let mut drawn = Drawn::default();
    let mut done = 0;
    for (i, chunk) in rows.chunks(CHUNK).enumerate() {
        let latents: Vec<f32> = chunk
            .iter()
            .flat_map(|&i| &holed.latents[i * latent..][..latent])
            .copied()
            .collect();
        let z0 = trained.start(model, &trained.latents(&latents));
        let seed = chunk_seed(how.seed, i);
        let guidance = trained.guidance(&how.images, chunk.len());
        let known = Told {
            z0: z0.clone(),
            mask: mask.clone(),
        };
        let ask = Ask {
            guidance: guidance.as_ref(),
            told: told.then_some(&known),
            ..trained.ask(&how.images)
        };
        let eps = |z: &Tensor, t: usize| model.asked(z, t, &ask);
        let process = trained.process(model, &eps);
        let levels = process.levels(steps)?;
        let mut seen = |t: usize, _: &Tensor| {
            done += 1;
            progress.at(done, || format!("t = {t}"));
        };
        let z = if told {
            let z = process.denoise(
                &process.initial(z0.shape(), seed),
                &levels,
                TOLD_SAMPLER,
                seed,
                &mut seen,
            );
            trained.gpu.no_grad(|| known.put_into(&z))
        } else {
            process.inpaint(
                &Known {
                    z0: &z0,
                    mask: &mask,
                    resample,
                },
                &levels,
                seed,
                &mut seen,
            )
        };
        drawn.take_latents(trained, model, &z, &how.images, seed)?;
    }
    progress.finish();
    let name = if told { "dpmpp2m" } else { "ancestral" };
    let facts = [
        ("seed", json!(how.seed)),
        ("sampler", json!(name)),
        ("steps", json!(steps)),
        ("told", json!(told)),
    ];
    let facts = facts
        .into_iter()
        .chain((!told).then_some(("resample", json!(resample))));
    Ok((drawn, facts.chain(how.images.facts()).collect()))
}

fn raster(
    trained: &Trained,
    model: &PixelCnn,
    how: &Filling,
    holed: &MaskedImages,
    rows: &[usize],
) -> Result<(Drawn, Facts)> {
    let [h, w] = holed.mask.grid;
    let known: Vec<bool> = holed.mask.hole.iter().map(|hole| !hole).collect();
    let codes = holed.codes(trained);
    let mut progress = Progress::new("inpaint", 0, (rows.len().div_ceil(CHUNK) * h * w) as u64);
    let mut drawn = Drawn::default();
    let mut done = 0;
    for (i, chunk) in rows.chunks(CHUNK).enumerate() {
        let cells = h * w;
        let codes: Vec<u32> = chunk
            .iter()
            .flat_map(|&i| &codes[i * cells..][..cells])
            .copied()
            .collect();
        let class = trained.classes(&how.images, 0, chunk.len());
        let given = Given {
            codes: &codes,
            known: &known,
        };
        let seed = chunk_seed(how.seed, i);
        let raster = Raster {
            size: [h, w],
            class: &class,
            given: Some(given),
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
