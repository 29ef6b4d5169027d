//! Stage `pixelcnn`: the baseline prior on the codes of a frozen VQ-VAE.

use std::path::Path;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::vqvae::Usage;
use super::{Setting, pictures};
use crate::config::Stage;
use crate::data::Loader;
use crate::error::Result;
use crate::models::pixelcnn::PixelCnn;
use crate::models::vqvae::VqVae;
use crate::nn::Module;
use crate::nn::checkpoint::{Checkpoint, Entry};
use crate::nn::init::Init;
use crate::nn::optim::{Adam, AdamOptions, Group};
use crate::ops;
use crate::run::session::{Report, Task, averaging, learning_rate};
use crate::tensor::{Codes, Tensor};

/// Samples of a picture.
const SHOWN: usize = 16;
/// Philox stream of sampling.
const SAMPLES: u32 = 0x2100;

pub(super) struct PixelCnnTask {
    setting: Rc<Setting>,
    vqvae: VqVae,
    model: PixelCnn,
    adam: Adam,
    /// The same model with averaged weights.
    averaged: PixelCnn,
    loader: Loader,
    /// Codes of held-out images, in chunks.
    held_out: Vec<Codes>,
}

impl PixelCnnTask {
    pub fn new(setting: Rc<Setting>, vqvae: VqVae) -> Result<PixelCnnTask> {
        let (gpu, config) = (&setting.gpu, &setting.config);
        let build = |mut init: Init| PixelCnn::new(&mut init, &config.pixelcnn, config.vqvae.codes, 0);
        let (mut model, mut averaged) = (build(Init::new(gpu, config.seed)), build(Init::blank(gpu)));
        let adam = Adam::new(gpu, &mut model, AdamOptions::from(config.stage(Stage::PixelCnn)), |_| 0);
        adam.averages(&mut averaged);
        let codes = |images: &Tensor| gpu.no_grad(|| vqvae.quantise(&vqvae.encode(images)));
        let held_out = setting.held_out().iter().map(codes).collect();
        let loader = setting.loader(Stage::PixelCnn, 0)?;
        Ok(PixelCnnTask { vqvae, model, adam, averaged, loader, held_out, setting })
    }

    /// The mean of −log p(code | codes before it), nats.
    fn loss(&self, model: &PixelCnn, codes: &Codes) -> Tensor {
        let logits = model.forward(codes, &self.classes(codes.shape().dims()[0]));
        let k = logits.shape().last();
        let rows = logits.reshape([logits.count() / k, k]);
        ops::mean_all(&ops::cross_entropy(&rows, &codes.reshape([codes.count()])))
    }

    /// The one class of everything.
    fn classes(&self, n: usize) -> Codes {
        Codes::from_slice(&self.setting.gpu, &vec![0; n], [n])
    }

    /// A picture of samples, drawn code by code in raster order.
    fn samples(&self) -> Vec<f32> {
        let (gpu, config) = (&self.setting.gpu, &self.setting.config.vqvae);
        let (side, k) = (config.grid(), config.codes);
        let mut codes = vec![0; SHOWN * side * side];
        gpu.no_grad(|| {
            for at in 0..side * side {
                let so_far = Codes::from_slice(gpu, &codes, [SHOWN, side, side]);
                let logits = self.averaged.forward(&so_far, &self.classes(SHOWN)).to_vec();
                let stream = self.setting.stream(at as u64, SAMPLES);
                for i in 0..SHOWN {
                    let row = &logits[(i * side * side + at) * k..][..k];
                    codes[i * side * side + at] = draw(row, f64::from(stream.uniform(i as u32)));
                }
            }
            let codes = Codes::from_slice(gpu, &codes, [SHOWN, side, side]);
            self.vqvae.decode(&self.vqvae.look_up(&codes)).to_vec()
        })
    }
}

/// The code whose share of softmax(logits) holds the quantile u.
fn draw(logits: &[f32], u: f64) -> u32 {
    let top = logits.iter().copied().fold(f32::MIN, f32::max);
    let weights: Vec<f64> = logits.iter().map(|&l| f64::from(l - top).exp()).collect();
    let mut left = u * weights.iter().sum::<f64>();
    let found = weights.iter().position(|w| {
        left -= w;
        left < 0.0
    });
    found.unwrap_or(logits.len() - 1) as u32
}

impl Task for PixelCnnTask {
    fn model(&mut self) -> &mut dyn Module {
        &mut self.model
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        let train = self.setting.config.stage(Stage::PixelCnn);
        let images = self.setting.images(&self.loader.next());
        let codes = self.setting.gpu.no_grad(|| self.vqvae.quantise(&self.vqvae.encode(&images)));
        let total = self.loss(&self.model, &codes);
        let grads = total.backward();
        let group = Group { lr: learning_rate(train, step), clip: train.clip };
        let norm = self.adam.step(&grads, &[group], step as u32 + 1, averaging(train.ema, step));
        Ok(Report { total, parts: Vec::new(), norm })
    }

    fn export(&self) -> Vec<Entry> {
        self.adam.export()
    }

    fn import(&mut self, found: &Checkpoint) -> Result<()> {
        self.adam.import(|name, shape| found.tensor(name, shape))?;
        self.loader = self.setting.loader(Stage::PixelCnn, found.step)?;
        Ok(())
    }

    fn evaluate(&mut self, step: u64, dir: &Path) -> Result<Option<Map<String, Value>>> {
        if !self.setting.evaluates(Stage::PixelCnn, step) {
            return Ok(None);
        }
        let gpu = &self.setting.gpu;
        let loss = |codes: &Codes| f64::from(self.loss(&self.averaged, codes).item()) * codes.count() as f64;
        let total: f64 = gpu.no_grad(|| self.held_out.iter().map(loss).sum());
        let codes: Vec<u32> = self.held_out.iter().flat_map(Codes::to_vec).collect();
        let unigram = Usage::of(&codes, self.setting.config.vqvae.codes).perplexity.log2();
        let picture = pictures::grid(&self.samples(), self.setting.config.vqvae.size);
        pictures::save(&picture, &dir.join(format!("samples-{step:06}.png")))?;
        Ok(Some(Map::from_iter([
            ("held_out_bits_per_code".to_string(), json!(total / codes.len() as f64 / std::f64::consts::LN_2)),
            ("held_out_unigram_bits".to_string(), json!(unigram)),
        ])))
    }
}
