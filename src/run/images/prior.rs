//! Stage `prior`: the diffusion bridge on the latents of a frozen VQ-VAE.

use std::path::Path;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::learner::Learner;
use super::{Setting, pictures, tensor};
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

/// Images from which the latents' moments are measured.
const MEASURED: usize = 1024;
/// Samples of a picture, and the steps that make them.
const SHOWN: usize = 16;
const SAMPLING_STEPS: usize = 20;

pub(super) struct PriorTask {
    setting: Rc<Setting>,
    vqvae: VqVae,
    learner: Learner<Diffusion>,
    /// Standardised latents of held-out images, in chunks, with their classes.
    held_out: Vec<(Tensor, Option<Codes>)>,
}

impl PriorTask {
    pub fn new(setting: Rc<Setting>, vqvae: VqVae) -> Result<PriorTask> {
        let (gpu, config) = (&setting.gpu, &setting.config);
        let models =
            [Diffusion::new(&mut Init::new(gpu, config.seed), config)?, Diffusion::new(&mut Init::blank(gpu), config)?];
        let learner = Learner::new(&setting, Stage::Prior, models, vec![1.0], |_| 0);
        Ok(PriorTask { vqvae, learner, held_out: Vec::new(), setting })
    }

    /// Mean and standard deviation of every channel of the latents.
    fn measure(&self) -> [Vec<f32>; 2] {
        let (set, d) = (&self.setting.pictures.train, self.setting.config.vqvae.dim);
        let (mut count, mut sums, mut squares) = (0.0, vec![0.0; d], vec![0.0; d]);
        let indices: Vec<u32> = (0..MEASURED.min(set.len()) as u32).collect();
        for chunk in indices.chunks(super::CHUNK) {
            let images = tensor(&self.setting.gpu, set, chunk);
            for latent in self.setting.gpu.no_grad(|| self.vqvae.encode(&images)).to_vec().chunks_exact(d) {
                count += 1.0;
                for (i, &z) in latent.iter().enumerate() {
                    sums[i] += f64::from(z);
                    squares[i] += f64::from(z).powi(2);
                }
            }
        }
        let mean: Vec<f64> = sums.iter().map(|s| s / count).collect();
        let std = squares.iter().zip(&mean).map(|(s, m)| (s / count - m * m).max(1e-12).sqrt() as f32).collect();
        [mean.iter().map(|&m| m as f32).collect(), std]
    }

    fn standardise_by(&mut self, moments: [Vec<f32>; 2]) {
        let gpu = &self.setting.gpu;
        let moments = moments.map(|v| Tensor::from_slice(gpu, &v, [v.len()]));
        (self.learner.model.moments, self.learner.averaged.moments) = (moments.clone(), moments);
        let latents = self.setting.held_out().iter().map(|images| self.latents(images)).collect::<Vec<_>>();
        self.held_out = latents.into_iter().zip(self.setting.held_out_classes()).collect();
    }

    /// z_0 of images: the frozen encoder's output, standardised.
    fn latents(&self, images: &Tensor) -> Tensor {
        self.setting.gpu.no_grad(|| self.learner.model.standardise(&self.vqvae.encode(images)))
    }

    /// A picture of samples.
    fn samples(&self) -> Result<Vec<f32>> {
        let (gpu, config) = (&self.setting.gpu, &self.setting.config);
        let model = &self.learner.averaged;
        let guidance = self.setting.shown_classes(SHOWN).map(|class| Guidance { class, scale: 1.0 });
        let eps = |z: &Tensor, t: usize| model.eps(z, t, guidance.as_ref());
        let (bridge, variance) = (&model.bridge, config.bridge.reverse_variance);
        let process = Process { gpu, bridge, variance, target: model.target(), eps: &eps };
        let shape = Shape::from([SHOWN, config.vqvae.grid(), config.vqvae.grid(), config.vqvae.dim]);
        let z0 = process.sample(shape, Sampler::Dpmpp2m, SAMPLING_STEPS, config.seed, &mut |_, _| {})?;
        Ok(gpu.no_grad(|| {
            let codes = self.vqvae.quantise(&model.restore(&z0));
            self.vqvae.decode(&self.vqvae.look_up(&codes)).to_vec()
        }))
    }
}

impl Task for PriorTask {
    fn parameters(&mut self) -> usize {
        self.learner.model.parameters()
    }

    fn start(&mut self) {
        let moments = self.measure();
        self.standardise_by(moments);
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        let parts = self.learner.parts(step)?;
        let (setting, vqvae) = (&self.setting, &self.vqvae);
        Ok(self.learner.learn(step, &parts, |learner, part| {
            let latents = setting.gpu.no_grad(|| vqvae.encode(&setting.images(&part.batch)));
            let z0 = learner.model.standardise(&latents);
            let class = setting.dropped_classes(part);
            let total = learner.model.loss(&z0, &learner.levels(part), class.as_ref(), part.stream, true);
            Losses { total, parts: Vec::new() }
        }))
    }

    fn export(&self) -> Vec<Entry> {
        let mut entries = self.learner.export();
        let names = ["latents.mean", "latents.std"];
        let moments = names.iter().zip(&self.learner.model.moments);
        entries.extend(moments.map(|(name, tensor)| ((*name).into(), tensor.shape(), tensor.to_vec())));
        entries
    }

    fn import(&mut self, found: &Checkpoint) -> Result<()> {
        self.learner.import(found)?;
        let shape = self.learner.model.moments[0].shape();
        let [mean, std] = ["latents.mean", "latents.std"].map(|name| found.tensor(name, shape));
        self.standardise_by([mean?, std?]);
        Ok(())
    }

    fn evaluate(&mut self, step: u64, dir: &Path) -> Result<Option<Map<String, Value>>> {
        if !self.setting.evaluates(Stage::Prior, step) {
            return Ok(None);
        }
        let loss = |(chunk, (z0, class)): (usize, &(Tensor, Option<Codes>))| {
            let n = z0.shape().dims()[0];
            let (t, stream) = self.learner.held_out_levels(chunk, n);
            f64::from(self.learner.averaged.loss(z0, &t, class.as_ref(), stream, false).item()) * n as f64
        };
        let total: f64 = self.setting.gpu.no_grad(|| self.held_out.iter().enumerate().map(loss).sum());
        let count: usize = self.held_out.iter().map(|(z, _)| z.shape().dims()[0]).sum();
        let picture = pictures::grid(&self.samples()?, self.setting.config.vqvae.size);
        pictures::save(&picture, &dir.join(format!("samples-{step:06}.png")))?;
        Ok(Some(Map::from_iter([("held_out_loss".to_string(), json!(total / count as f64))])))
    }
}
