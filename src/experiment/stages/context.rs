//! The context shared by all training stages.

use std::path::Path;

use super::part::Part;
use crate::config::{GridConfig, Stage};
use crate::data::{Batch, Format, ImageSet, Loader, LoaderOptions};
use crate::error::Result;
use crate::experiment::dataset::Pictures;
use crate::experiment::pictures;
use crate::gpu::Gpu;
use crate::models::first_stage::FirstStage;
use crate::philox::{Draw, Stream};
use crate::tensor::{Codes, Tensor};

/// Images per forward pass in evaluations.
pub(crate) const CHUNK: usize = 32;

/// Device, configuration and data of a stage.
pub(crate) struct StageContext {
    pub gpu: Gpu,
    pub config: GridConfig,
    pub pictures: Pictures,
}

impl StageContext {
    /// The loader of the batches of `stage`, from `step` on.
    pub(crate) fn loader(&self, stage: Stage, step: u64) -> Result<Loader> {
        let batch = self.config.stage(stage).batch;
        let seed = self.config.seed;
        Loader::start(
            self.pictures.train.clone(),
            LoaderOptions {
                batch,
                seed,
                flip: self.pictures.train.format == Format::Pixels,
                first_step: step,
            },
        )
    }

    /// The held-out images for evaluations, in [−1, 1], in chunks.
    pub(crate) fn held_out(&self) -> Result<Vec<Tensor>> {
        let chunk = |indices: &[u32]| tensor(&self.gpu, &self.pictures.held_out, indices);
        self.held_out_indices().chunks(CHUNK).map(chunk).collect()
    }

    /// Latents of the same images from the frozen `first` stage.
    pub(crate) fn held_out_latents(&self, first: &dyn FirstStage) -> Result<Vec<Tensor>> {
        let chunk = |indices: &[u32]| {
            let examples = self.pictures.held_out.floats(indices)?;
            Ok(self.gpu.no_grad(|| first.latents(&examples)))
        };
        self.held_out_indices().chunks(CHUNK).map(chunk).collect()
    }

    /// Their classes, in the same chunks.
    pub(crate) fn held_out_classes(&self) -> Vec<Option<Codes>> {
        let labels = &self.pictures.held_out.labels;
        let chunk =
            |indices: &[u32]| self.classes(indices.iter().map(|&i| labels[i as usize]).collect());
        self.held_out_indices().chunks(CHUNK).map(chunk).collect()
    }

    fn held_out_indices(&self) -> Vec<u32> {
        (0..self
            .config
            .stages
            .evaluate_images
            .min(self.pictures.held_out.len()) as u32)
            .collect()
    }

    /// Class labels for the model, `[n]`; `None` for unconditional models.
    pub(crate) fn classes(&self, labels: Vec<u32>) -> Option<Codes> {
        (self.config.classes > 0).then(|| Codes::from_slice(&self.gpu, &labels, [labels.len()]))
    }

    /// The classes of a part in U-Net training: a random share is replaced by index `classes`, the
    /// null class.
    pub(crate) fn dropped_classes(&self, part: &Part) -> Option<Codes> {
        let stream = Stream {
            stream: Draw::DropClass.stream(),
            ..part.stream
        };
        let dropped =
            |i: u32| f64::from(stream.uniform(stream.first + i)) < self.config.class_dropout;
        let told = |(i, &label): (u32, &u32)| {
            if dropped(i) {
                self.config.classes as u32
            } else {
                label
            }
        };
        self.classes((0..).zip(&part.batch.labels).map(told).collect())
    }

    /// Classes of `n` samples on a grid, one class per column.
    pub(crate) fn shown_classes(&self, n: usize) -> Option<Codes> {
        let column = |i: usize| (i % pictures::COLUMNS % self.config.classes.max(1)) as u32;
        self.classes((0..n).map(column).collect())
    }

    /// The images of a batch on the GPU, [n, h, w, 3].
    pub(crate) fn images(&self, batch: &Batch) -> Tensor {
        let size = self.config.vqvae.size;
        Tensor::from_slice(&self.gpu, &batch.images, [batch.len(), size, size, 3])
    }

    /// Writes the picture of the samples `codes` [n, h, w] after `step` steps into `dir`.
    pub(crate) fn save_samples(
        &self,
        first: &dyn FirstStage,
        codes: &Codes,
        step: u64,
        dir: &Path,
    ) -> Result<()> {
        let images = self.gpu.no_grad(|| first.show(codes)).to_vec();
        let picture = pictures::grid(&images, self.config.picture());
        pictures::save(&picture, &dir.join(format!("samples-{step:06}.png")))
    }

    /// Whether `stage` is evaluated after `step` steps.
    pub(crate) fn evaluates(&self, stage: Stage, step: u64) -> bool {
        let every = self.config.stages.evaluate_every;
        every > 0 && (step.is_multiple_of(every) || step == self.config.stage(stage).steps)
    }

    /// The random numbers of a step, without a stream chosen.
    pub(crate) fn randomness(&self, step: u64) -> Stream {
        Stream {
            seed: self.config.seed,
            step: step as u32,
            stream: 0,
            first: 0,
        }
    }

    /// The random numbers of a step for `draw`.
    pub(crate) fn stream(&self, step: u64, draw: Draw) -> Stream {
        Stream {
            stream: draw.stream(),
            ..self.randomness(step)
        }
    }
}

/// The images `indices` of a set on the GPU, [n, h, w, 3].
pub(crate) fn tensor(gpu: &Gpu, set: &ImageSet, indices: &[u32]) -> Result<Tensor> {
    Ok(Tensor::from_slice(
        gpu,
        &set.floats(indices)?,
        [indices.len(), set.height, set.width, 3],
    ))
}
