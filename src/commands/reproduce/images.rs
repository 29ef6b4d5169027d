//! The image experiments: the trainings of [`plan`], the evaluation of all priors, and the figures
//! of sections 4.2 to 4.4 and appendix F.

use std::path::Path;

use image::RgbImage;
use serde_json::json;

use super::image_figures::FIGURES;
use super::images_report::{self, Findings};
use super::paper::{Effort, Paper};
use super::pipeline::{Pipeline, Wanted};
use super::plan::{self, Planned, RUNS, VQVAE};
use super::report::duration;
use super::reproduction::{Amounts, Reproduction};
use super::training::Training;
use super::{ReproduceArgs, at_quality, curves, evaluated, lines};
use crate::config::{GridConfig, Stage, Stored};
use crate::error::Result;
use crate::evaluate::sentences;
use crate::experiment::stages::sources;
use crate::experiment::{run_dir, terminal};
use crate::report::figures;

/// Figures that need an evaluation or the logs.
const MAPS: &str = "figure-04-kl.png";
const STEPS: &str = "steps.png";
const TRAINING: &str = "training.png";

/// Reproduces section 4.2.
///
/// # Errors
/// Any error of training, evaluating or writing files; see [`Error`](crate::error::Error).
pub fn run(args: &ReproduceArgs, data: &Path) -> Result<()> {
    let config = plan::load(args.preset(), &args.sets)?;
    terminal::check_terminal(&config.bridge.build()?, false)?;
    let (effort, amounts) = if args.small {
        (Effort::SMALL, Amounts::SMALL)
    } else {
        (Effort::FULL, Amounts::FULL)
    };
    let amounts = args.amounts(amounts);
    let plan = plan::of(args)?;
    let pipeline = Pipeline::new(&args.out)?;
    let mut reproduction = Reproduction {
        args,
        data,
        config,
        effort,
        amounts,
        pipeline,
        paper: None,
    };
    plan::announce(&plan);
    reproduction.pipeline.stages = plan.len() + FIGURES + reproduction.evaluations() + 1;
    reproduction.all(plan)
}

impl Reproduction<'_> {
    fn all(&mut self, plan: Vec<Planned>) -> Result<()> {
        let trainings = self.train(plan)?;
        let mut captions = self.figures()?;
        let (evaluated, adapter) = self.measure()?;
        let steps = self.quality_against_steps()?;
        self.pipeline
            .next("report", "writing report.md and report.json");
        let out = &self.args.out;
        let facts = self.facts();
        if let Some(maps) = evaluated.maps() {
            figures::save(&out.join(MAPS), &maps, &facts)?;
        }
        figures::save(&out.join(STEPS), &evaluated::curve(&steps), &facts)?;
        figures::save(
            &out.join(TRAINING),
            &curves::draw(&out.join("runs"))?,
            &facts,
        )?;
        captions.extend(
            [
                (MAPS, "Figure 4: KL between the code distributions of data and samples at each position, and between two draws of the data; dark is low."),
                (STEPS, "Quality of the diffusion prior against the number of sampling steps."),
                (TRAINING, "Training curves."),
            ]
            .map(|(file, caption)| (file.to_string(), caption.to_string())),
        );
        // The paper's figures by number, then ours.
        captions.sort_by_key(|(file, _)| (!file.starts_with("figure-"), file.clone()));
        let findings = Findings {
            args: self.args,
            config: &self.config,
            at_quality: at_quality::rows(&evaluated),
            adapter,
            trainings: &trainings,
            lines: lines::of(&evaluated),
            missing: sentences(evaluated.missing.iter()),
            no_fid: crate::evaluate::features::NO_WEIGHTS.into(),
            kl: evaluated.averaged_kl(),
            steps,
            more: evaluated.more(),
            captions,
        };
        images_report::of(&findings).write(out)?;
        note!(
            "{}: {} in all",
            out.join("report.md").display(),
            duration(self.pipeline.seconds())
        );
        Ok(())
    }

    fn train(&mut self, plan: Vec<Planned>) -> Result<Vec<Training>> {
        let mut trainings = Vec::new();
        for planned in plan {
            let Planned {
                name,
                stage,
                preset,
                sets,
                config,
                from,
                work,
            } = planned;
            let from = from.map(|run| self.pipeline.run(run));
            let args = self.args.training(&preset, sets, Some(stage), from);
            let config = Stored::Grid(stage, Box::new(config));
            let training = self.pipeline.train(Wanted {
                name: name.clone(),
                args,
                config,
            })?;
            trainings.push(Training {
                work: Some(work),
                ..training
            });
            if let Stage::Prior | Stage::PixelCnn = stage {
                sources::builds_on(&self.pipeline.run(&name), &self.pipeline.run(VQVAE))?;
            }
        }
        Ok(trainings)
    }

    /// The models and images, loaded on first use.
    pub fn paper<'p>(
        paper: &'p mut Option<Paper>,
        args: &ReproduceArgs,
        config: &GridConfig,
        data: &Path,
        effort: Effort,
    ) -> Result<&'p Paper> {
        let opened = match paper.take() {
            Some(paper) => paper,
            None => Paper::open(
                &args.out.join("runs"),
                (data, &args.reading),
                config,
                effort,
                &args.device,
            )?,
        };
        Ok(paper.insert(opened))
    }

    /// Metadata of the figures: where they come from.
    fn facts(&self) -> [(&'static str, String); 4] {
        [
            ("seed", self.config.seed.to_string()),
            ("preset", self.args.preset().to_string()),
            ("runs", self.args.out.join("runs").display().to_string()),
            ("version", env!("CARGO_PKG_VERSION").to_string()),
        ]
    }

    /// Draws `files` with `draw`, unless they exist already from the same models.
    pub fn draw(
        &mut self,
        name: &str,
        what: &str,
        files: &[String],
        draw: impl FnOnce(&Paper) -> Result<Vec<RgbImage>>,
    ) -> Result<()> {
        let runs = RUNS.map(|run| self.pipeline.run(run));
        let settings = json!({ "effort": format!("{:?}", self.effort), "data": self.data });
        let from = run_dir::fingerprint(&runs, &settings)?;
        let args = self.args;
        let config = &self.config;
        let data = self.data;
        let effort = self.effort;
        let facts = self.facts();
        let paper = &mut self.paper;
        self.pipeline.keep(name, what, &from, files, || {
            let paper = Self::paper(paper, args, config, data, effort)?;
            for (file, picture) in files.iter().zip(draw(paper)?) {
                figures::save(&args.out.join(file), &picture, &facts)?;
            }
            Ok(())
        })
    }
}
