//! Stage `vqvae`: encoder, codebook and decoder on images.

use std::path::Path;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::{Setting, pictures};
use crate::config::{CodebookRule, Stage};
use crate::data::Loader;
use crate::error::Result;
use crate::models::vqvae::{Step, VqVae};
use crate::nn::Module;
use crate::nn::checkpoint::{Checkpoint, Entry};
use crate::nn::codebook::Codebook;
use crate::nn::init::Init;
use crate::nn::optim::{Adam, AdamOptions, Group};
use crate::run::session::{Report, Task, averaging, learning_rate};
use crate::tensor::{Codes, Tensor};

/// Philox streams: where code vectors start, and where dead ones go.
const PLACE: u32 = 0x110;
const REVIVE: u32 = 0x111;
/// Images of a picture of reconstructions.
const SHOWN: usize = 32;

pub(super) struct VqVaeTask {
    setting: Rc<Setting>,
    model: VqVae,
    adam: Adam,
    /// The same model with averaged weights.
    averaged: VqVae,
    loader: Loader,
    held_out: Vec<Tensor>,
    last_codes: Option<Codes>,
    revived: usize,
}

impl VqVaeTask {
    pub fn new(setting: Rc<Setting>) -> Result<VqVaeTask> {
        let (gpu, config) = (&setting.gpu, &setting.config);
        let mut model = VqVae::new(&mut Init::new(gpu, config.seed), &config.vqvae);
        let mut averaged = VqVae::new(&mut Init::blank(gpu), &config.vqvae);
        let adam = Adam::new(gpu, &mut model, AdamOptions::from(config.stage(Stage::VqVae)), |_| 0);
        averaged.codebook = model.codebook.clone();
        adam.averages(&mut averaged);
        let (loader, held_out) = (setting.loader(Stage::VqVae, 0)?, setting.held_out());
        Ok(VqVaeTask { setting, model, adam, averaged, loader, held_out, last_codes: None, revived: 0 })
    }

    /// Moves the code vectors by what fell to them, and revives dead ones when it is time.
    fn tend_codebook(&mut self, step: u64, result: &Step) {
        let config = &self.setting.config.vqvae;
        if config.codebook == CodebookRule::Ema {
            self.model.codebook.follow(&result.latents, &result.codes, config.decay);
            if config.revive_every > 0 && (step + 1).is_multiple_of(config.revive_every) {
                self.revived += self.model.codebook.revive(&result.latents, self.setting.stream(step, REVIVE));
            }
        }
    }
}

impl Task for VqVaeTask {
    fn model(&mut self) -> &mut dyn Module {
        &mut self.model
    }

    fn parameters(&mut self) -> usize {
        let follows = self.setting.config.vqvae.codebook == CodebookRule::Ema;
        self.model.parameters() + if follows { self.model.codebook.vectors.count() } else { 0 }
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        let images = self.setting.images(&self.loader.next());
        if step == 0 {
            let latents = self.setting.gpu.no_grad(|| self.model.encode(&images));
            self.model.codebook.place(&latents, self.setting.stream(step, PLACE));
        }
        let result = self.model.step(&images);
        let grads = result.losses.total.backward();
        let train = self.setting.config.stage(Stage::VqVae);
        let group = Group { lr: learning_rate(train, step), clip: train.clip };
        let norm = self.adam.step(&grads, &[group], step as u32 + 1, averaging(train.ema, step));
        self.tend_codebook(step, &result);
        self.last_codes = Some(result.codes);
        Ok(Report { total: result.losses.total, parts: result.losses.parts, norm })
    }

    fn export(&self) -> Vec<Entry> {
        let mut entries = self.adam.export();
        let state = self.model.codebook.state();
        entries.extend(state.map(|(name, tensor)| (name.to_string(), tensor.shape(), tensor.to_vec())));
        entries
    }

    fn import(&mut self, found: &Checkpoint) -> Result<()> {
        self.adam.import(|name, shape| found.tensor(name, shape))?;
        restore_codebook(&self.model.codebook, found)?;
        self.loader = self.setting.loader(Stage::VqVae, found.step)?;
        Ok(())
    }

    fn metrics(&mut self, line: &mut Map<String, Value>) {
        if let Some(codes) = &self.last_codes {
            let usage = Usage::of(&codes.to_vec(), self.setting.config.vqvae.codes);
            line.insert("perplexity".into(), json!(usage.perplexity));
            line.insert("codes_used".into(), json!(usage.used));
        }
        line.insert("codes_revived".into(), json!(std::mem::take(&mut self.revived)));
    }

    fn evaluate(&mut self, step: u64, dir: &Path) -> Result<Option<Map<String, Value>>> {
        if !self.setting.evaluates(Stage::VqVae, step) {
            return Ok(None);
        }
        let (mut originals, mut images, mut codes) = (Vec::new(), Vec::new(), Vec::new());
        self.setting.gpu.no_grad(|| {
            for chunk in &self.held_out {
                let of_chunk = self.averaged.quantise(&self.averaged.encode(chunk));
                images.extend(self.averaged.decode(&self.averaged.look_up(&of_chunk)).to_vec());
                codes.extend(of_chunk.to_vec());
                originals.extend(chunk.to_vec());
            }
        });
        let config = &self.setting.config.vqvae;
        let picture = pictures::pairs(&originals, &images, config.size, SHOWN);
        pictures::save(&picture, &dir.join(format!("reconstructions-{step:06}.png")))?;
        let squares = originals.iter().zip(&images).map(|(a, b)| f64::from(a - b.clamp(-1.0, 1.0)).powi(2));
        let mse = squares.sum::<f64>() / originals.len() as f64;
        let usage = Usage::of(&codes, config.codes);
        Ok(Some(Map::from_iter([
            ("held_out_mse".to_string(), json!(mse)),
            // Of pixels in [−1, 1]: the peak is 2.
            ("held_out_psnr".to_string(), json!(10.0 * (4.0 / mse).log10())),
            ("held_out_perplexity".to_string(), json!(usage.perplexity)),
            ("held_out_codes_used".to_string(), json!(usage.used)),
        ])))
    }
}

/// Puts back the codebook of a checkpoint.
pub(super) fn restore_codebook(codebook: &Codebook, found: &Checkpoint) -> Result<()> {
    let [vectors, counts, sums] = codebook.state().map(|(name, tensor)| found.tensor(name, tensor.shape()));
    codebook.write(&vectors?, &counts?, &sums?);
    Ok(())
}

/// How codes are used.
pub(super) struct Usage {
    /// exp of the entropy of their frequencies.
    pub perplexity: f64,
    /// Codes that occur.
    pub used: usize,
}

impl Usage {
    /// Of `codes` below `k`.
    pub fn of(codes: &[u32], k: usize) -> Usage {
        let mut hits = vec![0usize; k];
        codes.iter().for_each(|&code| hits[code as usize] += 1);
        let share = |&n: &usize| n as f64 / codes.len() as f64;
        let entropy: f64 = hits.iter().filter(|&&n| n > 0).map(share).map(|p| -p * p.ln()).sum();
        Usage { perplexity: entropy.exp(), used: hits.iter().filter(|&&n| n > 0).count() }
    }
}
