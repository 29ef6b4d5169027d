//! `dbvq-wgpu inpaint` of an image run: a hole in pictures filled by the prior (appendix B).

use std::path::{Path, PathBuf};
use std::time::Instant;

use image::RgbImage;
use serde_json::{Map, json};

use super::context::CHUNK;
use super::dataset::keep_out_of_images;
use super::mask::{Mask, MaskShape};
use super::output::{Output, counted, nchw};
use super::sample::{Drawn, Facts};
use super::trained::{Prior, Trained};
use super::{known, pictures};
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
use crate::tensor::Tensor;

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
    /// [m, size, size, 3].
    pub originals: Vec<f32>,
    /// The encoder's outputs of the pictures whose hole was filled before: of the known part only
    /// (E11), [m, h, w, d].
    pub latents: Vec<f32>,
}

impl MaskedImages {
    /// The pictures `files` of a run with the hole `mask`.
    pub fn new(trained: &Trained, files: &[PathBuf], mask: Mask) -> Result<MaskedImages> {
        let set = known::pictures(files, &trained.config)?;
        MaskedImages::of(
            trained,
            set.floats(&(0..set.len() as u32).collect::<Vec<_>>())?,
            mask,
        )
    }

    /// `originals` [m, size, size, 3] with the hole `mask`.
    ///
    /// # Errors
    /// [`Error::Diverged`] if the latents are not finite.
    pub fn of(trained: &Trained, originals: Vec<f32>, mask: Mask) -> Result<MaskedImages> {
        let size = trained.config.vqvae.size;
        let filled: Vec<f32> = originals
            .chunks_exact(trained.image())
            .flat_map(|image| mask.filled(image, size))
            .collect();
        let latents = trained.encode(&filled)?;
        Ok(MaskedImages {
            mask,
            originals,
            latents,
        })
    }

    /// Puts what is known of the pictures into `count` fillings of each, `images` [m · count, size,
    /// size, 3].
    fn paste(&self, images: &mut [f32], size: usize, count: usize) {
        let image = size * size * 3;
        let hole = self.mask.pixels(size);
        let fillings = images.chunks_exact_mut(image);
        let originals = self
            .originals
            .chunks_exact(image)
            .flat_map(|original| std::iter::repeat_n(original, count));
        for (filling, original) in fillings.zip(originals) {
            let known = (0..image).filter(|i| !hole[i / 3]);
            known.for_each(|i| filling[i] = original[i]);
        }
    }

    /// 1 where known, [1, h, w, 1].
    pub fn known(&self, trained: &Trained) -> Tensor {
        let grid = self.mask.grid;
        Tensor::from_slice(&trained.gpu, &self.mask.known(), [1, grid, grid, 1])
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
    let config = &trained.config.vqvae;
    let size = config.size;
    let count = args.count.unwrap_or(COUNT);
    let look = &args.pictures;
    let files: Vec<PathBuf> = args.known.iter().map(PathBuf::from).collect();
    let holed = MaskedImages::new(
        &trained,
        &files,
        Mask::new(shape, config.grid(), known::fit(&trained.config))?,
    )?;
    let shown = look.fits(size, 2 + count.min(SHOWN), files.len())?;
    let begin = Instant::now();
    let (mut drawn, facts) = fill(&trained, &args.filling, &holed, count)?;
    let seconds = begin.elapsed().as_secs_f64();
    if args.paste {
        holed.paste(&mut drawn.images, size, count);
    }
    let more = [
        ("mask", json!(shape.to_string())),
        ("paste", json!(args.paste)),
    ];
    let mut output = Output::new(&args.out, &trained, facts.into_iter().chain(more).collect());
    output.picture(
        "inpainting.png",
        &picture(
            &files[..shown],
            &holed,
            &drawn.images,
            [size, look.zoom(size), count],
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
            [size, look.scale.unwrap_or(1)],
            name,
        )?;
    }
    let n = files.len();
    let grid = config.grid();
    let more = [
        (
            "originals",
            vec![n, 3, size, size],
            Values::F32(&nchw(&holed.originals, size)),
        ),
        ("known", vec![grid, grid], Values::F32(&holed.mask.known())),
    ];
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
        grid * grid
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

/// The pictures `files`, what is known of them, and their `count` fillings `images`, of which a row
/// shows the first.
fn picture(
    files: &[PathBuf],
    holed: &MaskedImages,
    images: &[f32],
    [size, zoom, count]: [usize; 3],
) -> RgbImage {
    let image = size * size * 3;
    let shown = count.min(SHOWN);
    let name = |file: &PathBuf| {
        file.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let names: Vec<String> = files.iter().map(name).collect();
    let mut all = Vec::new();
    let rows = holed
        .originals
        .chunks_exact(image)
        .zip(images.chunks_exact(count * image));
    for (original, fillings) in rows.take(files.len()) {
        all.extend_from_slice(original);
        all.extend(holed.mask.painted(original, size));
        all.extend_from_slice(&fillings[..shown * image]);
    }
    pictures::fillings(&names, &pictures::each(&all, size, zoom), shown)
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
    let pictures = holed.originals.len() / trained.image();
    let rows: Vec<usize> = (0..pictures)
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
    let grid = holed.mask.grid;
    let known: Vec<bool> = holed.mask.hole.iter().map(|hole| !hole).collect();
    let codes = trained.gpu.no_grad(|| {
        trained
            .vqvae
            .quantise(&trained.latents(&holed.latents))
            .to_vec()
    });
    let mut progress = Progress::new(
        "inpaint",
        0,
        (rows.len().div_ceil(CHUNK) * grid * grid) as u64,
    );
    let mut drawn = Drawn::default();
    let mut done = 0;
    for (i, chunk) in rows.chunks(CHUNK).enumerate() {
        let cells = grid * grid;
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
            size: [grid, grid],
            class: &class,
            given: Some(given),
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
