//! The runs of an image experiment in training order: preset, seed, number of steps and cost.

use super::ReproduceArgs;
use super::model::Model;
use super::report::{GIGA, TERA, scaled};
use super::training::Work;
use crate::config::{Experiment, GridConfig, Stage};
use crate::error::{Error, Result};
use crate::number::thousands;

/// The run of the VQ-VAE that all priors build on.
pub const VQVAE: &str = "vqvae";
/// Names of the runs of the first seed.
pub const RUNS: [&str; 5] = [VQVAE, "prior", "prior-paper", "pixelcnn", "joint"];
/// Maximum number of steps from a budget.
const MOST_STEPS: f64 = 1e12;

/// A required run.
pub struct Planned {
    /// Its name in `runs/`.
    pub name: String,
    /// The stage to train.
    pub stage: Stage,
    /// Its preset.
    pub preset: String,
    /// `key.path=value` settings that override the preset.
    pub sets: Vec<String>,
    /// The resulting configuration.
    pub config: GridConfig,
    /// The run that it builds on.
    pub from: Option<&'static str>,
    /// Its cost.
    pub work: Work,
}

/// The runs of `args`: the VQ-VAE, the priors of each seed, the end-to-end model.
///
/// # Errors
/// [`Error::Config`] for presets and overrides, [`Error::Usage`] for a budget or seeds that do not
/// fit.
pub fn of(args: &ReproduceArgs) -> Result<Vec<Planned>> {
    let mut plan = vec![Planned::new(args, VQVAE, Stage::VqVae)?];
    for seed in 0..args.seeds() {
        for model in Model::PRIORS {
            plan.push(Planned::of_prior(args, model, seed)?);
        }
    }
    plan.push(Planned {
        from: Some(Model::Diffusion.run()),
        ..Planned::new(args, Model::EndToEnd.run(), Stage::Joint)?
    });
    Ok(plan)
}

/// Tells the user what will be trained.
pub fn announce(plan: &[Planned]) {
    plan.iter().for_each(|planned| note!("{}", planned.line()));
}

/// The configuration of an image preset.
///
/// # Errors
/// [`Error::Config`].
pub fn load(preset: &str, sets: &[String]) -> Result<GridConfig> {
    match Experiment::load(preset, sets)? {
        Experiment::Grid(config) => Ok(*config),
        Experiment::Toy(_) => Err(Error::Config(format!(
            "{preset} is not a preset for images"
        ))),
    }
}

impl Planned {
    fn new(args: &ReproduceArgs, name: &str, stage: Stage) -> Result<Planned> {
        let preset = args.preset().to_string();
        let sets = args.sets.clone();
        let config = load(&preset, &sets)?;
        let work = Work::of(&config, stage)?;
        Ok(Planned {
            name: name.into(),
            stage,
            preset,
            sets,
            config,
            from: None,
            work,
        })
    }

    /// The prior `model` of seed number `seed`, counted from 0.
    fn of_prior(args: &ReproduceArgs, model: Model, seed: u64) -> Result<Planned> {
        let stage = if model == Model::PixelCnn {
            Stage::PixelCnn
        } else {
            Stage::Prior
        };
        let as_in_paper = model == Model::PaperDiffusion;
        let preset = if as_in_paper {
            format!("{}-paper", args.preset())
        } else {
            args.preset().to_string()
        };
        let name = model.run_of_seed(seed);
        let mut sets = args.sets.clone();
        let mut config = load(&preset, &sets)?;
        let work = Work::of(&config, stage)?;
        if seed > 0 {
            sets.push(format!("seed={}", further(config.seed, seed)?));
        }
        if let Some(budget) = args.budget {
            sets.push(set_steps(
                budget,
                &name,
                stage,
                &args.sets,
                work.flop_a_step,
            )?);
        }
        config = load(&preset, &sets)?;
        let flop = work.flop_a_step * config.stage(stage).steps as f64;
        let work = Work { flop, ..work };
        Ok(Planned {
            name,
            stage,
            preset,
            sets,
            config,
            from: Some(VQVAE),
            work,
        })
    }

    /// Describes it in one line.
    fn line(&self) -> String {
        let Work {
            parameters,
            batch,
            flop_a_step,
            flop,
        } = &self.work;
        let steps = self.config.stage(self.stage).steps;
        format!(
            "{}: {} parameters, {steps} steps × {batch} images, {} GFLOP per step, {} TFLOP in all",
            self.name,
            thousands(*parameters),
            scaled(*flop_a_step, GIGA),
            scaled(*flop, TERA)
        )
    }
}

/// The seed `first + number`.
fn further(first: u64, number: u64) -> Result<u64> {
    let seed = first
        .checked_add(number)
        .filter(|seed| i64::try_from(*seed).is_ok());
    seed.ok_or_else(|| {
        Error::Usage(format!(
            "seed = {first} leaves no room for another seed; set a smaller one"
        ))
    })
}

/// `key.path=value` that sets the steps of `stage` to what `budget` TFLOP allow.
fn set_steps(
    budget: f64,
    name: &str,
    stage: Stage,
    sets: &[String],
    flop_a_step: f64,
) -> Result<String> {
    let key = format!("stages.{}.steps", stage.name());
    if sets
        .iter()
        .any(|set| set.split('=').next().map(str::trim) == Some(key.as_str()))
    {
        let what =
            format!("--budget sets the number of steps of {name}; omit --set {key} or --budget");
        return Err(Error::Usage(what));
    }
    let steps = (budget * TERA / flop_a_step).round();
    if steps < 1.0 {
        let step = scaled(flop_a_step, TERA);
        return Err(Error::Usage(format!(
            "--budget {budget} is too small for one step of {name}, which takes {step} TFLOP"
        )));
    }
    if steps.is_nan() || steps > MOST_STEPS {
        return Err(Error::Usage(format!(
            "--budget {budget:e} is over {MOST_STEPS:e} steps of {name}"
        )));
    }
    Ok(format!("{key}={steps:.0}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_becomes_steps() {
        let steps = |budget: f64| set_steps(budget, "prior", Stage::Prior, &[], 2e12);
        assert_eq!(steps(21.0).expect("eleven"), "stages.prior.steps=11");
        for (budget, part) in [
            (
                0.9,
                "--budget 0.9 is too small for one step of prior, which takes 2.0 TFLOP",
            ),
            (1e300, "is over"),
        ] {
            let error = steps(budget).expect_err("no number of steps").to_string();
            assert!(error.contains(part), "{error}");
        }
        let sets = ["seed=1".into(), " stages.prior.steps = 3".into()];
        let error = set_steps(21.0, "prior", Stage::Prior, &sets, 2e12)
            .expect_err("said twice")
            .to_string();
        assert!(error.contains("omit --set stages.prior.steps"), "{error}");
        assert!(set_steps(21.0, "pixelcnn", Stage::PixelCnn, &sets, 2e12).is_ok());
    }

    #[test]
    fn seeds_follow_each_other() {
        assert_eq!(further(7, 2).expect("there is room"), 9);
        assert!(further(i64::MAX as u64, 1).is_err());
    }
}
