//! `dbvq-wgpu reconstruct`: passes images through encoder, codebook and decoder.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::{Map, json};

use super::reading::ReadingFlags;
use super::sample::LookFlags;
use super::{DeviceFlags, at_least_one};
use crate::error::{Error, Result};
use crate::experiment::dataset::{Pictures, keep_out_of_images};
use crate::experiment::output::{Output, nchw};
use crate::experiment::reconstruct::reconstructed;
use crate::experiment::trained::Trained;
use crate::experiment::usage::Usage;
use crate::experiment::{known, pictures};
use crate::metrics::picture;
use crate::number::counted;
use crate::report::product::{Folder, Form};
use crate::report::samples_file::Values;

/// Output files.
const FILES: [(&str, Form); 3] = [
    ("reconstructions.safetensors", Form::Tensors),
    ("reconstructions.png", Form::Picture),
    ("summary.json", Form::Json),
];
/// Maximum number of images drawn, each with its reconstruction.
const SHOWN: usize = 128;

#[derive(Args, Debug)]
pub(super) struct ReconstructFlags {
    /// A run directory of any stage.
    run: PathBuf,
    /// A data set, whose held-out images are reconstructed.
    #[arg(long, value_name = "DIR", conflicts_with = "images")]
    data: Option<PathBuf>,
    /// Image files; their centre squares are reconstructed.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    images: Vec<PathBuf>,
    #[command(flatten)]
    reading: ReadingFlags,
    /// Maximum number of images of the data set; 32 by default.
    #[arg(long, requires = "data", allow_negative_numbers = true)]
    count: Option<usize>,
    #[command(flatten)]
    look: LookFlags,
    /// Directory for reconstructions.png, reconstructions.safetensors, summary.json.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    device: DeviceFlags,
}

impl ReconstructFlags {
    pub(super) fn run(self) -> Result<()> {
        if self.data.is_some() != self.images.is_empty() {
            return Err(Error::Usage(
                "name what to reconstruct: either --data DIR or --images FILE…".into(),
            ));
        }
        let count = at_least_one("--count", self.count)?.unwrap_or(32);
        let look = self.look.check()?;
        keep_out_of_images(&self.out, &self.run)?;
        let _folder = Folder::open(&self.out, &FILES, self.images.iter().map(PathBuf::as_path))?;
        let trained = Trained::load_grid(&self.run, &self.device.clone().into())?;
        if !trained.config.is_of_images() {
            return Err(
                trained.unfit("the data set has codes of its own; there is nothing to reconstruct")
            );
        }
        let config = &trained.config.vqvae;
        let size = [config.size; 2];
        let (set, count) = match &self.data {
            Some(folder) => (
                Pictures::read(folder, &trained.config, &self.reading.into())?.held_out,
                count,
            ),
            None => (
                known::pictures(&self.images, &trained.config)?,
                self.images.len(),
            ),
        };
        let shown = look.fits(size, 2, SHOWN.min(count))?;
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
                || "— (identical to the originals)".into(),
                |psnr| format!("{psnr:.2} dB")
            ),
            usage.perplexity,
            usage.used,
            config.codes
        );
        let mut output = Output::new(&self.out, &trained, Vec::new());
        let columns = pictures::columns(shown.min(indices.len()), size);
        let zoom = look.zoom(size);
        let picture = pictures::sheet_of_pairs([&originals, &images], size, shown, columns, zoom);
        output.picture("reconstructions.png", &picture)?;
        if shown < indices.len() {
            note!(
                "reconstructions.png shows the first {shown}; reconstructions.safetensors has all"
            );
        }
        if look.separate {
            let zoom = look.scale.unwrap_or(1);
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
}
