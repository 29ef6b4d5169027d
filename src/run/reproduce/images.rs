//! The image experiments: four trainings, both priors looked at, the figures of sections 4.2 to 4.4 and appendix F.

use std::path::Path;

use image::RgbImage;
use serde_json::json;

use super::pipeline::{Pipeline, Training, Wanted, fingerprint};
use super::{ReproduceArgs, Which};
use crate::config::{Experiment, ImagesConfig, Stage};
use crate::error::{Error, Result};
use crate::run::images::evaluate::holes;
use crate::run::images::mask::MaskShape;
use crate::run::images::paper::{Effort, Paper};
use crate::run::images::{self, sources};
use crate::run::{figures, schedule};

/// Names of the runs, in the order of [`Stage::ALL`].
const RUNS: [&str; 4] = ["vqvae", "prior", "pixelcnn", "joint"];

/// The reproduction of an image experiment.
pub struct Reproduction<'a> {
    args: &'a ReproduceArgs,
    data: &'a Path,
    config: ImagesConfig,
    effort: Effort,
    pipeline: Pipeline,
    paper: Option<Paper>,
}

/// Reproduces section 4.2.
///
/// # Errors
/// Whatever the outside world does; see [`Error`].
pub fn run(args: &ReproduceArgs, data: &Path) -> Result<()> {
    let Experiment::Images(config) = Experiment::load(args.preset(), &args.sets)? else {
        return Err(Error::Config(format!("{} is no preset of images", args.preset())));
    };
    schedule::check_terminal(&config.bridge.build()?, false)?;
    let effort = if args.small { Effort::SMALL } else { Effort::FULL };
    let pipeline = Pipeline::new(&args.out, RUNS.len() + 4)?;
    let mut reproduction = Reproduction { args, data, config: *config, effort, pipeline, paper: None };
    let trainings = reproduction.train()?;
    reproduction.figures()?;
    eprintln!("{} trainings; {:.0} s in all", trainings.len(), reproduction.pipeline.seconds());
    Ok(())
}

impl Reproduction<'_> {
    fn train(&mut self) -> Result<Vec<Training>> {
        let mut trainings = Vec::new();
        for stage in Stage::ALL {
            let from = match stage {
                Stage::VqVae => None,
                Stage::Prior | Stage::PixelCnn => Some(self.pipeline.run("vqvae")),
                Stage::Joint => Some(self.pipeline.run("prior")),
            };
            let args = self.args.training(self.args.preset(), self.args.sets.clone(), Some(stage), from);
            let (config, steps) = (images::text_of(stage, &self.config), self.config.stage(stage).steps);
            let name = stage.name().to_string();
            trainings.push(self.pipeline.train(Wanted { name, args, config, steps, stored: images::stored })?);
            if let Stage::Prior | Stage::PixelCnn = stage {
                sources::builds_on(&self.pipeline.run(stage.name()), &self.pipeline.run("vqvae"))?;
            }
        }
        Ok(trainings)
    }

    /// The models and pictures, loaded when they are first wanted.
    fn paper<'p>(paper: &'p mut Option<Paper>, open: impl FnOnce() -> Result<Paper>) -> Result<&'p Paper> {
        let opened = match paper.take() {
            Some(paper) => paper,
            None => open()?,
        };
        Ok(paper.insert(opened))
    }

    /// Draws `files` with `draw`, unless they are there from the same models.
    fn draw(
        &mut self,
        name: &str,
        what: &str,
        files: &[String],
        draw: impl FnOnce(&Paper) -> Result<Vec<RgbImage>>,
    ) -> Result<()> {
        let runs = RUNS.map(|run| self.pipeline.run(run));
        let settings = json!({ "effort": format!("{:?}", self.effort), "data": self.data });
        let from = fingerprint(&runs, &settings)?;
        let (args, config, data, effort) = (self.args, &self.config, self.data, self.effort);
        let folder = args.out.join("runs");
        let paper = &mut self.paper;
        self.pipeline.keep(name, what, &from, files, || {
            let paper = Self::paper(paper, || Paper::open(&folder, data, config, effort, &args.device))?;
            let facts = [
                ("seed", config.seed.to_string()),
                ("preset", args.preset().to_string()),
                ("runs", folder.display().to_string()),
                ("version", env!("CARGO_PKG_VERSION").to_string()),
            ];
            for (file, picture) in files.iter().zip(draw(paper)?) {
                let path = args.out.join(file);
                std::fs::create_dir_all(path.parent().unwrap_or(&path)).map_err(Error::io(&path))?;
                figures::save(&path, &picture, &facts)?;
            }
            Ok(())
        })
    }

    /// All figures that need no evaluation; their files and captions.
    fn figures(&mut self) -> Result<Vec<Caption>> {
        let captions = captions(self.args.which, self.effort);
        let mut files = captions.iter().map(|(file, _)| file.as_str());
        let mut next = |count: usize| files.by_ref().take(count).map(String::from).collect::<Vec<_>>();
        let grid = self.config.vqvae.grid();
        let [centre, corner] = holes(grid);
        self.draw("samples", "drawing samples of both priors", &next(3), |paper| Ok(paper.samples()?.into()))?;
        self.draw("reconstructions", "drawing reconstructions", &next(1), |paper| Ok(vec![paper.reconstructions()?]))?;
        self.draw("conditional samples", "filling holes", &next(4), |paper| {
            Ok(vec![paper.conditional(&centre)?, paper.conditional(&corner)?, paper.halves()?, paper.classes()?])
        })?;
        let right = MaskShape::Right;
        self.draw("chains", "drawing chains from noise to pictures", &next(3), |paper| {
            Ok(vec![paper.chains(Some(&centre))?, paper.chains(None)?, paper.chains(Some(&right))?])
        })?;
        Ok(captions)
    }
}

/// A figure's file, and what it shows.
pub type Caption = (String, String);

/// Of all figures that need no evaluation, in the order in which they are drawn.
fn captions(which: Which, effort: Effort) -> Vec<Caption> {
    let Effort { samples, fillings, steps, resample } = effort;
    let cifar = which == Which::Cifar10;
    let filled = format!("our fillings by {steps} ancestral steps, {resample} passes over each level");
    let (more, kept) = if cifar { (14, 13) } else { (16, 15) };
    let beside = match cifar {
        true => "samples of the PixelCNN prior (left) and of the diffusion prior (right), others than in Figure 5",
        false => "more samples of the diffusion prior (right); the PixelCNN's (left) are ours to compare with",
    };
    let conditional = format!(
        "for each of three held-out pictures {fillings} independent fillings by the diffusion prior (above) and by the PixelCNN \
         (below); on the left what is known, on the right the VQ-VAE's reconstruction; {filled}"
    );
    let chain = |beside: &str| {
        format!(
            "what the decoder makes of z_t on the way from t = T/2 to 0, {beside}; {steps} ancestral steps from T to 0"
        )
    };
    [
        ("05-samples", format!("Figure 5: {samples} samples of each prior; ours by 20 steps of DPM++(2M), the nearest codes")),
        (&format!("{more}-samples"), format!("Figure {more}: {beside}")),
        ("end-to-end-samples", "Samples of the model whose VQ-VAE and prior were trained together".into()),
        (&format!("{kept}-reconstructions"), format!("Figure {kept}: held-out pictures above their reconstructions by the VQ-VAE")),
        ("08-centre", format!("Figure 8: conditional sampling with a hole in the middle: {conditional}")),
        ("09-top-left", format!("Figure 9: the same with the hole in the corner: {conditional}")),
        ("17-halves", format!("Figure 17: the right half sampled given the left one: the VQ-VAE's reconstruction, what is known, a sample of the diffusion prior, two of the PixelCNN; {filled}")),
        ("19-classes", format!("Figure 19: the right half sampled given the left one, a row for each class; the paper shows the PixelCNN's alone; {filled}")),
        ("06-chain-centre", format!("Figure 6: {}", chain("conditioned on what is around a hole in the middle"))),
        ("07-chain", format!("Figure 7: {}", chain("unconditional"))),
        ("18-chain-half", format!("Figure 18: {}", chain("conditioned on the left half"))),
    ]
    .map(|(name, caption)| {
        let numbered = name.starts_with(|c: char| c.is_ascii_digit());
        (format!("{}{name}.png", if numbered { "figure-" } else { "" }), caption + ".")
    })
    .into()
}
