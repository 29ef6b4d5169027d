//! Shared by the stages: a model, its optimiser, the moving average of its weights, and its
//! batches.

use std::rc::Rc;

use super::context::StageContext;
use super::part::Part;
use super::told::Masks;
use crate::config::{Stage, TrainConfig};
use crate::data::Loader;
use crate::error::Result;
use crate::experiment::learning_rate::{averaging, learning_rate};
use crate::experiment::levels::LevelLaw;
use crate::experiment::session::Report;
use crate::models::Losses;
use crate::models::lesson::Plan;
use crate::nn::Module;
use crate::nn::checkpoint::{Checkpoint, Entry};
use crate::nn::optim::{Group, GroupedAdam, Moments};
use crate::ops;
use crate::philox::Stream;
use crate::tensor::{Codes, Tensor};

/// A model in training.
pub(super) struct Learner<M> {
    /// The model being trained.
    pub model: M,
    /// The same with averaged weights.
    pub averaged: M,
    context: Rc<StageContext>,
    stage: Stage,
    adam: GroupedAdam,
    /// Peak learning rate of each group of parameters.
    peaks: Vec<f64>,
    /// Created at the first step, whose number is not known before.
    loader: Option<Loader>,
    levels: LevelLaw,
}

impl<M: Module> Learner<M> {
    /// Creates the optimiser of `model`, with `averaged`, of the same structure, for the averaged
    /// weights. A parameter at path p has the peak learning rate `peaks[group(p)]`.
    pub fn new(
        context: &Rc<StageContext>,
        stage: Stage,
        [mut model, mut averaged]: [M; 2],
        peaks: Vec<f64>,
        group: impl Fn(&str) -> usize,
    ) -> Learner<M> {
        let train = context.config.stage(stage);
        let adam = GroupedAdam::new(&context.gpu, &mut model, Moments::from(train), group);
        adam.averages(&mut averaged);
        let levels = LevelLaw::new(train.levels, context.config.bridge.steps);
        Learner {
            model,
            averaged,
            context: context.clone(),
            stage,
            adam,
            peaks,
            loader: None,
            levels,
        }
    }

    fn train(&self) -> &TrainConfig {
        self.context.config.stage(self.stage)
    }

    /// The batch of `step` in equal parts.
    ///
    /// # Errors
    /// If the data cannot be read.
    pub fn parts(&mut self, step: u64) -> Result<Vec<Part>> {
        let loader = match self.loader.take() {
            Some(loader) => loader,
            None => self.context.loader(self.stage, step)?,
        };
        let batch = self.loader.insert(loader).next()?;
        debug_assert_eq!(batch.step, step, "steps come one after another");
        let size = batch.len() / self.train().accumulate;
        let stream = |i: usize| Stream {
            first: (i * size) as u32,
            ..self.context.randomness(step)
        };
        Ok(batch
            .split(size)
            .into_iter()
            .enumerate()
            .map(|(i, batch)| Part {
                batch,
                stream: stream(i),
            })
            .collect())
    }

    /// Masks of what the network is told of the whole batch; `None` if it is told nothing.
    fn masks(&self, part: &Part) -> Option<Masks> {
        let config = &self.context.config;
        Masks::draw(
            &config.prior,
            config.grid(),
            self.train().batch,
            part.stream,
        )
    }

    /// The levels of a part; 0 for images that the network is told part of, which `LevelLaw`
    /// ignores.
    fn levels(&self, part: &Part, masks: Option<&Masks>) -> Vec<u32> {
        let mut all = self.levels.draw(self.train().batch, part.stream);
        for (t, &told) in all
            .iter_mut()
            .zip(masks.into_iter().flat_map(|masks| &masks.told))
        {
            *t = if told { 0 } else { *t };
        }
        part.own(&all, 1).to_vec()
    }

    /// The levels of a part, and what the network is told of it.
    pub fn plan(&self, part: &Part) -> Plan {
        let gpu = &self.context.gpu;
        let n = part.batch.len();
        let [h, w] = self.context.config.grid();
        let mut all = self.levels.draw(self.train().batch, part.stream);
        let masks = self.masks(part);
        if let Some(masks) = &masks {
            masks.put_at_end(&mut all, self.context.config.bridge.steps);
        }
        let told = masks.map(|masks| {
            let own = |all: &[f32]| part.own(all, h * w).to_vec();
            let mask = Tensor::from_slice(gpu, &own(&masks.known), [n, h, w, 1]);
            [
                mask,
                Tensor::from_slice(gpu, &own(&masks.weights()), [n, h * w]),
            ]
        });
        Plan {
            t: Codes::from_slice(gpu, part.own(&all, 1), [n]),
            told,
        }
    }

    /// Levels for `n` held-out images: always the same for the same `chunk`, so that curves are
    /// smooth.
    pub fn held_out_levels(&self, chunk: usize, n: usize) -> (Plan, Stream) {
        // Uses step numbers that training never reaches, so held-out data have their own noise.
        let stream = self.context.randomness(u64::from(u32::MAX) - chunk as u64);
        (
            Plan::at(Codes::from_slice(
                &self.context.gpu,
                &self.levels.draw_fixed(n, stream),
                [n],
            )),
            stream,
        )
    }

    /// Runs one Adam step on the gradient of the mean of `losses` over the parts.
    pub fn learn(
        &mut self,
        step: u64,
        parts: &[Part],
        mut losses: impl FnMut(&Learner<M>, &Part) -> Losses,
    ) -> Report {
        let gpu = &self.context.gpu;
        let mut grads = None;
        let mut of_parts = Vec::new();
        for part in parts {
            let losses = losses(self, part);
            let share = Tensor::from_slice(gpu, &[1.0 / parts.len() as f32], losses.total.shape());
            let more = losses.total.backward_from(share);
            match &mut grads {
                None => grads = Some(more),
                Some(sum) => sum.add(more),
            }
            of_parts.push(losses);
        }
        let train = self.train();
        let group = |&lr: &f64| Group {
            lr: learning_rate(
                &TrainConfig {
                    lr,
                    ..train.clone()
                },
                step,
            ),
            clip: train.clip,
        };
        let groups: Vec<Group> = self.peaks.iter().map(group).collect();
        let grads = grads.expect("a batch has a part");
        let norm = self
            .adam
            .step(&grads, &groups, step as u32 + 1, averaging(train.ema, step));
        for (part, losses) in parts.iter().zip(&of_parts) {
            if let Some(each) = &losses.each {
                let levels = self.levels(part, self.masks(part).as_ref());
                self.levels.note(levels, each.clone());
            }
        }
        self.levels.follow(step + 1);
        let Losses { total, parts, .. } = mean(of_parts);
        Report { total, parts, norm }
    }

    /// The state of weights, optimiser and level distribution for a checkpoint.
    pub fn export(&self) -> Vec<Entry> {
        let mut entries = self.adam.export();
        entries.extend(self.levels.export());
        entries
    }

    /// Restores the state from [`Learner::export`].
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::error::Error::Checkpoint) if a tensor is missing.
    pub fn import(&mut self, found: &Checkpoint) -> Result<()> {
        self.adam.import(|name, shape| found.tensor(name, shape))?;
        self.levels.import(&self.context.gpu, found)
    }
}

/// The mean of each loss over the parts.
fn mean(mut all: Vec<Losses>) -> Losses {
    if all.len() == 1 {
        return all.remove(0);
    }
    let share = 1.0 / all.len() as f32;
    let mean = |of: &dyn Fn(&Losses) -> Tensor| {
        let sum = all
            .iter()
            .map(|losses| of(losses).detach())
            .reduce(|a, b| ops::add(&a, &b));
        ops::affine(&sum.expect("there is one"), share, 0.0)
    };
    let parts = all[0]
        .parts
        .iter()
        .enumerate()
        .map(|(i, (name, _))| (*name, mean(&|losses| losses.parts[i].1.clone())));
    Losses {
        total: mean(&|losses| losses.total.clone()),
        parts: parts.collect(),
        each: None,
    }
}
