//! `dbvq-wgpu reconstruct`: passes images through encoder, codebook and decoder.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::{Map, Value, json};

use super::reading::ReadingFlags;
use super::sample::LookFlags;
use super::{DeviceFlags, at_least_one};
use crate::config::VqVaeConfig;
use crate::data::ImageSet;
use crate::error::{Error, Result};
use crate::experiment::asked::PictureFlags;
use crate::experiment::dataset::{Pictures, keep_out_of_images};
use crate::experiment::output::{Output, nchw};
use crate::experiment::pictures::Size;
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
        let (set, count) = self.images(&trained, count)?;
        let size = trained.config.picture();
        let shown = look.fits(size, 2, SHOWN.min(count))?;
        let begin = Instant::now();
        let indices: Vec<u32> = (0..count.min(set.len()) as u32).collect();
        let originals = set.floats(&indices)?;
        let (codes, images) = reconstructed(&trained, &originals)?;
        let seconds = begin.elapsed().as_secs_f64();
        let found = Reconstructions {
            originals: &originals,
            images: &images,
            codes: &codes,
            config: &trained.config.vqvae,
        };
        let numbers = found.judge();
        let mut output = Output::new(&self.out, &trained, Vec::new());
        found.write(&mut output, shown, &look)?;
        output.finish(&trained, seconds, numbers)
    }

    /// The images, and how many of them to reconstruct; `count` are asked for of a data set.
    fn images(&self, trained: &Trained, count: usize) -> Result<(ImageSet, usize)> {
        match &self.data {
            Some(folder) => {
                let pictures = Pictures::read(folder, &trained.config, &self.reading.into())?;
                Ok((pictures.held_out, count))
            }
            None => {
                let set = known::pictures(&self.images, &trained.config)?;
                Ok((set, self.images.len()))
            }
        }
    }
}

/// Images and their reconstructions.
struct Reconstructions<'a> {
    /// [n, size, size, 3].
    originals: &'a [f32],
    /// [n, size, size, 3].
    images: &'a [f32],
    /// [n, grid, grid].
    codes: &'a [u32],
    /// The VQ-VAE's sizes.
    config: &'a VqVaeConfig,
}

impl Reconstructions<'_> {
    fn size(&self) -> Size {
        [self.config.size; 2]
    }

    /// Number of images.
    fn count(&self) -> usize {
        self.images.len() / pictures::numbers(self.size())
    }

    /// Prints how good they are, and returns it for `summary.json`.
    fn judge(&self) -> Map<String, Value> {
        let psnr = picture::psnr(picture::mse(self.originals, self.images));
        let usage = Usage::of(self.codes, self.config.codes);
        say!(
            "{}: PSNR {}, perplexity {:.1} ({} of {} codes)",
            counted(self.count(), "image"),
            psnr.map_or_else(
                || "— (identical to the originals)".into(),
                |psnr| format!("{psnr:.2} dB")
            ),
            usage.perplexity,
            usage.used,
            self.config.codes
        );
        let numbers = [
            ("images", json!(self.count())),
            ("psnr", json!(psnr)),
            ("perplexity", json!(usage.perplexity)),
            ("codes_used", json!(usage.used)),
        ];
        Map::from_iter(numbers.map(|(name, value)| (name.to_string(), value)))
    }

    /// Writes a picture of the first `shown`, and all as tensors.
    fn write(&self, output: &mut Output, shown: usize, look: &PictureFlags) -> Result<()> {
        let size = self.size();
        let n = self.count();
        let columns = pictures::columns(shown.min(n), size);
        let pairs = [self.originals, self.images];
        let picture = pictures::sheet_of_pairs(pairs, size, shown, columns, look.zoom(size));
        output.picture("reconstructions.png", &picture)?;
        if shown < n {
            note!(
                "reconstructions.png shows the first {shown}; reconstructions.safetensors has all"
            );
        }
        if look.separate {
            let zoom = look.scale.unwrap_or(1);
            output.each("reconstructions", self.images, size, zoom, |i| {
                format!("{i:06}")
            })?;
        }
        let grid = self.config.grid();
        let shape = vec![n, 3, size[0], size[1]];
        let [originals, images] = pairs.map(|images| nchw(images, size));
        let tensors = [
            ("codes", vec![n, grid, grid], Values::U32(self.codes)),
            ("originals", shape.clone(), Values::F32(&originals)),
            ("images", shape, Values::F32(&images)),
        ];
        output.tensors("reconstructions.safetensors", &tensors)
    }
}
