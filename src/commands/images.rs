//! Flags of the commands that only image runs have.

use std::path::PathBuf;

use clap::Args;

use super::reading::ReadingFlags;
use super::sample::{LookFlags, SamplerName, only_ancestral, scale_of};
use super::{DeviceFlags, at_least_one, count_of};
use crate::error::Result;
use crate::experiment::asked::PictureFlags;
use crate::experiment::chain;
use crate::experiment::chain::ChainArgs;
use crate::experiment::mask::MaskShape;
use crate::experiment::reconstruct;
use crate::experiment::reconstruct::ReconstructArgs;

#[derive(Args, Debug)]
pub(super) struct ReconstructFlags {
    /// A run directory of any stage.
    run: PathBuf,
    /// A data set; its held-out pictures are taken.
    #[arg(long, value_name = "DIR", conflicts_with = "images")]
    data: Option<PathBuf>,
    /// Pictures; their middle squares are taken.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    images: Vec<PathBuf>,
    #[command(flatten)]
    reading: ReadingFlags,
    /// Most pictures of the data set; 32 by default.
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
        let ReconstructFlags {
            run,
            data,
            reading,
            images,
            count,
            look,
            out,
            device,
        } = self;
        let count = at_least_one("--count", count)?.unwrap_or(32);
        let pictures = look.check()?;
        let reading = reading.into();
        let device = device.into();
        let args = ReconstructArgs {
            run,
            data,
            reading,
            images,
            count,
            pictures,
            out,
            device,
        };
        reconstruct::run(&args.check()?)
    }
}

#[derive(Args, Debug)]
pub(super) struct ChainFlags {
    /// A run directory of a diffusion prior.
    run: PathBuf,
    /// The level t where the pictures begin; 500 by default, T/2 if that is less.
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    from_step: Option<usize>,
    /// Pictures: with --mask what surrounds the hole, without the chains start from their noised
    /// latents.
    #[arg(long, value_name = "IMAGE", num_args = 1..)]
    known: Vec<PathBuf>,
    /// The hole, as in `inpaint`.
    #[arg(long, value_name = "SHAPE")]
    mask: Option<MaskShape>,
    /// Steps from T to 0; 100 by default.
    #[arg(long, allow_negative_numbers = true)]
    sampling_steps: Option<usize>,
    /// Chains take ancestral steps: said instead of clap's guess at another flag.
    #[arg(long, value_enum, hide = true)]
    sampler: Option<SamplerName>,
    /// Draw each pixel of an image as N × N; by default images become about 128 pixels wide.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    scale: Option<usize>,
    /// Chains, without --known; 4 by default.
    #[arg(long, conflicts_with = "known", allow_negative_numbers = true)]
    count: Option<usize>,
    /// Seed of the noise.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    seed: u64,
    /// Directory for chain.png, chain-animated.png, chain.safetensors, summary.json.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    device: DeviceFlags,
}

impl ChainFlags {
    pub(super) fn run(self) -> Result<()> {
        let ChainFlags {
            run,
            from_step,
            known,
            mask,
            sampling_steps: steps,
            seed,
            out,
            device,
            ..
        } = self;
        only_ancestral("chain", self.sampler)?;
        let count = count_of(self.count)?.unwrap_or(4);
        let pictures = PictureFlags {
            scale: scale_of(self.scale)?,
            separate: false,
        };
        chain::run(&ChainArgs {
            run,
            from_step,
            known,
            mask,
            steps,
            count,
            seed,
            pictures,
            out,
            device: device.into(),
        })
    }
}
