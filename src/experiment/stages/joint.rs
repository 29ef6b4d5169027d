//! Stage `joint`: VQ-VAE and diffusion prior together, starting from a trained VQ-VAE or prior.

use std::path::Path;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::codebook_tracker::CodebookTracker;
use super::context::StageContext;
use super::learner::Learner;
use super::prior::{Start, draw, held_out_losses};
use super::sources::{Sources, load_vqvae, restore_codebook};
use super::standard;
use super::standard::measure;
use super::vqvae::reconstruct;
use crate::config::Stage;
use crate::error::Result;
use crate::experiment::session::{Report, Task};
use crate::models::diffusion::Diffusion;
use crate::models::first_stage::FirstStage;
use crate::models::joint::Joint;
use crate::models::vqvae::Step;
use crate::nn::Module;
use crate::nn::checkpoint::{Checkpoint, Entry};
use crate::nn::init::Init;
use crate::tensor::{Codes, Tensor};

pub(super) struct JointTask {
    context: Rc<StageContext>,
    learner: Learner<Joint>,
    /// Whether the moments come from a trained prior.
    has_moments: bool,
    held_out: Vec<Tensor>,
    codebook_tracker: CodebookTracker,
}

impl JointTask {
    /// Starts from the weights of `sources`: a VQ-VAE, and its prior if there is one.
    pub fn new(context: Rc<StageContext>, sources: Sources) -> Result<JointTask> {
        let gpu = &context.gpu;
        let config = &context.config;
        let mut model = Joint::new(&mut Init::new(gpu, config.seed), config)?;
        let mut averaged = Joint::new(&mut Init::blank(gpu), config)?;
        if let Some(found) = &sources.vqvae {
            load_vqvae(&mut model.vqvae, found, "ema.")?;
        }
        if let Some(found) = &sources.prior {
            found.weights(gpu, &mut model.prior, "ema.")?;
            standard::import(&mut model.prior, found)?;
            standard::import(&mut averaged.prior, found)?;
        }
        averaged.vqvae.codebook = model.vqvae.codebook.clone();
        let peaks = vec![config.stage(Stage::Joint).lr, config.joint.vqvae_lr];
        let learner = Learner::new(&context, Stage::Joint, [model, averaged], peaks, |path| {
            usize::from(path.starts_with("vqvae."))
        });
        let held_out = context.held_out()?;
        let codebook_tracker = CodebookTracker::new(&context, Stage::Joint);
        Ok(JointTask {
            learner,
            has_moments: sources.prior.is_some(),
            held_out,
            codebook_tracker,
            context,
        })
    }

    fn priors(&mut self) -> [&mut Diffusion; 2] {
        [
            &mut self.learner.model.prior,
            &mut self.learner.averaged.prior,
        ]
    }
}

impl Task for JointTask {
    fn model(&mut self) -> &mut dyn Module {
        &mut self.learner.model
    }

    fn parameters(&mut self) -> usize {
        let model = &mut self.learner.model;
        model.parameters() + model.vqvae.averaged_values()
    }

    fn start(&mut self) -> Result<()> {
        if !self.has_moments {
            let diffuse = self.context.config.joint.diffuse;
            measure(&self.context, &self.learner.model.vqvae, diffuse)?.tell(self.priors());
        }
        Ok(())
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        let parts = self.learner.parts(step)?;
        let context = &self.context;
        let mut seen = Vec::new();
        let report = self.learner.learn(step, &parts, |learner, part| {
            let images = context.images(&part.batch);
            let class = context.dropped_classes(part);
            let Step {
                losses,
                latents,
                codes,
            } = learner
                .model
                .step(&images, &learner.plan(part), class.as_ref(), part.stream);
            seen.push((latents, codes));
            losses
        });
        self.codebook_tracker
            .tend(context, &self.learner.model.vqvae, step, seen);
        Ok(report)
    }

    fn export(&self) -> Vec<Entry> {
        let model = &self.learner.model;
        let mut entries = self.learner.export();
        entries.extend(self.codebook_tracker.export(&model.vqvae));
        entries.extend(standard::export(&model.prior));
        entries
    }

    fn import(&mut self, found: &Checkpoint) -> Result<()> {
        self.learner.import(found)?;
        restore_codebook(&self.learner.model.vqvae.codebook, found)?;
        self.codebook_tracker.import(found)?;
        self.priors()
            .into_iter()
            .try_for_each(|prior| standard::import(prior, found))
    }

    fn metrics(&mut self, line: &mut Map<String, Value>) {
        self.codebook_tracker.metrics(line);
    }

    fn evaluate(&mut self, step: u64, dir: &Path) -> Result<Option<Map<String, Value>>> {
        if !self.context.evaluates(Stage::Joint, step) {
            return Ok(None);
        }
        let Joint { vqvae, prior, .. } = &self.learner.averaged;
        let mut line = reconstruct(&self.context, vqvae, &self.held_out, step, dir)?;
        prior.speak(&self.context.gpu.no_grad(|| vqvae.vectors()));
        let start = |(images, class): (&Tensor, Option<Codes>)| {
            let latents = vqvae.encode(images);
            let codes = vqvae.quantise(&latents);
            Start {
                z0: self.learner.averaged.start(&latents, &codes),
                codes: Some(codes),
                class,
            }
        };
        let images = self.held_out.iter().zip(self.context.held_out_classes());
        let z0: Vec<Start> = self.context.gpu.no_grad(|| images.map(start).collect());
        held_out_losses(&self.context, &self.learner, prior, &z0, &mut line);
        let samples = draw(&self.context, prior, vqvae)?;
        self.context.save_samples(vqvae, &samples, step, dir)?;
        Ok(Some(line))
    }
}
