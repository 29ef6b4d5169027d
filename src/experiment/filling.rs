//! What inpainting is asked for, and the files that it writes.

use std::ffi::OsString;
use std::path::PathBuf;

use super::asked::{ImageFlags, PictureFlags};
use super::device::Device;
use super::mask::MaskShape;
use crate::report::product::Form;

/// Arguments of `inpaint`.
#[derive(Clone, Debug)]
pub struct InpaintArgs {
    /// A run directory.
    pub run: PathBuf,
    /// What is known: of the toy `POSITION=CODE,POSITION=CODE`, of an image run picture files.
    pub known: Vec<OsString>,
    /// The hole in pictures.
    pub mask: Option<MaskShape>,
    /// What an image run's prior must be.
    pub prior: Option<PriorKind>,
    /// Sequences, or fillings of each picture; `None`: as many as suits the run.
    pub count: Option<usize>,
    /// How they are drawn.
    pub filling: Filling,
    /// Whether pixels of what is known are the picture's own, not the decoder's.
    pub paste: bool,
    /// How pictures of image runs are drawn.
    pub pictures: PictureFlags,
    /// Where the files go.
    pub out: PathBuf,
    /// The adapter.
    pub device: Device,
}

/// How what is missing is drawn.
#[derive(Clone, Debug, Default)]
pub struct Filling {
    /// Passes over each level; `None`: what suits the run.
    pub resample: Option<usize>,
    /// Steps of an image run's diffusion prior; `None`: what suits it.
    pub steps: Option<usize>,
    /// What only image runs can be told.
    pub images: ImageFlags,
    /// Seed of the noise.
    pub seed: u64,
}

/// A kind of prior on codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriorKind {
    /// The bridge on latents.
    Diffusion,
    /// The PixelCNN on codes.
    PixelCnn,
}

/// What is written.
pub(super) const FILES: [(&str, Form); 3] = [
    ("samples.safetensors", Form::Tensors),
    ("inpainting.png", Form::Picture),
    ("summary.json", Form::Json),
];
