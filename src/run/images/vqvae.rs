//! Stage `vqvae`: encoder, codebook and decoder on images.

use std::path::Path;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::learner::{Learner, Part};
use super::{Setting, pictures};
use crate::config::{CodebookRule, Stage};
use crate::error::Result;
use crate::models::vqvae::{Step, VqVae};
use crate::nn::Module;
use crate::nn::checkpoint::{Checkpoint, Entry};
use crate::nn::codebook::Codebook;
use crate::nn::init::Init;
use crate::ops;
use crate::run::session::{Report, Task};
use crate::tensor::{Codes, Tensor};

/// Philox streams: where code vectors start, and where dead ones go.
const PLACE: u32 = 0x110;
const REVIVE: u32 = 0x111;
/// Images of a picture of reconstructions.
const SHOWN: usize = 32;

pub(super) struct VqVaeTask {
    setting: Rc<Setting>,
    learner: Learner<VqVae>,
    held_out: Vec<Tensor>,
    codebook: Keeper,
}

impl VqVaeTask {
    pub fn new(setting: Rc<Setting>) -> Result<VqVaeTask> {
        let (gpu, config) = (&setting.gpu, &setting.config);
        let model = VqVae::new(&mut Init::new(gpu, config.seed), &config.vqvae);
        let mut averaged = VqVae::new(&mut Init::blank(gpu), &config.vqvae);
        averaged.codebook = model.codebook.clone();
        let learner = Learner::new(&setting, Stage::VqVae, [model, averaged], vec![1.0], |_| 0);
        let (held_out, codebook) = (setting.held_out(), Keeper::default());
        Ok(VqVaeTask { setting, learner, held_out, codebook })
    }
}

/// Looks after the codebook of a model that learns.
#[derive(Default)]
pub(super) struct Keeper {
    last_codes: Vec<Codes>,
    revived: usize,
}

impl Keeper {
    /// Moves the code vectors by what fell to them in the parts of a batch, and revives dead ones when it is time.
    pub fn tend(&mut self, setting: &Setting, model: &VqVae, step: u64, parts: Vec<(Tensor, Codes)>) {
        let config = &setting.config.vqvae;
        let (latents, codes): (Vec<Tensor>, Vec<Codes>) = parts.into_iter().unzip();
        if config.codebook == CodebookRule::Ema {
            let latents = rows(&latents);
            // The vectors have not moved yet: these are the codes of the parts.
            let of_all = if let [codes] = &codes[..] { codes.clone() } else { model.quantise(&latents) };
            model.codebook.follow(&latents, &of_all, config.decay);
            if config.revive_every > 0 && (step + 1).is_multiple_of(config.revive_every) {
                self.revived += model.codebook.revive(&latents, setting.stream(step, REVIVE));
            }
        }
        self.last_codes = codes;
    }

    /// How the codes were used since the last line of the log.
    pub fn metrics(&mut self, codes: usize, line: &mut Map<String, Value>) {
        let last: Vec<u32> = self.last_codes.iter().flat_map(Codes::to_vec).collect();
        if !last.is_empty() {
            let usage = Usage::of(&last, codes);
            line.insert("perplexity".into(), json!(usage.perplexity));
            line.insert("codes_used".into(), json!(usage.used));
        }
        line.insert("codes_revived".into(), json!(std::mem::take(&mut self.revived)));
    }
}

/// Latents [.., d] one below the other, without history.
pub(super) fn rows(parts: &[Tensor]) -> Tensor {
    let d = parts[0].shape().last();
    let flat = parts.iter().map(|part| part.detach().reshape([part.count()]));
    let all = flat.reduce(|a, b| ops::concat(&a, &b)).expect("a batch has a part");
    all.reshape([all.count() / d, d])
}

impl Task for VqVaeTask {
    fn parameters(&mut self) -> usize {
        let follows = self.setting.config.vqvae.codebook == CodebookRule::Ema;
        let model = &mut self.learner.model;
        model.parameters() + if follows { model.codebook.vectors.count() } else { 0 }
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        let parts = self.learner.parts(step)?;
        let (setting, model) = (&self.setting, &self.learner.model);
        if step == 0 {
            let latents = |part: &Part| setting.gpu.no_grad(|| model.encode(&setting.images(&part.batch)));
            let latents: Vec<Tensor> = parts.iter().map(latents).collect();
            let latents = rows(&latents);
            // With a gradient codebook the averaged vectors are others than those that learn.
            for model in [model, &self.learner.averaged] {
                model.codebook.place(&latents, setting.stream(step, PLACE));
            }
        }
        let mut seen = Vec::new();
        let report = self.learner.learn(step, &parts, |learner, part| {
            let Step { losses, latents, codes } = learner.model.step(&setting.images(&part.batch), part.stream);
            seen.push((latents, codes));
            losses
        });
        self.codebook.tend(setting, &self.learner.model, step, seen);
        Ok(report)
    }

    fn export(&self) -> Vec<Entry> {
        let mut entries = self.learner.export();
        let state = self.learner.model.codebook.state();
        entries.extend(state.map(|(name, tensor)| (name.to_string(), tensor.shape(), tensor.to_vec())));
        entries
    }

    fn import(&mut self, found: &Checkpoint) -> Result<()> {
        self.learner.import(found)?;
        restore_codebook(&self.learner.model.codebook, found)
    }

    fn metrics(&mut self, line: &mut Map<String, Value>) {
        self.codebook.metrics(self.setting.config.vqvae.codes, line);
    }

    fn evaluate(&mut self, step: u64, dir: &Path) -> Result<Option<Map<String, Value>>> {
        if !self.setting.evaluates(Stage::VqVae, step) {
            return Ok(None);
        }
        let model = &self.learner.averaged;
        let (mut originals, mut images, mut codes) = (Vec::new(), Vec::new(), Vec::new());
        self.setting.gpu.no_grad(|| {
            for chunk in &self.held_out {
                let of_chunk = model.quantise(&model.encode(chunk));
                images.extend(model.decode(&model.look_up(&of_chunk)).to_vec());
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
