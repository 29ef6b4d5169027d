//! Flags of `inpaint`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::sample::ClassFlags;
use super::{DeviceFlags, at_least_one, count_of};
use crate::error::Result;
use crate::run::images::mask::MaskShape;
use crate::run::inpaint::{self, Filling, InpaintArgs, PriorKind};

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
    /// What is known: of the toy POSITION=CODE,POSITION=CODE, of image runs picture files.
    #[arg(long, required = true, num_args = 1.., value_name = "KNOWN")]
    known: Vec<OsString>,
    /// Image runs: the hole in cells of the latent grid (a cell is 4 × 4 pixels): centre:N, topleft:N, left, right, or a PNG file
    /// of the image's or the grid's size, white where the hole is.
    #[arg(long, value_name = "SHAPE")]
    mask: Option<MaskShape>,
    /// Image runs: the kind of prior that the run must have.
    #[arg(long, value_enum)]
    prior: Option<PriorName>,
    /// Toy and diffusion priors: passes over each level; 1 is plain replacement, more let both parts agree. 10 on the toy,
    /// 5 on images.
    #[arg(long, allow_negative_numbers = true)]
    resample: Option<usize>,
    /// Diffusion priors: steps; 100 by default.
    #[arg(long, allow_negative_numbers = true)]
    sampling_steps: Option<usize>,
    /// Sequences of the toy (1024 by default), or fillings of each picture (6 by default).
    #[arg(long, allow_negative_numbers = true)]
    count: Option<usize>,
    #[command(flatten)]
    class: ClassFlags,
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
        let InpaintFlags { run, known, mask, resample, sampling_steps: steps, seed, out, .. } = self;
        let prior = self.prior.map(|name| match name {
            PriorName::Diffusion => PriorKind::Diffusion,
            PriorName::Pixelcnn => PriorKind::PixelCnn,
        });
        let (resample, count) = (at_least_one("--resample", resample)?, count_of(self.count)?);
        let (images, device) = (self.class.check()?, self.device.into());
        let filling = Filling { resample, steps, images, seed };
        inpaint::run(&InpaintArgs { run, known, mask, prior, count, filling, out, device })
    }
}
