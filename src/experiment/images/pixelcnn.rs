//! Stage `pixelcnn`: the baseline prior on the codes of a frozen VQ-VAE.

use std::path::Path;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::context::StageContext;
use super::latents::Latents;
use super::learner::Learner;
use super::pictures;
use super::usage::Usage;
use crate::config::Stage;
use crate::error::Result;
use crate::experiment::session::{Report, Task};
use crate::gpu::Gpu;
use crate::models::Losses;
use crate::models::pixelcnn::PixelCnn;
use crate::models::pixelcnn::raster::{Algorithm, Raster};
use crate::models::vqvae::VqVae;
use crate::nn::Module;
use crate::nn::checkpoint::{Checkpoint, Entry};
use crate::nn::init::Init;
use crate::ops;
use crate::tensor::{Codes, Tensor};

/// Samples of a picture.
const SHOWN: usize = 16;

pub(super) struct PixelCnnTask {
    context: Rc<StageContext>,
    latents: Latents,
    learner: Learner<PixelCnn>,
    /// Codes of held-out images, in chunks, with their classes.
    held_out: Vec<(Codes, Option<Codes>)>,
}

impl PixelCnnTask {
    pub fn new(context: Rc<StageContext>, vqvae: VqVae) -> Result<PixelCnnTask> {
        let gpu = &context.gpu;
        let config = &context.config;
        let build = |mut init: Init| {
            let mut model = PixelCnn::new(
                &mut init,
                &config.pixelcnn,
                config.vqvae.codes,
                config.classes,
            );
            model.activations = config.activations;
            model
        };
        let models = [build(Init::new(gpu, config.seed)), build(Init::blank(gpu))];
        let learner = Learner::new(
            &context,
            Stage::PixelCnn,
            models,
            vec![config.stage(Stage::PixelCnn).lr],
            |_| 0,
        );
        let codes = |images: &Tensor| gpu.no_grad(|| vqvae.quantise(&vqvae.encode(images)));
        let held_out = context
            .held_out()?
            .iter()
            .map(codes)
            .zip(context.held_out_classes())
            .collect();
        let latents = Latents::new(&context, vqvae, Stage::PixelCnn);
        Ok(PixelCnnTask {
            latents,
            learner,
            held_out,
            context,
        })
    }

    /// A picture of samples, drawn code by code in raster order.
    fn samples(&self) -> Vec<f32> {
        let gpu = &self.context.gpu;
        let config = &self.context.config.vqvae;
        let side = config.grid();
        let class = self
            .context
            .shown_classes(SHOWN)
            .unwrap_or_else(|| one_class(gpu, SHOWN));
        let size = [side, side];
        let seed = self.context.config.seed;
        let way = Algorithm::Cached;
        let raster = Raster {
            size,
            class: &class,
            given: None,
            seed,
            way,
        };
        let codes = self.learner.averaged.sample(&raster, &mut |_| {});
        let codes = Codes::from_slice(gpu, &codes, [SHOWN, side, side]);
        let vqvae = self.latents.vqvae();
        gpu.no_grad(|| vqvae.decode(&vqvae.look_up(&codes)).to_vec())
    }
}

/// The mean of −log p(code | codes before it), nats, for pictures of the classes `class`.
fn loss(model: &PixelCnn, codes: &Codes, class: Option<Codes>) -> Tensor {
    let logits = model.forward(
        codes,
        &class.unwrap_or_else(|| one_class(codes.gpu(), codes.shape().dims()[0])),
    );
    let k = logits.shape().last();
    let rows = logits.reshape([logits.count() / k, k]);
    ops::mean_all(&ops::cross_entropy(&rows, &codes.reshape([codes.count()])))
}

/// The one class of everything where models are told none.
fn one_class(gpu: &Gpu, n: usize) -> Codes {
    Codes::from_slice(gpu, &vec![0; n], [n])
}

impl Task for PixelCnnTask {
    fn model(&mut self) -> &mut dyn Module {
        &mut self.learner.model
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        let parts = self.learner.parts(step)?;
        let context = &self.context;
        let latents = &self.latents;
        Ok(self.learner.learn(step, &parts, |learner, part| {
            let codes = latents.vqvae().quantise(&latents.of(context, part));
            let class = context.classes(part.batch.labels.clone());
            Losses {
                total: loss(&learner.model, &codes, class),
                parts: Vec::new(),
                each: None,
            }
        }))
    }

    fn export(&self) -> Vec<Entry> {
        self.learner.export()
    }

    fn import(&mut self, found: &Checkpoint) -> Result<()> {
        self.learner.import(found)
    }

    fn evaluate(&mut self, step: u64, dir: &Path) -> Result<Option<Map<String, Value>>> {
        if !self.context.evaluates(Stage::PixelCnn, step) {
            return Ok(None);
        }
        let gpu = &self.context.gpu;
        let nats = |(codes, class): &(Codes, Option<Codes>)| {
            f64::from(loss(&self.learner.averaged, codes, class.clone()).item())
                * codes.count() as f64
        };
        let total: f64 = gpu.no_grad(|| self.held_out.iter().map(nats).sum());
        let codes: Vec<u32> = self
            .held_out
            .iter()
            .flat_map(|(codes, _)| codes.to_vec())
            .collect();
        let unigram = Usage::of(&codes, self.context.config.vqvae.codes)
            .perplexity
            .log2();
        let picture = pictures::grid(&self.samples(), self.context.config.vqvae.size);
        pictures::save(&picture, &dir.join(format!("samples-{step:06}.png")))?;
        Ok(Some(Map::from_iter([
            (
                "held_out_bits_per_code".to_string(),
                json!(total / codes.len() as f64 / std::f64::consts::LN_2),
            ),
            ("held_out_unigram_bits".to_string(), json!(unigram)),
        ])))
    }
}
