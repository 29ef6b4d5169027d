//! Stage `prior`: the diffusion bridge on the latents of a frozen VQ-VAE.

use std::path::Path;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::{Setting, pictures, tensor};
use crate::config::Stage;
use crate::data::Loader;
use crate::error::Result;
use crate::models::diffusion::Diffusion;
use crate::models::sampler::{Process, Sampler};
use crate::models::vqvae::VqVae;
use crate::nn::Module;
use crate::nn::checkpoint::{Checkpoint, Entry};
use crate::nn::init::Init;
use crate::nn::optim::{Adam, AdamOptions, Group};
use crate::run::session::{Report, Task, averaging, cumulative, draw_levels, learning_rate};
use crate::tensor::{Codes, Shape, Tensor};

/// Images from which the latents' moments are measured.
const MEASURED: usize = 1024;
/// Samples of a picture, and the steps that make them.
const SHOWN: usize = 16;
const SAMPLING_STEPS: usize = 20;

pub(super) struct PriorTask {
    setting: Rc<Setting>,
    vqvae: VqVae,
    model: Diffusion,
    adam: Adam,
    /// The same model with averaged weights.
    averaged: Diffusion,
    loader: Loader,
    /// Standardised latents of held-out images, in chunks.
    held_out: Vec<Tensor>,
    levels: Vec<f64>,
}

impl PriorTask {
    pub fn new(setting: Rc<Setting>, vqvae: VqVae) -> Result<PriorTask> {
        let (gpu, config) = (&setting.gpu, &setting.config);
        let mut model = Diffusion::new(&mut Init::new(gpu, config.seed), config)?;
        let mut averaged = Diffusion::new(&mut Init::blank(gpu), config)?;
        let train = config.stage(Stage::Prior);
        let adam = Adam::new(gpu, &mut model, AdamOptions::from(train), |_| 0);
        adam.averages(&mut averaged);
        let levels = cumulative(train.levels, model.bridge.steps());
        let loader = setting.loader(Stage::Prior, 0)?;
        let mut task = PriorTask { vqvae, model, adam, averaged, loader, held_out: Vec::new(), levels, setting };
        let moments = task.measure();
        task.standardise_by(moments);
        Ok(task)
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
        (self.model.moments, self.averaged.moments) = (moments.clone(), moments);
        self.held_out = self.setting.held_out().iter().map(|images| self.latents(images)).collect();
    }

    /// z_0 of images: the frozen encoder's output, standardised.
    fn latents(&self, images: &Tensor) -> Tensor {
        self.setting.gpu.no_grad(|| self.model.standardise(&self.vqvae.encode(images)))
    }

    /// A picture of samples.
    fn samples(&self) -> Result<Vec<f32>> {
        let (gpu, config) = (&self.setting.gpu, &self.setting.config);
        let eps = |z: &Tensor, t: usize| self.averaged.eps(z, t);
        let (bridge, variance) = (&self.averaged.bridge, config.bridge.reverse_variance);
        let process = Process { gpu, bridge, variance, target: self.averaged.target(), eps: &eps };
        let shape = Shape::from([SHOWN, config.vqvae.grid(), config.vqvae.grid(), config.vqvae.dim]);
        let z0 = process.sample(shape, Sampler::Dpmpp2m, SAMPLING_STEPS, config.seed, &mut |_, _| {})?;
        Ok(gpu.no_grad(|| {
            let codes = self.vqvae.quantise(&self.averaged.restore(&z0));
            self.vqvae.decode(&self.vqvae.look_up(&codes)).to_vec()
        }))
    }
}

impl Task for PriorTask {
    fn model(&mut self) -> &mut dyn Module {
        &mut self.model
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        let train = self.setting.config.stage(Stage::Prior);
        let stream = self.setting.stream(step, 0);
        let z0 = self.latents(&self.setting.images(&self.loader.next()));
        let levels = draw_levels(&self.levels, train.batch, stream);
        let t = Codes::from_slice(&self.setting.gpu, &levels, [train.batch]);
        let total = self.model.loss(&z0, &t, stream, true);
        let grads = total.backward();
        let group = Group { lr: learning_rate(train, step), clip: train.clip };
        let norm = self.adam.step(&grads, &[group], step as u32 + 1, averaging(train.ema, step));
        Ok(Report { total, parts: Vec::new(), norm })
    }

    fn export(&self) -> Vec<Entry> {
        let mut entries = self.adam.export();
        let names = ["latents.mean", "latents.std"];
        entries.extend(names.iter().zip(&self.model.moments).map(|(n, t)| ((*n).into(), t.shape(), t.to_vec())));
        entries
    }

    fn import(&mut self, found: &Checkpoint) -> Result<()> {
        self.adam.import(|name, shape| found.tensor(name, shape))?;
        let shape = self.model.moments[0].shape();
        let [mean, std] = ["latents.mean", "latents.std"].map(|name| found.tensor(name, shape));
        self.standardise_by([mean?, std?]);
        self.loader = self.setting.loader(Stage::Prior, found.step)?;
        Ok(())
    }

    fn evaluate(&mut self, step: u64, dir: &Path) -> Result<Option<Map<String, Value>>> {
        if !self.setting.evaluates(Stage::Prior, step) {
            return Ok(None);
        }
        // The same noise and levels every time, so that curves are smooth.
        let loss = |(i, z0): (usize, &Tensor)| {
            let stream = self.setting.stream(i as u64, 0x8000);
            let n = z0.shape().dims()[0];
            let t = Codes::from_slice(&self.setting.gpu, &draw_levels(&self.levels, n, stream), [n]);
            f64::from(self.averaged.loss(z0, &t, stream, false).item()) * n as f64
        };
        let total: f64 = self.setting.gpu.no_grad(|| self.held_out.iter().enumerate().map(loss).sum());
        let count: usize = self.held_out.iter().map(|z| z.shape().dims()[0]).sum();
        let picture = pictures::grid(&self.samples()?, self.setting.config.vqvae.size);
        pictures::save(&picture, &dir.join(format!("samples-{step:06}.png")))?;
        Ok(Some(Map::from_iter([("held_out_loss".to_string(), json!(total / count as f64))])))
    }
}
