//! Stage `pixelcnn`: the baseline prior on the codes of a frozen VQ-VAE.

use std::path::Path;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::context::StageContext;
use super::latents::Latents;
use super::learner::Learner;
use super::sources::Frozen;
use crate::config::Stage;
use crate::error::Result;
use crate::experiment::session::{Report, Task};
use crate::experiment::usage::Usage;
use crate::gpu::Gpu;
use crate::models::Losses;
use crate::models::pixelcnn::PixelCnn;
use crate::models::pixelcnn::raster::{Algorithm, Raster};
use crate::nn::Module;
use crate::nn::checkpoint::{Checkpoint, Entry};
use crate::nn::init::Init;
use crate::ops;
use crate::tensor::{Codes, Tensor};

/// Samples shown in a picture.
const SHOWN: usize = 16;

pub(super) struct PixelCnnTask {
    context: Rc<StageContext>,
    latents: Latents,
    learner: Learner<PixelCnn>,
    /// Codes of held-out images, in chunks, with their classes.
    held_out: Vec<(Codes, Option<Codes>)>,
}

impl PixelCnnTask {
    pub fn new(context: Rc<StageContext>, frozen: Frozen) -> Result<PixelCnnTask> {
        let gpu = &context.gpu;
        let config = &context.config;
        let build = |mut init: Init| {
            let mut model = PixelCnn::new(
                &mut init,
                &config.pixelcnn,
                config.codes(),
                config.grid()[0],
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
        let latents = Latents::new(&context, frozen, Stage::PixelCnn);
        let first = latents.first();
        let codes = |latents: &Tensor| gpu.no_grad(|| first.quantise(latents));
        let held_out = context
            .held_out_latents(first)?
            .iter()
            .map(codes)
            .zip(context.held_out_classes())
            .collect();
        Ok(PixelCnnTask {
            latents,
            learner,
            held_out,
            context,
        })
    }

    /// The codes [n, h, w] of the samples for one picture, drawn one by one in raster order.
    fn samples(&self) -> Codes {
        let gpu = &self.context.gpu;
        let size = self.context.config.grid();
        let class = self
            .context
            .shown_classes(SHOWN)
            .unwrap_or_else(|| one_class(gpu, SHOWN));
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
        Codes::from_slice(gpu, &codes, [SHOWN, size[0], size[1]])
    }
}

/// The mean of −log p(code | previous codes), in nats, for images of the classes `class`.
fn loss(model: &PixelCnn, codes: &Codes, class: Option<Codes>) -> Tensor {
    let logits = model.forward(
        codes,
        &class.unwrap_or_else(|| one_class(codes.gpu(), codes.shape().dims()[0])),
    );
    let k = logits.shape().last();
    let rows = logits.reshape([logits.count() / k, k]);
    ops::mean_all(&ops::cross_entropy(&rows, &codes.reshape([codes.count()])))
}

/// Class 0 for all, used when the model is not conditioned on classes.
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
            let codes = latents.first().quantise(&latents.of(context, part));
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
        let unigram = Usage::of(&codes, self.context.config.codes())
            .perplexity
            .log2();
        let first = self.latents.first();
        self.context
            .save_samples(first, &self.samples(), step, dir)?;
        Ok(Some(Map::from_iter([
            (
                "held_out_bits_per_code".to_string(),
                json!(total / codes.len() as f64 / std::f64::consts::LN_2),
            ),
            ("held_out_unigram_bits".to_string(), json!(unigram)),
        ])))
    }
}
