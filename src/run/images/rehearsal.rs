//! The task of a stage as `train` makes it, but on blank pictures and a blank VQ-VAE.

use std::rc::Rc;
use std::sync::Arc;

use super::sources::Sources;
use super::{Pictures, Setting, joint, pixelcnn, prior, vqvae};
use crate::config::{ImagesConfig, Stage};
use crate::data::ImageSet;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::models::vqvae::VqVae;
use crate::nn::init::Init;
use crate::run::session::Task;

/// The task of `stage` for a rehearsal on `gpu`.
///
/// # Errors
/// Those of the configuration.
pub fn task(gpu: &Gpu, config: &ImagesConfig, stage: Stage) -> Result<Box<dyn Task>> {
    let train = Arc::new(blank(config, config.stage(stage).batch));
    let pictures = Pictures { train, held_out: blank(config, config.stages.evaluate_images) };
    let mut config = config.clone();
    // Latents of a rehearsal are no one's.
    config.stages.latent_cache = false;
    let setting = Rc::new(Setting { gpu: gpu.clone(), config, pictures });
    let frozen = || VqVae::new(&mut Init::blank(gpu), &setting.config.vqvae);
    Ok(match stage {
        Stage::VqVae => Box::new(vqvae::VqVaeTask::new(setting)?),
        Stage::Prior => Box::new(prior::PriorTask::new(setting.clone(), frozen())?),
        Stage::PixelCnn => Box::new(pixelcnn::PixelCnnTask::new(setting.clone(), frozen())?),
        Stage::Joint => Box::new(joint::JointTask::new(setting, Sources::default())?),
    })
}

/// `count` black pictures.
fn blank(config: &ImagesConfig, count: usize) -> ImageSet {
    let size = config.vqvae.size;
    ImageSet {
        name: "blank".into(),
        height: size,
        width: size,
        images: vec![0; count * size * size * 3],
        labels: vec![0; count],
        classes: vec!["blank".into()],
    }
}
