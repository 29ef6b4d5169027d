//! `dbvq-wgpu reconstruct`: pictures through encoder, codebook and decoder.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Map, json};

use super::asked::PictureFlags;
use super::dataset::{Pictures, ReadingFlags, keep_out_of_images};
use super::output::{Output, nchw};
use super::stages::context::CHUNK;
use super::trained::Trained;
use super::usage::Usage;
use super::{known, pictures};
use crate::error::{Error, Result};
use crate::experiment::device::Device;
use crate::metrics::picture;
use crate::number::counted;
use crate::report::product::{Folder, Form};
use crate::report::samples_file::Values;

/// What is written.
const FILES: [(&str, Form); 3] = [
    ("reconstructions.safetensors", Form::Tensors),
    ("reconstructions.png", Form::Picture),
    ("summary.json", Form::Json),
];
/// Most pictures that are drawn, with their reconstructions.
const SHOWN: usize = 128;

/// Arguments of `reconstruct`.
#[derive(Clone, Debug)]
pub struct ReconstructArgs {
    /// A run directory of any stage.
    pub run: PathBuf,
    /// A data set, whose held-out pictures are taken.
    pub data: Option<PathBuf>,
    /// How the data set is read.
    pub reading: ReadingFlags,
    /// Pictures, if no data set is given.
    pub images: Vec<PathBuf>,
    /// Most pictures of the data set.
    pub count: usize,
    /// How the picture is drawn.
    pub pictures: PictureFlags,
    /// Where the files go.
    pub out: PathBuf,
    /// The adapter.
    pub device: Device,
}

/// Reconstructs.
///
/// # Errors
/// [`Error::Checkpoint`] if the run has none that fits, [`Error::Data`] for the pictures,
/// [`Error::Io`] for the files.
pub fn run(args: &ReconstructArgs) -> Result<()> {
    keep_out_of_images(&args.out, &args.run)?;
    let _folder = Folder::open(&args.out, &FILES, args.images.iter().map(PathBuf::as_path))?;
    let trained = Trained::load_grid(&args.run, &args.device)?;
    if trained.config.codebook.is_some() {
        return Err(
            trained.unfit("the data set has codes of its own; there is nothing to reconstruct")
        );
    }
    let config = &trained.config.vqvae;
    let size = [config.size; 2];
    let (set, count) = match &args.data {
        Some(folder) => (
            Pictures::read(folder, &trained.config, &args.reading)?.held_out,
            args.count,
        ),
        None => (
            known::pictures(&args.images, &trained.config)?,
            args.images.len(),
        ),
    };
    let shown = args.pictures.fits(size, 2, SHOWN.min(count))?;
    let begin = Instant::now();
    let indices: Vec<u32> = (0..count.min(set.len()) as u32).collect();
    let originals = set.floats(&indices)?;
    let (codes, images) = reconstructed(&trained, &originals)?;
    let seconds = begin.elapsed().as_secs_f64();
    let psnr = picture::psnr(picture::mse(&originals, &images));
    let usage = Usage::of(&codes, config.codes);
    say!(
        "{}: PSNR {}, perplexity {:.1} ({} of {} codes)",
        counted(indices.len(), "image"),
        psnr.map_or_else(
            || "— (they are the originals, to the bit)".into(),
            |psnr| format!("{psnr:.2} dB")
        ),
        usage.perplexity,
        usage.used,
        config.codes
    );
    let mut output = Output::new(&args.out, &trained, Vec::new());
    let columns = pictures::columns(shown.min(indices.len()), size);
    let zoom = args.pictures.zoom(size);
    let picture = pictures::sheet_of_pairs([&originals, &images], size, shown, columns, zoom);
    output.picture("reconstructions.png", &picture)?;
    if shown < indices.len() {
        note!("reconstructions.png shows the first {shown}; reconstructions.safetensors has all");
    }
    if args.pictures.separate {
        let zoom = args.pictures.scale.unwrap_or(1);
        output.each("reconstructions", &images, size, zoom, |i| {
            format!("{i:06}")
        })?;
    }
    let n = indices.len();
    let grid = config.grid();
    let [height, width] = size;
    let tensors = [
        ("codes", vec![n, grid, grid], Values::U32(&codes)),
        (
            "originals",
            vec![n, 3, height, width],
            Values::F32(&nchw(&originals, size)),
        ),
        (
            "images",
            vec![n, 3, height, width],
            Values::F32(&nchw(&images, size)),
        ),
    ];
    output.tensors("reconstructions.safetensors", &tensors)?;
    let numbers = [
        ("images", json!(n)),
        ("psnr", json!(psnr)),
        ("perplexity", json!(usage.perplexity)),
        ("codes_used", json!(usage.used)),
    ];
    output.finish(
        &trained,
        seconds,
        Map::from_iter(numbers.map(|(name, value)| (name.to_string(), value))),
    )
}

/// The codes [n, h, w] of `originals` [n, size, size, 3], and what the decoder makes of them, in
/// [−1, 1].
///
/// # Errors
/// [`Error::Diverged`] if latents or images are not finite.
pub(crate) fn reconstructed(trained: &Trained, originals: &[f32]) -> Result<(Vec<u32>, Vec<f32>)> {
    let mut codes = Vec::new();
    let mut images = Vec::new();
    for chunk in trained.encode(originals)?.chunks(CHUNK * trained.latent()) {
        let of_chunk = trained
            .gpu
            .no_grad(|| trained.first.quantise(&trained.latents(chunk)));
        images.extend(
            trained
                .decode(&of_chunk)?
                .into_iter()
                .map(|v| v.clamp(-1.0, 1.0)),
        );
        codes.extend(of_chunk.to_vec());
    }
    Ok((codes, images))
}

impl ReconstructArgs {
    /// Whether there is something to reconstruct.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn check(self) -> Result<ReconstructArgs> {
        if self.data.is_some() != self.images.is_empty() {
            return Err(Error::Usage(
                "name what to reconstruct: either --data DIR or --images FILE…".into(),
            ));
        }
        Ok(self)
    }
}
