//! What the commands on a trained image run write: pictures, tensors, `summary.json`, each with what made it.

use std::path::Path;

use image::RgbImage;
use serde_json::{Map, Value, json};

use super::trained::Trained;
use crate::error::{Error, Result};
use crate::run::samples_file::{self, Values};
use crate::run::{figures, keep_pipelines, print_profile, run_dir};

/// A directory for results, and the facts that go into each file.
pub(super) struct Output<'a> {
    dir: &'a Path,
    facts: Vec<(&'static str, String)>,
    written: Vec<&'static str>,
}

impl<'a> Output<'a> {
    /// Creates `dir`; `more` stands beside run, stage, training steps and version.
    pub fn new(dir: &'a Path, trained: &Trained, more: Vec<(&'static str, String)>) -> Result<Output<'a>> {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        let mut facts = vec![
            ("run", trained.run.display().to_string()),
            ("stage", trained.stage.name().to_string()),
            ("training_steps", trained.step.to_string()),
            ("version", env!("CARGO_PKG_VERSION").to_string()),
        ];
        facts.extend(more);
        Ok(Output { dir, facts, written: Vec::new() })
    }

    /// Writes a picture.
    pub fn picture(&mut self, name: &'static str, picture: &RgbImage) -> Result<()> {
        self.written.push(name);
        figures::save(&self.dir.join(name), picture, &self.facts)
    }

    /// Writes pictures as an animation.
    pub fn animation(&mut self, name: &'static str, frames: &[RgbImage]) -> Result<()> {
        self.written.push(name);
        figures::save_animation(&self.dir.join(name), frames, &self.facts)
    }

    /// Writes tensors: name, shape, values.
    pub fn tensors(&mut self, name: &'static str, tensors: &[(&str, Vec<usize>, Values)]) -> Result<()> {
        self.written.push(name);
        samples_file::write(&self.dir.join(name), tensors, &self.facts)
    }

    /// Writes `summary.json` with `numbers`, and says what was written.
    pub fn finish(mut self, trained: &Trained, seconds: f64, numbers: Map<String, Value>) -> Result<()> {
        let adapter = &trained.gpu.facts().name;
        let mut summary: Map<String, Value> =
            self.facts.iter().map(|(name, text)| ((*name).to_string(), json!(text))).collect();
        summary.extend(numbers);
        summary.extend([("seconds".to_string(), json!(seconds)), ("adapter".to_string(), json!(adapter))]);
        let text = serde_json::to_string_pretty(&summary).expect("plain data");
        run_dir::write(&self.dir.join("summary.json"), text.as_bytes())?;
        self.written.push("summary.json");
        println!("{seconds:.1} s on {adapter}; wrote {} to {}", self.written.join(", "), self.dir.display());
        keep_pipelines(&trained.gpu);
        print_profile(&trained.gpu);
        Ok(())
    }
}

/// Channels first, as files have them: flat [n, size, size, 3] → [n, 3, size, size].
pub(super) fn nchw(images: &[f32], size: usize) -> Vec<f32> {
    let channel = |image: &[f32], c: usize| image.iter().skip(c).step_by(3).copied().collect::<Vec<_>>();
    images.chunks_exact(size * size * 3).flat_map(|image| (0..3).flat_map(|c| channel(image, c))).collect()
}
