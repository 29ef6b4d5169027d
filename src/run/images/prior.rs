//! Stage `prior`: the diffusion bridge on the latents of a frozen VQ-VAE.

use std::path::Path;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::latents::{Latents, export_moments, import_moments, measure};
use super::learner::Learner;
use super::{Setting, pictures};
use crate::config::Stage;
use crate::error::Result;
use crate::models::Losses;
use crate::models::diffusion::{Diffusion, Guidance};
use crate::models::sampler::{Process, Sampler};
use crate::models::vqvae::VqVae;
use crate::nn::Module;
use crate::nn::checkpoint::{Checkpoint, Entry};
use crate::nn::init::Init;
use crate::run::session::{Report, Task};
use crate::tensor::{Codes, Shape, Tensor};

/// Samples of a picture, and the steps that make them.
const SHOWN: usize = 16;
const SAMPLING_STEPS: usize = 20;

pub(super) struct PriorTask {
    setting: Rc<Setting>,
    latents: Latents,
    learner: Learner<Diffusion>,
    /// Standardised latents of held-out images, in chunks, with their classes.
    held_out: Vec<(Tensor, Option<Codes>)>,
}

impl PriorTask {
    pub fn new(setting: Rc<Setting>, vqvae: VqVae) -> Result<PriorTask> {
        let (gpu, config) = (&setting.gpu, &setting.config);
        let models =
            [Diffusion::new(&mut Init::new(gpu, config.seed), config)?, Diffusion::new(&mut Init::blank(gpu), config)?];
        let peaks = vec![config.stage(Stage::Prior).lr];
        let learner = Learner::new(&setting, Stage::Prior, models, peaks, |_| 0);
        let latents = Latents::new(&setting, vqvae, Stage::Prior);
        Ok(PriorTask { latents, learner, held_out: Vec::new(), setting })
    }

    fn standardise_by(&mut self, moments: [Tensor; 2]) -> Result<()> {
        (self.learner.model.moments, self.learner.averaged.moments) = (moments.clone(), moments);
        let (setting, vqvae, model) = (&self.setting, self.latents.vqvae(), &self.learner.model);
        let z0 = |images: &Tensor| setting.gpu.no_grad(|| model.standardise(&vqvae.encode(images)));
        self.held_out = setting.held_out()?.iter().map(z0).zip(setting.held_out_classes()).collect();
        Ok(())
    }
}

/// A picture's worth of samples of `prior`, decoded by `vqvae`, flat [n, h, w, 3].
pub(super) fn draw(setting: &Setting, prior: &Diffusion, vqvae: &VqVae) -> Result<Vec<f32>> {
    let (gpu, config) = (&setting.gpu, &setting.config);
    let guidance = setting.shown_classes(SHOWN).map(|class| Guidance { class, scale: 1.0 });
    let eps = |z: &Tensor, t: usize| prior.eps(z, t, guidance.as_ref());
    let variance = config.bridge.reverse_variance;
    let process = Process { gpu, bridge: &prior.bridge, variance, target: prior.target(), eps: &eps };
    let shape = Shape::from([SHOWN, config.vqvae.grid(), config.vqvae.grid(), config.vqvae.dim]);
    let z0 = process.sample(
        shape,
        Sampler::Dpmpp2m,
        SAMPLING_STEPS.min(prior.bridge.steps()),
        config.seed,
        &mut |_, _| {},
    )?;
    Ok(gpu.no_grad(|| {
        let codes = vqvae.quantise(&prior.restore(&z0));
        vqvae.decode(&vqvae.look_up(&codes)).to_vec()
    }))
}

/// Puts into `line` the loss of `prior` on the standardised latents of held-out images, in chunks with their classes, and
/// its mean ‖ε − ε_θ‖², whose 1 is that of a network that ignores its input.
pub(super) fn held_out_losses<M: Module>(
    setting: &Setting,
    learner: &Learner<M>,
    prior: &Diffusion,
    held_out: &[(Tensor, Option<Codes>)],
    line: &mut Map<String, Value>,
) {
    let (mut total, mut of_eps, mut count) = (0.0, 0.0, 0.0);
    setting.gpu.no_grad(|| {
        for (chunk, (z0, class)) in held_out.iter().enumerate() {
            let n = z0.shape().dims()[0];
            let (t, stream) = learner.held_out_levels(chunk, n);
            total += f64::from(prior.loss(z0, &t, class.as_ref(), stream, false).item()) * n as f64;
            of_eps += f64::from(prior.eps_loss(z0, &t, class.as_ref(), stream).item()) * n as f64;
            count += n as f64;
        }
    });
    line.insert("held_out_loss".into(), json!(total / count));
    line.insert("held_out_eps_loss".into(), json!(of_eps / count));
}

impl Task for PriorTask {
    fn model(&mut self) -> &mut dyn Module {
        &mut self.learner.model
    }

    fn start(&mut self) -> Result<()> {
        self.standardise_by(measure(&self.setting, self.latents.vqvae())?)
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        let parts = self.learner.parts(step)?;
        let (setting, latents) = (&self.setting, &self.latents);
        Ok(self.learner.learn(step, &parts, |learner, part| {
            let z0 = learner.model.standardise(&latents.of(setting, part));
            let class = setting.dropped_classes(part);
            let total = learner.model.loss(&z0, &learner.levels(part), class.as_ref(), part.stream, true);
            Losses { total, parts: Vec::new() }
        }))
    }

    fn export(&self) -> Vec<Entry> {
        let mut entries = self.learner.export();
        entries.extend(export_moments(&self.learner.model));
        entries
    }

    fn import(&mut self, found: &Checkpoint) -> Result<()> {
        self.learner.import(found)?;
        self.standardise_by(import_moments(&self.learner.model, found)?)
    }

    fn evaluate(&mut self, step: u64, dir: &Path) -> Result<Option<Map<String, Value>>> {
        if !self.setting.evaluates(Stage::Prior, step) {
            return Ok(None);
        }
        let mut line = Map::new();
        held_out_losses(&self.setting, &self.learner, &self.learner.averaged, &self.held_out, &mut line);
        let samples = draw(&self.setting, &self.learner.averaged, self.latents.vqvae())?;
        let picture = pictures::grid(&samples, self.setting.config.vqvae.size);
        pictures::save(&picture, &dir.join(format!("samples-{step:06}.png")))?;
        Ok(Some(line))
    }
}
