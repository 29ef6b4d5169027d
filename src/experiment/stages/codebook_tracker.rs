//! Maintains the codebook of a model in training: EMA updates, revival of dead codes, and code
//! usage in the last batch and the last whole epoch.

use serde_json::{Map, Value, json};

use super::context::StageContext;
use crate::config::{CodebookRule, Stage};
use crate::error::Result;
use crate::experiment::usage::Usage;
use crate::models::first_stage::FirstStage;
use crate::models::vqvae::VqVae;
use crate::nn::checkpoint::{Checkpoint, Entry};
use crate::ops;
use crate::philox::Draw;
use crate::tensor::{Codes, Tensor};

/// Checkpoint names of: hits in the epoch so far; number, perplexity and codes used of the last
/// whole epoch; codes revived since the last log line.
const HITS: &str = "epoch.hits";
const LAST: &str = "epoch.last";
const REVIVED: &str = "revived";

/// Usage statistics of the codes.
pub(super) struct CodebookTracker {
    /// Images per epoch and per step.
    images: [u64; 2],
    /// Codes of the last batch, one entry per part.
    last: Vec<Codes>,
    revived: usize,
    /// Hits of each code so far in this epoch, `[k]`.
    hits: Tensor,
    /// Number, perplexity and codes used of the last whole epoch; all 0 if there was none.
    epoch: [f32; 3],
}

impl CodebookTracker {
    /// Statistics before the first step of `stage`.
    pub fn new(context: &StageContext, stage: Stage) -> CodebookTracker {
        let images = [
            context.pictures.train.len() as u64,
            context.config.stage(stage).batch as u64,
        ];
        let hits = Tensor::zeros(&context.gpu, [context.config.vqvae.codes]);
        CodebookTracker {
            images,
            last: Vec::new(),
            revived: 0,
            hits,
            epoch: [0.0; 3],
        }
    }

    /// After a step: updates the EMA code vectors from the `parts` of the batch (latents [n, h, w,
    /// d], codes [n, h, w]), and revives dead ones when due.
    pub fn tend(
        &mut self,
        context: &StageContext,
        model: &VqVae,
        step: u64,
        parts: Vec<(Tensor, Codes)>,
    ) {
        let config = &context.config.vqvae;
        let (latents, codes): (Vec<Tensor>, Vec<Codes>) = parts.into_iter().unzip();
        let mut place = step * self.images[1];
        for part in &codes {
            self.count(place, part);
            place += part.shape().dims()[0] as u64;
        }
        if config.codebook == CodebookRule::Ema {
            let latents = rows(&latents);
            // The vectors have not moved yet, so quantising again gives the codes of the parts.
            let of_all = if let [codes] = &codes[..] {
                codes.clone()
            } else {
                model.quantise(&latents)
            };
            model.codebook.follow(&latents, &of_all, config.decay);
            if config.revive_every > 0 && (step + 1).is_multiple_of(config.revive_every) {
                self.revived += model
                    .codebook
                    .revive(&latents, context.stream(step, Draw::ReviveCodes));
            }
        }
        self.last = codes;
    }

    /// Counts the codes of images that begin at index `place` in the sequence of all epochs.
    fn count(&mut self, place: u64, codes: &Codes) {
        let n = self.images[0];
        let images = codes.shape().dims()[0] as u64;
        if place % n + images < n {
            self.hits = ops::add(&self.hits, &ops::code_counts(codes, self.hits.count()));
            return;
        }
        // An epoch ends within this part. Waiting for the GPU once per epoch is acceptable.
        let values = codes.to_vec();
        let mut hits = self.hits.to_vec();
        for (done, image) in (place + 1..).zip(values.chunks_exact(values.len() / images as usize))
        {
            image.iter().for_each(|&code| hits[code as usize] += 1.0);
            if done.is_multiple_of(n) {
                let usage = Usage::of_hits(&hits);
                self.epoch = [
                    (done / n) as f32,
                    usage.perplexity as f32,
                    usage.used as f32,
                ];
                hits.fill(0.0);
            }
        }
        self.hits = Tensor::from_slice(codes.gpu(), &hits, self.hits.shape());
    }

    /// Adds to a log line: code usage in the last batch and in the last whole epoch, and the number
    /// of codes revived since the previous line.
    pub fn metrics(&mut self, line: &mut Map<String, Value>) {
        let last: Vec<u32> = self.last.iter().flat_map(Codes::to_vec).collect();
        if !last.is_empty() {
            let usage = Usage::of(&last, self.hits.count());
            line.insert("perplexity".into(), json!(usage.perplexity));
            line.insert("codes_used".into(), json!(usage.used));
        }
        line.insert(
            "codes_revived".into(),
            json!(std::mem::take(&mut self.revived)),
        );
        let [number, perplexity, used] = self.epoch;
        if number > 0.0 {
            line.insert("epoch".into(), json!(number as u64));
            line.insert("epoch_perplexity".into(), json!(perplexity));
            line.insert("epoch_codes_used".into(), json!(used as u64));
        }
    }

    /// The codebook of `model` and the counts, for a checkpoint.
    pub fn export(&self, model: &VqVae) -> Vec<Entry> {
        let entry =
            |(name, tensor): (&str, &Tensor)| (name.to_string(), tensor.shape(), tensor.to_vec());
        let mut entries: Vec<Entry> = model.codebook.state().map(entry).into();
        entries.push(entry((HITS, &self.hits)));
        entries.push((LAST.into(), [3].into(), self.epoch.to_vec()));
        entries.push((REVIVED.into(), [1].into(), vec![self.revived as f32]));
        entries
    }

    /// Restores the counts.
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::error::Error::Checkpoint) if they are missing.
    pub fn import(&mut self, found: &Checkpoint) -> Result<()> {
        let shape = self.hits.shape();
        self.hits = Tensor::from_slice(self.hits.gpu(), &found.tensor(HITS, shape)?, shape);
        self.epoch.copy_from_slice(&found.tensor(LAST, [3].into())?);
        // Older checkpoints do not have it.
        self.revived = found
            .tensor(REVIVED, [1].into())
            .map_or(0, |revived| revived[0] as usize);
        Ok(())
    }
}

/// Concatenates latents [.., d] into rows [n, d], detached from the tape.
pub(super) fn rows(parts: &[Tensor]) -> Tensor {
    let d = parts[0].shape().last();
    let flat = parts
        .iter()
        .map(|part| part.detach().reshape([part.count()]));
    let all = flat
        .reduce(|a, b| ops::concat(&a, &b))
        .expect("a batch has a part");
    all.reshape([all.count() / d, d])
}
