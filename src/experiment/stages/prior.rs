//! Stage `prior`: the diffusion bridge on the latents of a frozen VQ-VAE.

use std::path::Path;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::context::StageContext;
use super::latents::Latents;
use super::learner::Learner;
use super::sources::Frozen;
use super::standard;
use super::standard::measure;
use crate::config::{Diffuse, Stage};
use crate::error::Result;
use crate::experiment::session::{Report, Task};
use crate::models::Losses;
use crate::models::diffusion::Diffusion;
use crate::models::first_stage::FirstStage;
use crate::models::lesson::{Ask, Guidance, Lesson, Loss};
use crate::models::sampler::{Process, Sampler};
use crate::nn::Module;
use crate::nn::checkpoint::{Checkpoint, Entry};
use crate::nn::init::Init;
use crate::tensor::{Codes, Shape, Tensor};

/// Samples shown in a picture, and their number of sampling steps.
const SHOWN: usize = 16;
const SAMPLING_STEPS: usize = 20;

pub(super) struct PriorTask {
    context: Rc<StageContext>,
    latents: Latents,
    learner: Learner<Diffusion>,
    /// Held-out images, in chunks.
    held_out: Vec<Start>,
}

/// Where the bridge starts.
pub(super) struct Start {
    /// z_0, standardised, [n, h, w, d].
    pub z0: Tensor,
    /// Its codes, [n, h, w], if they are needed.
    pub codes: Option<Codes>,
    /// Classes, `[n]`.
    pub class: Option<Codes>,
}

impl Start {
    /// From the latents z_e of a frozen `first` stage, or the vectors of their codes, standardised
    /// for `model`.
    pub fn new(
        latents: &Tensor,
        class: Option<Codes>,
        first: &dyn FirstStage,
        model: &Diffusion,
        diffuse: Diffuse,
    ) -> Start {
        let wants_codes = diffuse == Diffuse::Codes || model.head().is_some();
        let codes = wants_codes.then(|| first.quantise(latents));
        let z0 = match &codes {
            Some(codes) if diffuse == Diffuse::Codes => model.standardise(&first.look_up(codes)),
            _ => model.standardise(latents),
        };
        Start { z0, codes, class }
    }
}

impl PriorTask {
    pub fn new(context: Rc<StageContext>, frozen: Frozen) -> Result<PriorTask> {
        let gpu = &context.gpu;
        let config = &context.config;
        let models = [
            Diffusion::new(&mut Init::new(gpu, config.seed), config)?,
            Diffusion::new(&mut Init::blank(gpu), config)?,
        ];
        let peaks = vec![config.stage(Stage::Prior).lr];
        let learner = Learner::new(&context, Stage::Prior, models, peaks, |_| 0);
        let latents = Latents::new(&context, frozen, Stage::Prior);
        Ok(PriorTask {
            latents,
            learner,
            held_out: Vec::new(),
            context,
        })
    }

    /// Prepares what depends on the moments: code vectors and held-out data.
    fn prepare(&mut self) -> Result<()> {
        let context = &self.context;
        let first = self.latents.first();
        let vectors = first.vectors();
        let Learner {
            model, averaged, ..
        } = &self.learner;
        [model, averaged]
            .into_iter()
            .for_each(|model| model.speak(&vectors));
        let start = |(latents, class): (&Tensor, Option<Codes>)| {
            let diffuse = context.config.prior.diffuse;
            let of = || Start::new(latents, class, first, model, diffuse);
            context.gpu.no_grad(of)
        };
        self.held_out = context
            .held_out_latents(first)?
            .iter()
            .zip(context.held_out_classes())
            .map(start)
            .collect();
        Ok(())
    }
}

/// The codes [n, h, w] of the samples of `prior` for one picture, quantised by the `first` stage.
pub(super) fn draw(
    context: &StageContext,
    prior: &Diffusion,
    first: &dyn FirstStage,
) -> Result<Codes> {
    let gpu = &context.gpu;
    let config = &context.config;
    let guidance = context
        .shown_classes(SHOWN)
        .map(|class| Guidance { class, scale: 1.0 });
    let ask = Ask {
        guidance: guidance.as_ref(),
        sharpen: config.prior.sharpen as f32,
        ..Ask::default()
    };
    let eps = |z: &Tensor, t: usize| prior.asked(z, t, &ask);
    let variance = config.bridge.reverse_variance;
    let process = Process {
        gpu,
        bridge: &prior.bridge,
        variance,
        target: prior.target(),
        eps: &eps,
    };
    let [h, w] = config.grid();
    let shape = Shape::from([SHOWN, h, w, config.dim()]);
    let z0 = process.sample(
        shape,
        Sampler::Dpmpp2m,
        SAMPLING_STEPS.min(prior.bridge.steps()),
        config.seed,
        &mut |_, _| {},
    )?;
    Ok(gpu.no_grad(|| first.quantise(&prior.restore(&z0))))
}

/// Adds to `line` the loss of `prior` on held-out images, and its mean ‖ε − ε_θ‖², which is 1 for a
/// network that ignores its input.
pub(super) fn held_out_losses<M: Module>(
    context: &StageContext,
    learner: &Learner<M>,
    prior: &Diffusion,
    held_out: &[Start],
    line: &mut Map<String, Value>,
) {
    let mut total = 0.0;
    let mut of_eps = 0.0;
    let mut count = 0.0;
    context.gpu.no_grad(|| {
        for (chunk, Start { z0, codes, class }) in held_out.iter().enumerate() {
            let n = z0.shape().dims()[0];
            let (plan, stream) = learner.held_out_levels(chunk, n);
            let lesson = Lesson {
                z0,
                codes: codes.as_ref(),
                plan: &plan,
                class: class.as_ref(),
                stream,
            };
            total += f64::from(prior.loss(&lesson, false).total.item()) * n as f64;
            of_eps += f64::from(prior.eps_loss(&lesson).item()) * n as f64;
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
        let Learner {
            model, averaged, ..
        } = &mut self.learner;
        measure(
            &self.context,
            self.latents.first(),
            self.context.config.prior.diffuse,
        )?
        .tell([model, averaged]);
        self.prepare()
    }

    fn step(&mut self, step: u64) -> Result<Report> {
        let parts = self.learner.parts(step)?;
        let context = &self.context;
        let latents = &self.latents;
        Ok(self.learner.learn(step, &parts, |learner, part| {
            let model = &learner.model;
            let diffuse = context.config.prior.diffuse;
            let class = context.dropped_classes(part);
            let Start { z0, codes, class } = Start::new(
                &latents.of(context, part),
                class,
                latents.first(),
                model,
                diffuse,
            );
            let plan = learner.plan(part);
            let lesson = Lesson {
                z0: &z0,
                codes: codes.as_ref(),
                plan: &plan,
                class: class.as_ref(),
                stream: part.stream,
            };
            let Loss { total, each } = model.loss(&lesson, true);
            Losses {
                total,
                parts: Vec::new(),
                each,
            }
        }))
    }

    fn export(&self) -> Vec<Entry> {
        let mut entries = self.learner.export();
        entries.extend(standard::export(&self.learner.model));
        entries
    }

    fn import(&mut self, found: &Checkpoint) -> Result<()> {
        self.learner.import(found)?;
        let Learner {
            model, averaged, ..
        } = &mut self.learner;
        [model, averaged]
            .into_iter()
            .try_for_each(|model| standard::import(model, found))?;
        self.prepare()
    }

    fn evaluate(&mut self, step: u64, dir: &Path) -> Result<Option<Map<String, Value>>> {
        if !self.context.evaluates(Stage::Prior, step) {
            return Ok(None);
        }
        let mut line = Map::new();
        held_out_losses(
            &self.context,
            &self.learner,
            &self.learner.averaged,
            &self.held_out,
            &mut line,
        );
        let first = self.latents.first();
        let samples = draw(&self.context, &self.learner.averaged, first)?;
        self.context.save_samples(first, &samples, step, dir)?;
        Ok(Some(line))
    }
}
