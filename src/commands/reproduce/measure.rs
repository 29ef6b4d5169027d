//! The evaluations of an image experiment; the result of each is kept separately.

use std::path::PathBuf;

use serde_json::json;

use super::evaluated::{Evaluated, point};
use super::model::Model;
use super::reproduction::{Amounts, Reproduction};
use super::verdicts::Steps;
use crate::error::Result;
use crate::evaluate::{EvaluateArgs, Evaluation, Metric, evaluate};
use crate::experiment::drawing::sampler_name;
use crate::experiment::run_dir;
use crate::models::sampler::Sampler;

/// Numbers of steps at which the quality of the samplers is measured.
const STEPS: [usize; 4] = [5, 10, 20, 50];

/// An evaluation: runs, metrics, number of samples, and the sampler with its steps.
struct Wanted {
    name: String,
    what: String,
    runs: Vec<String>,
    metrics: Vec<Metric>,
    count: usize,
    by: Option<(Sampler, usize)>,
}

impl Wanted {
    fn new(name: &str, what: &str, runs: &[String], metrics: &[Metric], count: usize) -> Wanted {
        let name = name.to_string();
        let what = what.to_string();
        Wanted {
            name,
            what,
            runs: runs.to_vec(),
            metrics: metrics.to_vec(),
            count,
            by: None,
        }
    }
}

impl Reproduction<'_> {
    /// Measures everything except quality against steps; returns the adapter too.
    pub fn measure(&mut self) -> Result<(Evaluated, String)> {
        let mut evaluated = Evaluated::default();
        let mut adapter = String::new();
        for wanted in self.wanted() {
            let evaluation = self.evaluation(&wanted)?;
            adapter.clone_from(&evaluation.adapter);
            evaluated.take(evaluation);
        }
        Ok((evaluated, adapter))
    }

    /// The evaluations of [`Reproduction::measure`]: the first seeds and the end-to-end model, then
    /// each further seed.
    fn wanted(&self) -> Vec<Wanted> {
        let Amounts {
            samples,
            end_to_end,
            ..
        } = self.amounts;
        let laws = [Metric::Reconstruction, Metric::Codes, Metric::Kl];
        let priors = Model::PRIORS.map(|model| model.run().to_string());
        let joint = [Model::EndToEnd.run().to_string()];
        let all = [&priors[..], &joint].concat();
        let mut wanted = vec![
            Wanted::new(
                "codes",
                "distributions of codes, KL at each position",
                &priors,
                &laws,
                samples,
            ),
            Wanted::new(
                "codes of joint",
                "the same for the model trained end to end",
                &joint,
                &laws,
                end_to_end,
            ),
            Wanted::new(
                "likelihoods",
                "NLL of masked patches",
                &all,
                &[Metric::Nll],
                1,
            ),
            Wanted::new(
                "bits",
                "bits per code of whole images",
                &priors,
                &[Metric::Likelihood],
                samples,
            ),
            Wanted::new("times", "seconds per sample", &all, &[Metric::Time], 1),
        ];
        wanted.extend(self.distances("distances", &all));
        for seed in 1..self.args.seeds() {
            let runs = Model::PRIORS.map(|model| model.run_of_seed(seed));
            let name = |of: &str| format!("{of} of seed {seed}");
            wanted.push(Wanted::new(
                &name("codes"),
                "the same for a further seed",
                &runs,
                &laws[1..],
                samples,
            ));
            wanted.push(Wanted::new(
                &name("likelihoods"),
                "NLL of masked patches",
                &runs,
                &[Metric::Nll],
                1,
            ));
            let what = "bits per code of whole images";
            wanted.push(Wanted::new(
                &name("bits"),
                what,
                &runs,
                &[Metric::Likelihood],
                samples,
            ));
            wanted.extend(self.distances(&name("distances"), &runs));
        }
        wanted
    }

    /// FID and KID, if there are weights of Inception-v3.
    fn distances(&self, name: &str, runs: &[String]) -> Option<Wanted> {
        let wanted = || {
            Wanted::new(
                name,
                "FID and KID",
                runs,
                &[Metric::Fid],
                self.amounts.samples,
            )
        };
        self.args.inception.is_some().then(wanted)
    }

    /// Measures the KL of a few steps, and of ancestral sampling at all of them.
    pub fn quality_against_steps(&mut self) -> Result<Steps> {
        let count = self.amounts.steps;
        let all = self.config.bridge.steps;
        let of = |sampler: Sampler| {
            STEPS
                .into_iter()
                .filter(|&steps| steps < all)
                .map(move |steps| (sampler, steps))
        };
        let few = of(Sampler::Dpmpp2m).chain(of(Sampler::Ddim { kappa: 0.0 }));
        let mut steps = Steps {
            samples: count,
            floor: 0.0,
            points: Vec::new(),
        };
        for (sampler, n) in few.chain([(Sampler::Ancestral, all)]) {
            let name = sampler_name(sampler);
            let title = format!("{name} {n} steps");
            let what = format!("{count} samples");
            let runs = [Model::Diffusion.run().to_string()];
            let plain = Wanted::new(&title, &what, &runs, &[Metric::Kl], count);
            let evaluation = self.evaluation(&Wanted {
                by: Some((sampler, n)),
                ..plain
            })?;
            for row in evaluation.results.kl.iter().flatten() {
                steps.points.push(point(name, n, row));
                (steps.samples, steps.floor) = (row.count, row.floor);
            }
        }
        Ok(steps)
    }

    /// Number of pipeline stages of both.
    pub fn evaluations(&self) -> usize {
        self.wanted().len()
            + 1
            + 2 * STEPS
                .iter()
                .filter(|&&steps| steps < self.config.bridge.steps)
                .count()
    }

    fn evaluation(&mut self, wanted: &Wanted) -> Result<Evaluation> {
        let Wanted {
            name,
            what,
            runs,
            metrics,
            count,
            by,
        } = wanted;
        let runs: Vec<PathBuf> = runs.iter().map(|run| self.pipeline.run(run)).collect();
        let args = self.args;
        let config = &self.config;
        let data = self.data;
        let effort = self.effort;
        let amounts = self.amounts;
        let by = by.map(|(sampler, steps)| (sampler_name(sampler), steps));
        let settings = json!({
            "data": data, "metrics": format!("{metrics:?}"), "count": count, "by": by, "nll": amounts.nll, "time": amounts.time,
            "inception": self.args.inception,
        });
        let from = run_dir::fingerprint(&runs, &settings)?;
        let paper = &mut self.paper;
        self.pipeline.keep(name, what, &from, &[], || {
            let held_out = Self::paper(paper, args, config, data, effort)?.held_out();
            let out = args.out.join("evaluation");
            std::fs::create_dir_all(&out).map_err(crate::error::Error::io(&out))?;
            evaluate(&EvaluateArgs {
                runs,
                data: data.to_path_buf(),
                reading: args.reading,
                metrics: metrics.to_vec(),
                count: Some(*count.min(&held_out)),
                sampler: wanted.by.map(|(sampler, _)| sampler),
                steps: wanted.by.map(|(_, steps)| steps),
                sharpen: None,
                nll: amounts.nll,
                inception: args.inception.clone(),
                reference: None,
                save_stats: None,
                time_budget: amounts.time,
                seed: config.seed,
                out,
                device: args.device.clone(),
            })
        })
    }
}
