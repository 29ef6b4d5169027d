//! Flags of `inpaint`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::sample::{ClassFlags, LookFlags, SamplerName, only_ancestral};
use super::{DeviceFlags, count_of, passes};
use crate::error::Result;
use crate::experiment::filling::{Filling, InpaintArgs, PriorKind};
use crate::experiment::inpaint;
use crate::experiment::mask::MaskShape;

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
    /// Image runs: the hole, in cells of the latent grid (4 × 4 pixels of the model's picture
    /// each): centre:N, topleft:N, left, right, or a picture (PNG, JPEG or WebP) of any size, white
    /// where the hole is on black, or opaque on transparent; its middle square is laid on the
    /// model's, and a cell with a pixel of the hole is hole.
    #[arg(long, value_name = "SHAPE")]
    mask: Option<MaskShape>,
    /// Image runs: the kind of prior that the run must have.
    #[arg(long, value_enum)]
    prior: Option<PriorName>,
    /// Toy and diffusion priors: resample with this many passes over each level (RePaint); 1 is
    /// plain replacement. By default 10 on the toy and 5 on images; a prior trained with
    /// prior.known_share is told what is known instead.
    #[arg(long, allow_negative_numbers = true)]
    resample: Option<usize>,
    /// Diffusion priors: steps; by default 100 where it resamples, 20 where the prior is told what
    /// is known.
    #[arg(long, allow_negative_numbers = true)]
    sampling_steps: Option<usize>,
    /// Sequences of the toy (1024 by default), or fillings of each picture (6 by default).
    #[arg(long, allow_negative_numbers = true)]
    count: Option<usize>,
    /// Refused with a word of its own, not with clap's guess at another flag.
    #[arg(long, value_enum, hide = true)]
    sampler: Option<SamplerName>,
    /// Image runs: keep the picture's own pixels outside the hole. Without, all of a filling comes
    /// from the VQ-VAE's decoder, so that what surrounds the hole is only nearly what it was.
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
        let InpaintFlags {
            run,
            known,
            mask,
            resample,
            sampling_steps: steps,
            paste,
            seed,
            out,
            ..
        } = self;
        only_ancestral("inpaint", self.sampler)?;
        let prior = self.prior.map(|name| match name {
            PriorName::Diffusion => PriorKind::Diffusion,
            PriorName::Pixelcnn => PriorKind::PixelCnn,
        });
        let resample = passes("--resample", resample)?;
        let count = count_of(self.count)?;
        let images = self.class.check()?;
        let pictures = self.look.check()?;
        let device = self.device.into();
        let filling = Filling {
            resample,
            steps,
            images,
            seed,
        };
        inpaint::run(&InpaintArgs {
            run,
            known,
            mask,
            prior,
            count,
            filling,
            paste,
            pictures,
            out,
            device,
        })
    }
}
