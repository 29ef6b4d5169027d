//! Stage `vqvae`: encoder, codebook and decoder on images.

use std::path::Path;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::codebook_tracker::{CodebookTracker, rows};
use super::context::StageContext;
use super::learner::Learner;
use super::part::Part;
use super::sources::{Sources, load_vqvae, prefix_of, restore_codebook};
use crate::config::Stage;
use crate::error::Result;
use crate::experiment::pictures;
use crate::experiment::session::{Report, Task};
use crate::experiment::usage::Usage;
use crate::models::first_stage::FirstStage;
use crate::models::vqvae::{Step, VqVae};
use crate::nn::Module;
use crate::nn::checkpoint::{Checkpoint, Entry};
use crate::nn::init::Init;
use crate::philox::Draw;
use crate::tensor::Tensor;

/// Images shown in the reconstruction picture.
const SHOWN: usize = 32;

pub(super) struct VqVaeTask {
    context: Rc<StageContext>,
    learner: Learner<VqVae>,
    held_out: Vec<Tensor>,
    codebook_tracker: CodebookTracker,
    /// Whether the code vectors come from a trained VQ-VAE.
    has_codes: bool,
}

impl VqVaeTask {
    /// Starts from the weights of `sources`, if there are any.
    pub fn new(context: Rc<StageContext>, sources: &Sources) -> Result<VqVaeTask> {
        let gpu = &context.gpu;
        let config = &context.config;
        let mut model = VqVae::new(&mut Init::new(gpu, config.seed), &config.vqvae);
        if let Some(found) = &sources.vqvae {
            load_vqvae(&mut model, found, prefix_of(found))?;
        }
        let mut averaged = VqVae::new(&mut Init::blank(gpu), &config.vqvae);
        averaged.codebook = model.codebook.clone();
        let learner = Learner::new(
            &context,
            Stage::VqVae,
            [model, averaged],
            vec![config.stage(Stage::VqVae).lr],
            |_| 0,
        );
        let held_out = context.held_out()?;
        let codebook_tracker = CodebookTracker::new(&context, Stage::VqVae);
        Ok(VqVaeTask {
            context,
            learner,
            held_out,
            codebook_tracker,
            has_codes: sources.vqvae.is_some(),
        })
    }
}

impl Task for VqVaeTask {
    fn model(&mut self) -> &mut dyn Module {
        &mut self.learner.model
    }

    fn parameters(&mut self) -> usize {
        let model = &mut self.learner.model;
        model.parameters() + model.averaged_values()
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        let parts = self.learner.parts(step)?;
        let context = &self.context;
        let model = &self.learner.model;
        if step == 0 && !self.has_codes {
            let latents = |part: &Part| {
                context
                    .gpu
                    .no_grad(|| model.encode(&context.images(&part.batch)))
            };
            let latents: Vec<Tensor> = parts.iter().map(latents).collect();
            let latents = rows(&latents);
            // With a gradient codebook the averaged vectors are separate from the trained ones.
            for model in [model, &self.learner.averaged] {
                model
                    .codebook
                    .place(&latents, context.stream(step, Draw::PlaceCodes));
            }
        }
        let mut seen = Vec::new();
        let report = self.learner.learn(step, &parts, |learner, part| {
            let Step {
                losses,
                latents,
                codes,
            } = learner
                .model
                .step(&context.images(&part.batch), part.stream);
            seen.push((latents, codes));
            losses
        });
        self.codebook_tracker
            .tend(context, &self.learner.model, step, seen);
        Ok(report)
    }

    fn export(&self) -> Vec<Entry> {
        let mut entries = self.learner.export();
        entries.extend(self.codebook_tracker.export(&self.learner.model));
        entries
    }

    fn import(&mut self, found: &Checkpoint) -> Result<()> {
        self.learner.import(found)?;
        restore_codebook(&self.learner.model.codebook, found)?;
        self.codebook_tracker.import(found)
    }

    fn metrics(&mut self, line: &mut Map<String, Value>) {
        self.codebook_tracker.metrics(line);
    }

    fn evaluate(&mut self, step: u64, dir: &Path) -> Result<Option<Map<String, Value>>> {
        if !self.context.evaluates(Stage::VqVae, step) {
            return Ok(None);
        }
        reconstruct(
            &self.context,
            &self.learner.averaged,
            &self.held_out,
            step,
            dir,
        )
        .map(Some)
    }
}

/// Metrics of the reconstructions of held-out images by `model`; saves a picture of them in `dir`.
pub(super) fn reconstruct(
    context: &StageContext,
    model: &VqVae,
    held_out: &[Tensor],
    step: u64,
    dir: &Path,
) -> Result<Map<String, Value>> {
    let mut originals = Vec::new();
    let mut images = Vec::new();
    let mut codes = Vec::new();
    context.gpu.no_grad(|| {
        for chunk in held_out {
            let of_chunk = model.quantise(&model.encode(chunk));
            images.extend(model.decode(&model.look_up(&of_chunk)).to_vec());
            codes.extend(of_chunk.to_vec());
            originals.extend(chunk.to_vec());
        }
    });
    let config = &context.config.vqvae;
    let picture = pictures::pairs(&originals, &images, [config.size; 2], SHOWN);
    pictures::save(
        &picture,
        &dir.join(format!("reconstructions-{step:06}.png")),
    )?;
    let squares = originals
        .iter()
        .zip(&images)
        .map(|(a, b)| f64::from(a - b.clamp(-1.0, 1.0)).powi(2));
    let mse = squares.sum::<f64>() / originals.len() as f64;
    let usage = Usage::of(&codes, config.codes);
    Ok(Map::from_iter([
        ("held_out_mse".to_string(), json!(mse)),
        // Pixels lie in [−1, 1], so the peak is 2.
        (
            "held_out_psnr".to_string(),
            json!(10.0 * (4.0 / mse).log10()),
        ),
        ("held_out_perplexity".to_string(), json!(usage.perplexity)),
        ("held_out_codes_used".to_string(), json!(usage.used)),
    ]))
}
