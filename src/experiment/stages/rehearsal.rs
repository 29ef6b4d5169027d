//! The task of a stage as `train` creates it, but on artificial images and VQ-VAE: blank, to
//! estimate what a training needs, or random, to time it.

use std::rc::Rc;
use std::sync::Arc;

use super::context::StageContext;
use super::sources::{Frozen, Sources};
use super::{joint, pixelcnn, prior, vqvae};
use crate::config::{GridConfig, Stage};
use crate::data::ImageSet;
use crate::error::Result;
use crate::experiment::dataset::Pictures;
use crate::experiment::session::Task;
use crate::gpu::Gpu;
use crate::models::first_stage::{FixedCodebook, random_vectors};
use crate::models::vqvae::VqVae;
use crate::nn::init::Init;
use crate::philox::Stream;

/// The task of `stage` for a rehearsal on `gpu`.
///
/// # Errors
/// Errors of the configuration.
pub fn task(gpu: &Gpu, config: &GridConfig, stage: Stage) -> Result<Box<dyn Task>> {
    make(gpu, config, stage, &|_| 0, Init::blank(gpu))
}

/// The task of `stage` on noise images and a VQ-VAE with random weights.
///
/// # Errors
/// Errors of the configuration.
pub fn on_noise(gpu: &Gpu, config: &GridConfig, stage: Stage) -> Result<Box<dyn Task>> {
    let noise = Stream {
        seed: config.seed,
        step: 0,
        stream: 0,
        first: 0,
    };
    make(
        gpu,
        config,
        stage,
        &|at| noise.bits(at) as u8,
        Init::new(gpu, config.seed),
    )
}

fn make(
    gpu: &Gpu,
    config: &GridConfig,
    stage: Stage,
    byte: &dyn Fn(u32) -> u8,
    mut init: Init,
) -> Result<Box<dyn Task>> {
    let train = Arc::new(pictures(config, config.stage(stage).batch, byte));
    let pictures = Pictures {
        train,
        held_out: pictures(config, config.stages.evaluate_images, byte),
    };
    let mut config = config.clone();
    // Latents of artificial images are not worth caching on disk.
    config.stages.latent_cache = false;
    let context = Rc::new(StageContext {
        gpu: gpu.clone(),
        config,
        pictures,
    });
    let mut frozen = || match &context.config.codebook {
        Some(codebook) => {
            let vectors = random_vectors(codebook, 0);
            Frozen::Codebook(FixedCodebook::new(gpu, codebook, &vectors))
        }
        None => Frozen::VqVae(Box::new(VqVae::new(&mut init, &context.config.vqvae))),
    };
    Ok(match stage {
        Stage::VqVae => Box::new(vqvae::VqVaeTask::new(context, &Sources::default())?),
        Stage::Prior => Box::new(prior::PriorTask::new(context.clone(), frozen())?),
        Stage::PixelCnn => Box::new(pixelcnn::PixelCnnTask::new(context.clone(), frozen())?),
        Stage::Joint => Box::new(joint::JointTask::new(context, Sources::default())?),
    })
}

/// `count` images, or grids of codes, made of the bytes of `byte`.
fn pictures(config: &GridConfig, count: usize, byte: &dyn Fn(u32) -> u8) -> ImageSet {
    if let Some(codebook) = &config.codebook {
        let code = |at| u32::from(byte(at)) % codebook.codes as u32;
        let codes: Vec<u32> = (0..(count * config.cells()) as u32).map(code).collect();
        return ImageSet::from_codes("nothing", config.grid(), &codes);
    }
    let size = config.vqvae.size;
    let images = (0..(count * size * size * 3) as u32).map(byte).collect();
    ImageSet::from_pixels(
        "nothing",
        [size, size],
        images,
        vec![0; count],
        vec!["nothing".into()],
    )
}
