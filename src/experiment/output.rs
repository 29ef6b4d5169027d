//! Output files of the commands on a trained image run: pictures, tensors and `summary.json`, each
//! recording how it was made.

use std::path::Path;

use image::RgbImage;
use serde_json::{Map, Value, json};

use super::drawn::Drawn;
use super::pictures;
use super::pictures::{Size, numbers};
use super::trained::Trained;
use crate::error::{Error, Result};
use crate::experiment::device::{keep_caches, print_profile};
use crate::number::counted;
use crate::report::figures;
use crate::report::product::{self, Form};
use crate::report::samples_file::{self, Values};

/// An output directory, and the metadata written into each file.
pub(crate) struct Output<'a> {
    dir: &'a Path,
    facts: Vec<(&'static str, Value)>,
    written: Vec<String>,
}

impl<'a> Output<'a> {
    /// For the existing `dir`; `more` is metadata beside run, stage, training steps and version.
    pub fn new(dir: &'a Path, trained: &Trained, more: Vec<(&'static str, Value)>) -> Output<'a> {
        let mut facts = vec![
            ("run", json!(trained.run.display().to_string())),
            ("stage", json!(trained.stage.name())),
            ("training_steps", json!(trained.step)),
            ("version", json!(env!("CARGO_PKG_VERSION"))),
        ];
        facts.extend(more);
        Output {
            dir,
            facts,
            written: Vec::new(),
        }
    }

    /// The metadata as text entries for pictures and tensor files.
    fn texts(&self) -> Vec<(&'static str, String)> {
        let text = |value: &Value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_string)
        };
        self.facts
            .iter()
            .map(|(name, value)| (*name, text(value)))
            .collect()
    }

    /// Writes each of `images` [n, height, width, 3] to its own file in `folder`, named by `name`
    /// from its index; each image pixel becomes `zoom` × `zoom` pixels.
    pub fn each(
        &mut self,
        folder: &'static str,
        images: &[f32],
        size: Size,
        zoom: usize,
        name: impl Fn(usize) -> String,
    ) -> Result<()> {
        let to = self.dir.join(folder);
        let texts = self.texts();
        std::fs::create_dir_all(&to).map_err(Error::io(&to))?;
        let mut count = 0;
        for image in images.chunks_exact(numbers(size)) {
            let file = to.join(format!("{}.png", name(count)));
            pictures::each(image, size, zoom)
                .iter()
                .try_for_each(|picture| figures::save(&file, picture, &texts))?;
            count += 1;
        }
        self.written
            .push(format!("{folder}/ ({})", counted(count, "picture")));
        Ok(())
    }

    /// Writes a picture.
    pub fn picture(&mut self, name: &'static str, picture: &RgbImage) -> Result<()> {
        self.written.push(name.into());
        figures::save(&self.dir.join(name), picture, &self.texts())
    }

    /// Writes pictures as an animation.
    pub fn animation(&mut self, name: &'static str, frames: &[RgbImage]) -> Result<()> {
        self.written.push(name.into());
        figures::save_animation(&self.dir.join(name), frames, &self.texts())
    }

    /// Writes tensors: name, shape, values.
    pub fn tensors(
        &mut self,
        name: &'static str,
        tensors: &[(&str, Vec<usize>, Values)],
    ) -> Result<()> {
        self.written.push(name.into());
        samples_file::write(&self.dir.join(name), tensors, &self.texts())
    }

    /// Writes `samples.safetensors`: `codes`, `z0` if present, for image runs `images` [n, 3,
    /// height, width] in [−1, 1], and `more`.
    pub fn samples(
        &mut self,
        trained: &Trained,
        drawn: &Drawn,
        more: &[(&str, Vec<usize>, Values)],
    ) -> Result<()> {
        let config = &trained.config;
        let [h, w] = config.grid();
        let [height, width] = config.picture();
        let n = drawn.codes.len() / config.cells();
        // Sequences have no row dimension.
        let grid = if !config.is_of_images() && h == 1 {
            vec![n, w]
        } else {
            vec![n, h, w]
        };
        let mut tensors = vec![("codes", grid.clone(), Values::U32(&drawn.codes))];
        let images: Vec<f32>;
        if config.is_of_images() {
            images = nchw(&drawn.images, [height, width])
                .into_iter()
                .map(|v| v.clamp(-1.0, 1.0))
                .collect();
            let shape = vec![n, 3, height, width];
            tensors.push(("images", shape, Values::F32(&images)));
        }
        if !drawn.z0.is_empty() {
            let shape = [&grid[..], &[config.dim()]].concat();
            tensors.push(("z0", shape, Values::F32(&drawn.z0)));
        }
        tensors.extend_from_slice(more);
        self.tensors("samples.safetensors", &tensors)
    }

    /// Writes `summary.json` with `numbers`, and prints what was written.
    pub fn finish(
        mut self,
        trained: &Trained,
        seconds: f64,
        numbers: Map<String, Value>,
    ) -> Result<()> {
        let adapter = &trained.gpu.facts().name;
        let facts = self
            .facts
            .iter()
            .map(|(name, value)| ((*name).to_string(), value.clone()));
        let mut summary: Map<String, Value> = facts.collect();
        summary.extend(numbers);
        summary.extend([
            ("seconds".to_string(), json!(seconds)),
            ("adapter".to_string(), json!(adapter)),
        ]);
        let text = serde_json::to_string_pretty(&summary).expect("plain data");
        product::write(&self.dir.join("summary.json"), Form::Json, text.as_bytes())?;
        self.written.push("summary.json".into());
        say!(
            "{seconds:.1} s on {adapter}; wrote {} to {}",
            self.written.join(", "),
            self.dir.display()
        );
        keep_caches(&trained.gpu);
        print_profile(&trained.gpu);
        Ok(())
    }
}

/// Channels first, the file layout: flat [n, height, width, 3] → [n, 3, height, width].
pub(crate) fn nchw(images: &[f32], size: Size) -> Vec<f32> {
    let channel =
        |image: &[f32], c: usize| image.iter().skip(c).step_by(3).copied().collect::<Vec<_>>();
    images
        .chunks_exact(numbers(size))
        .flat_map(|image| (0..3).flat_map(|c| channel(image, c)))
        .collect()
}
