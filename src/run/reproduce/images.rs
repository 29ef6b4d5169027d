//! The image experiments: four trainings, both priors looked at, the figures of sections 4.2 to 4.4 and appendix F.

use std::path::Path;

use image::RgbImage;
use serde_json::json;

use super::pipeline::{Pipeline, Training, Wanted, fingerprint};
use super::{ReproduceArgs, Which};
use crate::config::{Experiment, ImagesConfig, Stage};
use crate::error::{Error, Result};
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
        files: &[&str],
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

    fn figures(&mut self) -> Result<()> {
        let cifar = self.args.which == Which::Cifar10;
        let more = if cifar { "figure-14-samples.png" } else { "figure-16-samples.png" };
        let files = ["figure-05-samples.png", more, "end-to-end-samples.png"];
        self.draw("samples", "drawing samples of both priors", &files, |paper| Ok(paper.samples()?.into()))?;
        let kept = if cifar { "figure-13-reconstructions.png" } else { "figure-15-reconstructions.png" };
        let one = |picture: Result<RgbImage>| Ok(vec![picture?]);
        self.draw("reconstructions", "drawing reconstructions", &[kept], |paper| one(paper.reconstructions()))?;
        let grid = self.config.vqvae.grid();
        let files = ["figure-08-centre.png", "figure-09-top-left.png", "figure-17-halves.png", "figure-19-classes.png"];
        self.draw("conditional samples", "filling holes", &files, |paper| {
            let [centre, corner] = holes(grid);
            Ok(vec![paper.conditional(&centre)?, paper.conditional(&corner)?, paper.halves()?, paper.classes()?])
        })?;
        let files = ["figure-06-chain-centre.png", "figure-07-chain.png", "figure-18-chain-half.png"];
        self.draw("chains", "drawing chains from noise to pictures", &files, |paper| {
            let [centre, _] = holes(grid);
            Ok(vec![paper.chains(Some(&centre))?, paper.chains(None)?, paper.chains(Some(&MaskShape::Right))?])
        })
    }
}

/// The paper's holes, 9 × 9 of 21 × 21 cells in the middle and in the corner, on a grid of another size.
fn holes(grid: usize) -> [MaskShape; 2] {
    let side = (9 * grid + 10) / 21;
    [MaskShape::Centre(side.max(1)), MaskShape::TopLeft(side.max(1))]
}
