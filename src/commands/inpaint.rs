//! `dbvq-wgpu inpaint`: fills in the unknown part of samples with the prior (appendix B).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::sample::{ClassFlags, LookFlags, SamplerName, only_ancestral};
use super::{DeviceFlags, count_of, passes};
use crate::config::Kind;
use crate::error::{Error, Result};
use crate::experiment::dataset::keep_out_of_images;
use crate::experiment::drawn::Drawn;
use crate::experiment::filling::{Filling, PriorKind};
use crate::experiment::inpaint::{self, MaskedImages};
use crate::experiment::mask::{Mask, MaskShape};
use crate::experiment::output::{Output, nchw};
use crate::experiment::subject::Filled;
use crate::experiment::trained::Trained;
use crate::experiment::{known, run_dir};
use crate::report::product::{Folder, Form};
use crate::report::samples_file::Values;

/// Output files.
const FILES: [(&str, Form); 3] = [
    ("samples.safetensors", Form::Tensors),
    ("inpainting.png", Form::Picture),
    ("summary.json", Form::Json),
];
/// Maximum number of fillings drawn per image.
const SHOWN: usize = 64;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PriorName {
    /// The bridge on latents.
    Diffusion,
    /// The PixelCNN on codes.
    Pixelcnn,
}

#[derive(Args, Debug)]
pub(super) struct InpaintFlags {
    /// A run directory.
    run: PathBuf,
    /// What is known: image files with --mask; for runs on codes POSITION=CODE,POSITION=CODE, or
    /// files of codes with --mask, using their first sample; for the toy POSITION=CODE,….
    #[arg(long, required = true, num_args = 1.., value_name = "KNOWN")]
    known: Vec<OsString>,
    /// The hole, in codes of the grid (4 × 4 pixels of the model's image each): centre:N,
    /// topleft:N, left, right, or a mask image (PNG, JPEG or WebP) of any size, with the hole white
    /// on black, or opaque on transparent. Its centre square covers the model's image; a cell that
    /// contains any pixel of the hole belongs to the hole.
    #[arg(long, value_name = "SHAPE")]
    mask: Option<MaskShape>,
    /// Require this kind of prior.
    #[arg(long, value_enum)]
    prior: Option<PriorName>,
    /// Toy and diffusion priors: resample with this many passes over each level (RePaint); 1 is
    /// plain replacement. By default 10 on the toy and 5 on images; a prior trained with
    /// prior.known_share is conditioned on what is known instead.
    #[arg(long, allow_negative_numbers = true)]
    resample: Option<usize>,
    /// Diffusion priors: sampling steps; by default 100 if it resamples, 20 if the prior is
    /// conditioned on what is known.
    #[arg(long, allow_negative_numbers = true)]
    sampling_steps: Option<usize>,
    /// Sequences of the toy (1024 by default), or fillings per image (6 by default).
    #[arg(long, allow_negative_numbers = true)]
    count: Option<usize>,
    /// Rejected; this hidden flag gives a better error than clap's suggestion.
    #[arg(long, value_enum, hide = true)]
    sampler: Option<SamplerName>,
    /// Image runs: keep the image's own pixels outside the hole. Without this, the whole filling
    /// comes from the VQ-VAE's decoder, so that the surroundings of the hole only approximate the
    /// original.
    #[arg(long)]
    paste: bool,
    #[command(flatten)]
    class: ClassFlags,
    #[command(flatten)]
    look: LookFlags,
    /// Seed of the noise.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    seed: u64,
    /// Directory for samples.safetensors, inpainting.png, summary.json.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    device: DeviceFlags,
}

impl InpaintFlags {
    pub(super) fn run(self) -> Result<()> {
        only_ancestral("inpaint", self.sampler)?;
        let filling = self.filling()?;
        let count = count_of(self.count)?;
        let look = self.look.check()?;
        check_known(&self)?;
        keep_out_of_images(&self.out, &self.run)?;
        let mask = self.mask.as_ref().and_then(MaskShape::file);
        let inputs = self.known.iter().map(Path::new).chain(mask);
        let _folder = Folder::open(&self.out, &FILES, inputs)?;
        let trained = Trained::load(&self.run, &self.device.clone().into())?;
        inpaint::check(&trained, &filling, self.prior.map(PriorKind::from))?;
        trained.check_look(&look)?;
        let size = trained.config.picture();
        let count = count.unwrap_or(trained.subject.defaults().fillings);
        let (holed, files) = given(&trained, &self)?;
        let shown = look.fits(size, 2 + count.min(SHOWN), files.len())?;
        let begin = Instant::now();
        let (mut drawn, facts) = inpaint::fill(&trained, &filling, &holed, count)?;
        let seconds = begin.elapsed().as_secs_f64();
        let pictures = holed.pictures(&trained)?;
        if self.paste {
            holed.paste(&pictures, &mut drawn.images, size, count);
        }
        let facts = facts.into_iter().chain(self.facts());
        let mut output = Output::new(&self.out, &trained, facts.collect());
        let filled = Filled {
            files: &files,
            names: &names(&files[..shown]),
            mask: &holed.mask,
            codes: &holed.codes,
            pictures: &pictures,
            drawn: &drawn,
            count,
            shown: count.min(SHOWN),
        };
        output.picture("inpainting.png", &trained.subject.fillings(&filled, &look))?;
        if shown < files.len() {
            note!(
                "inpainting.png shows the first {shown} of {} images; --separate writes each filling to a file",
                files.len()
            );
        }
        if look.separate {
            let name = |i: usize| format!("{:04}-{:04}", i / count, i % count);
            let zoom = look.scale.unwrap_or(1);
            output.each("fillings", &drawn.images, size, zoom, name)?;
        }
        write(&mut output, &trained, &holed, &pictures, &drawn)?;
        let found = trained.subject.found_of_fillings(&filled);
        found.lines.iter().for_each(|line| say!("{line}"));
        output.finish(&trained, seconds, found.numbers)
    }

    fn filling(&self) -> Result<Filling> {
        Ok(Filling {
            resample: passes("--resample", self.resample)?,
            steps: self.sampling_steps,
            images: self.class.check()?,
            seed: self.seed,
        })
    }

    /// Metadata about the mask for the output files.
    fn facts(&self) -> Vec<(&'static str, Value)> {
        match &self.mask {
            Some(shape) => vec![
                ("mask", json!(shape.to_string())),
                ("paste", json!(self.paste)),
            ],
            None => Vec::new(),
        }
    }
}

impl From<PriorName> for PriorKind {
    fn from(name: PriorName) -> PriorKind {
        match name {
            PriorName::Diffusion => PriorKind::Diffusion,
            PriorName::Pixelcnn => PriorKind::PixelCnn,
        }
    }
}

/// The known parts that `args` name, and their names in messages and files.
fn given(trained: &Trained, args: &InpaintFlags) -> Result<(MaskedImages, Vec<String>)> {
    let config = &trained.config;
    let Some(shape) = &args.mask else {
        let [known] = &args.known[..] else {
            let what = "give one list POSITION=CODE,POSITION=CODE, or files with a --mask";
            return Err(Error::Usage(format!("--known: {what}")));
        };
        let text = known.to_string_lossy().into_owned();
        if Path::new(known).is_file() {
            let what = "a file needs a --mask: centre:N, topleft:N, left or right";
            return Err(Error::Usage(format!("--known {text}: {what}")));
        }
        let known = known::parse(&text, [config.cells(), config.codes()])?;
        return Ok((MaskedImages::of_known(trained, &known)?, vec![text]));
    };
    let files: Vec<PathBuf> = args.known.iter().map(PathBuf::from).collect();
    let mask = Mask::new(shape, config.grid(), known::fit(config))?;
    let names = files.iter().map(|file| file.display().to_string());
    Ok((MaskedImages::new(trained, &files, mask)?, names.collect()))
}

/// Writes the fillings together with the known parts.
fn write(
    output: &mut Output,
    trained: &Trained,
    holed: &MaskedImages,
    pictures: &[f32],
    drawn: &Drawn,
) -> Result<()> {
    let config = &trained.config;
    let [h, w] = config.grid();
    let [height, width] = config.picture();
    let known = holed.mask.known();
    let mut more = vec![("known", vec![h, w], Values::F32(&known))];
    let originals;
    if config.is_of_images() {
        originals = nchw(pictures, [height, width]);
        let shape = vec![holed.count(), 3, height, width];
        more.push(("originals", shape, Values::F32(&originals)));
    }
    output.samples(trained, drawn, &more)
}

/// Fails early if an image run has no mask, the toy has one, or `--paste` is not for an image run.
fn check_known(args: &InpaintFlags) -> Result<()> {
    let run = args.run.display();
    match (run_dir::stored(&args.run)?.kind(), &args.mask) {
        (Kind::Images, None) => {
            let what = "an image run needs --mask centre:N, topleft:N, left, right or a picture of the hole";
            Err(Error::Usage(format!("{run}: {what}")))
        }
        (Kind::Toy, Some(_)) => {
            let what = "is a run of the toy; --mask is for runs on images and codes";
            Err(Error::Usage(format!("{run} {what}")))
        }
        (Kind::Images, Some(_)) => Ok(()),
        _ if args.paste => Err(Error::Usage(format!(
            "{run} is not a run on images; --paste keeps image pixels"
        ))),
        _ => Ok(()),
    }
}

/// The names of `files`, without their folders.
fn names(files: &[String]) -> Vec<String> {
    let name = |file: &String| match Path::new(file).file_name() {
        Some(name) => name.to_string_lossy().into_owned(),
        None => file.clone(),
    };
    files.iter().map(name).collect()
}
