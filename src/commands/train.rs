//! Flags of `train`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::DeviceFlags;
use super::reading::ReadingFlags;
use crate::config::Stage;
use crate::error::Result;
use crate::experiment::train;
use crate::experiment::train_args::TrainArgs;

#[derive(Args, Debug)]
pub(super) struct TrainFlags {
    /// A preset (see `presets`) or a TOML file, such as the config.toml of a run.
    preset: String,
    /// Run directory: gets config.toml, checkpoint.safetensors, metrics.jsonl and event files for
    /// TensorBoard; with images or codes also data.txt and codebook.safetensors.
    #[arg(long)]
    out: PathBuf,
    /// What to train: any of these on images, prior or pixelcnn on codes.
    #[arg(long, value_enum)]
    stage: Option<StageName>,
    /// A folder of images, CIFAR-10 or mini-ImageNet; the kind is detected. For codes, a file:
    /// .npz, .safetensors or text.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Image presets: train on images of N×N; every image is squashed to that, or cropped with
    /// --crop.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    size: Option<u32>,
    #[command(flatten)]
    reading: ReadingFlags,
    /// The run to start from: prior and pixelcnn build on its VQ-VAE, joint starts from a VQ-VAE or
    /// a prior, vqvae and the toy from its weights. Sizes and image reading are taken from that
    /// run.
    #[arg(long, value_name = "RUN")]
    from: Option<PathBuf>,
    /// Training steps, short for --set stages.STAGE.steps=N (for the toy, train.steps).
    #[arg(long, allow_negative_numbers = true)]
    steps: Option<u64>,
    /// Seed, short for --set seed=N.
    #[arg(long, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Override one value of the configuration; may be repeated.
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    sets: Vec<String>,
    /// Continue from the run directory's checkpoint, bit-identical to an uninterrupted run. A
    /// larger --steps extends a finished run (the learning rate follows the cosine over all steps).
    #[arg(long)]
    resume: bool,
    /// Train even if the schedule ends far from the prior.
    #[arg(long)]
    allow_bad_terminal: bool,
    #[command(flatten)]
    device: DeviceFlags,
}

/// A stage by its name on the command line and in requests of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum StageName {
    /// Encoder, codebook, decoder.
    Vqvae,
    /// The diffusion prior on frozen latents.
    Prior,
    /// The PixelCNN on frozen codes.
    Pixelcnn,
    /// VQ-VAE and prior together.
    Joint,
}

impl From<StageName> for Stage {
    fn from(name: StageName) -> Stage {
        match name {
            StageName::Vqvae => Stage::VqVae,
            StageName::Prior => Stage::Prior,
            StageName::Pixelcnn => Stage::PixelCnn,
            StageName::Joint => Stage::Joint,
        }
    }
}

impl TrainFlags {
    pub(super) fn run(self) -> Result<()> {
        train::run(&self.into())
    }
}

impl From<TrainFlags> for TrainArgs {
    fn from(flags: TrainFlags) -> TrainArgs {
        let TrainFlags {
            preset,
            out,
            steps,
            seed,
            sets,
            resume,
            allow_bad_terminal,
            stage,
            data,
            size,
            reading,
            from,
            device,
        } = flags;
        TrainArgs {
            preset,
            out,
            steps,
            seed,
            sets,
            resume,
            allow_bad_terminal,
            stage: stage.map(Stage::from),
            data,
            reading: reading.into(),
            size,
            from,
            advise: true,
            device: device.into(),
        }
    }
}
