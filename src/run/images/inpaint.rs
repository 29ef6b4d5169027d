//! `dbvq-wgpu inpaint` of an image run: a hole in pictures filled by the prior (appendix B).

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Map, json};

use super::dataset::keep_out_of_images;
use super::mask::{Mask, MaskShape};
use super::output::{Output, nchw};
use super::sample::{Drawn, Facts};
use super::trained::{Prior, Trained};
use super::{CHUNK, known, pictures};
use crate::error::{Error, Result};
use crate::models::diffusion::Diffusion;
use crate::models::pixelcnn::PixelCnn;
use crate::models::pixelcnn::raster::{Given, Raster};
use crate::models::sampler::Known;
use crate::run::inpaint::{FILES, Filling, InpaintArgs, PriorKind};
use crate::run::product::Folder;
use crate::run::progress::Progress;
use crate::run::sample::chunk_seed;
use crate::run::samples_file::Values;
use crate::tensor::Tensor;

/// Fillings of a picture, steps and passes over each level, unless the user says otherwise.
const COUNT: usize = 6;
pub(super) const STEPS: usize = 100;
pub(super) const RESAMPLE: usize = 5;

/// Pictures with a hole, as the model sees them.
pub(super) struct Holed {
    pub mask: Mask,
    /// [m, size, size, 3].
    pub originals: Vec<f32>,
    /// The encoder's outputs of the pictures whose hole was filled before: of the known part only (E11), [m, h, w, d].
    pub latents: Vec<f32>,
}

impl Holed {
    /// The pictures `files` of a run with the hole `mask`.
    pub fn new(trained: &Trained, files: &[PathBuf], mask: Mask) -> Result<Holed> {
        let set = known::pictures(files, &trained.config)?;
        Ok(Holed::of(trained, set.floats(&(0..set.len() as u32).collect::<Vec<_>>())?, mask))
    }

    /// `originals` [m, size, size, 3] with the hole `mask`.
    pub fn of(trained: &Trained, originals: Vec<f32>, mask: Mask) -> Holed {
        let size = trained.config.vqvae.size;
        let filled: Vec<f32> =
            originals.chunks_exact(trained.image()).flat_map(|image| mask.filled(image, size)).collect();
        let latents = trained.encode(&filled);
        Holed { mask, originals, latents }
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
/// [`Error::Checkpoint`] if the run has none that fits, [`Error::Usage`] for flags that do not fit the run,
/// [`Error::Data`] for the pictures, and [`Error::Io`] for the files.
pub fn run(args: &InpaintArgs) -> Result<()> {
    let Some(shape) = &args.mask else {
        let what = "an image run needs --mask centre:N, topleft:N, left, right or FILE.png";
        return Err(Error::Usage(format!("{}: {what}", args.run.display())));
    };
    keep_out_of_images(&args.out, &args.run)?;
    let mask = if let MaskShape::File(file) = shape { Some(file.as_path()) } else { None };
    let _folder = Folder::open(&args.out, &FILES, args.known.iter().map(Path::new).chain(mask))?;
    let trained = Trained::load(&args.run, &args.device)?;
    match (&trained.prior, args.prior) {
        (Prior::Diffusion(_), Some(PriorKind::PixelCnn)) => return Err(trained.unfit("not --prior pixelcnn")),
        (Prior::PixelCnn(_), Some(PriorKind::Diffusion)) => return Err(trained.unfit("not --prior diffusion")),
        (Prior::PixelCnn(_), _) if trained.config.classes > 0 && args.filling.images.class.is_none() => {
            return Err(trained.unfit("it wants to know the class of the pictures; add --class"));
        }
        _ => trained.check_class(&args.filling.images)?,
    }
    let config = &trained.config.vqvae;
    let files: Vec<PathBuf> = args.known.iter().map(PathBuf::from).collect();
    let holed = Holed::new(&trained, &files, Mask::new(shape, config.size, config.grid())?)?;
    let (begin, count) = (Instant::now(), args.count.unwrap_or(COUNT));
    let (drawn, facts) = fill(&trained, &args.filling, &holed, count)?;
    let seconds = begin.elapsed().as_secs_f64();
    let facts = facts.into_iter().chain([("mask", json!(shape.to_string()))]).collect();
    let mut output = Output::new(&args.out, &trained, facts);
    let mut cells = Vec::new();
    let (image, size) = (trained.image(), config.size);
    for (original, fillings) in holed.originals.chunks_exact(image).zip(drawn.images.chunks_exact(count * image)) {
        cells.extend_from_slice(original);
        cells.extend(holed.mask.painted(original, size));
        cells.extend_from_slice(fillings);
    }
    output.picture("inpainting.png", &pictures::table(&cells, size, 2 + count))?;
    let (n, grid) = (files.len(), config.grid());
    let more = [
        ("originals", vec![n, 3, size, size], Values::F32(&nchw(&holed.originals, size))),
        ("known", vec![grid, grid], Values::F32(&holed.mask.known())),
    ];
    drawn.write(&mut output, &trained, &more)?;
    let holes = holed.mask.hole.iter().filter(|&&hole| hole).count();
    say!("{count} fillings of {holes} of {} cells, for each of {n} images", grid * grid);
    let known: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    let numbers = [("known", json!(known)), ("count", json!(count)), ("hole_cells", json!(holes))];
    output.finish(&trained, seconds, Map::from_iter(numbers.map(|(name, value)| (name.to_string(), value))))
}

/// `count` fillings of each of the pictures, one after another.
///
/// # Errors
/// [`Error::Usage`] for flags that do not fit the run.
pub(super) fn fill(trained: &Trained, how: &Filling, holed: &Holed, count: usize) -> Result<(Drawn, Facts)> {
    let pictures = holed.originals.len() / trained.image();
    let rows: Vec<usize> = (0..pictures).flat_map(|i| std::iter::repeat_n(i, count)).collect();
    match &trained.prior {
        Prior::None => Err(trained.unfit("it has no prior to fill with; name a run of stage prior, pixelcnn or joint")),
        Prior::PixelCnn(model) => raster(trained, model, how, holed, &rows),
        Prior::Diffusion(model) => diffuse(trained, model, how, holed, &rows),
    }
}

fn diffuse(
    trained: &Trained,
    model: &Diffusion,
    how: &Filling,
    holed: &Holed,
    rows: &[usize],
) -> Result<(Drawn, Facts)> {
    let steps = how.steps.unwrap_or(STEPS.min(model.bridge.steps()));
    let resample = how.resample.unwrap_or(RESAMPLE);
    let (mask, latent) = (holed.known(trained), trained.latent());
    let mut progress = Progress::new("inpaint", 0, (rows.len().div_ceil(CHUNK) * (steps + 1)) as u64);
    let (mut drawn, mut done) = (Drawn::default(), 0);
    for (i, chunk) in rows.chunks(CHUNK).enumerate() {
        let latents: Vec<f32> = chunk.iter().flat_map(|&i| &holed.latents[i * latent..][..latent]).copied().collect();
        let z0 = trained.gpu.no_grad(|| model.standardise(&trained.latents(&latents)));
        let (known, seed) = (Known { z0: &z0, mask: &mask, resample }, chunk_seed(how.seed, i));
        let guidance = trained.guidance(&how.images, chunk.len());
        let eps = |z: &Tensor, t: usize| model.eps(z, t, guidance.as_ref());
        let process = trained.process(model, &eps);
        let z = process.inpaint(&known, &process.levels(steps)?, seed, &mut |t, _| {
            done += 1;
            progress.at(done, || format!("t = {t}"));
        });
        drawn.take_latents(trained, model, &z, &how.images, seed);
    }
    progress.finish();
    let facts = [("seed", json!(how.seed)), ("sampler", json!("ancestral")), ("steps", json!(steps))];
    let facts = facts.into_iter().chain([("resample", json!(resample))]);
    Ok((drawn, facts.chain(how.images.facts()).collect()))
}

fn raster(trained: &Trained, model: &PixelCnn, how: &Filling, holed: &Holed, rows: &[usize]) -> Result<(Drawn, Facts)> {
    if how.steps.is_some() || how.resample.is_some() || how.images.temperature.is_some() {
        return Err(trained.unfit("it fills in raster order; leave --sampling-steps, --resample and --codes away"));
    }
    let grid = holed.mask.grid;
    let known: Vec<bool> = holed.mask.hole.iter().map(|hole| !hole).collect();
    let codes = trained.gpu.no_grad(|| trained.vqvae.quantise(&trained.latents(&holed.latents)).to_vec());
    let mut progress = Progress::new("inpaint", 0, (rows.len().div_ceil(CHUNK) * grid * grid) as u64);
    let (mut drawn, mut done) = (Drawn::default(), 0);
    for (i, chunk) in rows.chunks(CHUNK).enumerate() {
        let cells = grid * grid;
        let codes: Vec<u32> = chunk.iter().flat_map(|&i| &codes[i * cells..][..cells]).copied().collect();
        let (class, given) = (trained.classes(&how.images, 0, chunk.len()), Given { codes: &codes, known: &known });
        let seed = chunk_seed(how.seed, i);
        let raster = Raster { size: [grid, grid], class: &class, given: Some(given), seed, way: how.images.way };
        let codes = model.sample(&raster, &mut |at| {
            done += 1;
            progress.at(done, || format!("row {} of {grid}", at / grid + 1));
        });
        drawn.take_codes(trained, codes);
    }
    progress.finish();
    let facts = [("seed", json!(how.seed)), ("sampler", json!("raster"))];
    Ok((drawn, facts.into_iter().chain(how.images.facts()).collect()))
}
