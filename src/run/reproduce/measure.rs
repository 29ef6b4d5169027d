//! The evaluations of an image experiment: how much of each, kept one by one.

use std::path::PathBuf;

use serde_json::json;

use super::evaluated::{Evaluated, point};
use super::images::Reproduction;
use super::verdicts::Steps;
use crate::error::Result;
use crate::models::sampler::Sampler;
use crate::run::images::evaluate::{EvaluateArgs, Evaluation, Metric, NllSettings, evaluate};
use crate::run::run_dir;
use crate::run::sample::sampler_name;

/// Steps of the samplers whose quality is weighed against them.
const STEPS: [usize; 4] = [5, 10, 20, 50];

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Amounts {
    /// Samples of each prior, and encodings of held-out pictures: M of section 4.3.
    pub samples: usize,
    /// The same of the model trained end to end.
    pub end_to_end: usize,
    /// Samples of each point of quality against steps.
    pub steps: usize,
    /// Likelihoods.
    pub nll: NllSettings,
    /// Seconds that the time of one sampler may take, about.
    pub time: f64,
}

impl Amounts {
    /// With a GPU.
    pub const FULL: Amounts = Amounts {
        samples: 1000,
        end_to_end: 1000,
        steps: 512,
        nll: NllSettings { images: 64, fit: 16, samples: 32, steps: 50, resample: 2 },
        time: 20.0,
    };
    /// Without.
    pub const SMALL: Amounts = Amounts {
        samples: 1000,
        end_to_end: 256,
        steps: 64,
        nll: NllSettings { images: 16, fit: 8, samples: 8, steps: 25, resample: 2 },
        time: 8.0,
    };
}

/// An evaluation: of which runs, what, and of how many samples by which sampler in how many steps.
struct Wanted<'w> {
    name: &'w str,
    what: &'w str,
    runs: &'w [&'w str],
    metrics: &'w [Metric],
    count: usize,
    by: Option<(Sampler, usize)>,
}

impl Reproduction<'_> {
    /// Everything that is measured of the priors, but quality against steps.
    pub fn measure(&mut self) -> Result<(Evaluated, String)> {
        use Metric::{Codes, Fid, Kl, Nll, Reconstruction, Time};
        let Amounts { samples, end_to_end, .. } = self.amounts;
        let laws = [Reconstruction, Codes, Kl];
        let all = [
            ("codes", "laws of codes, KL at each position", &["prior", "pixelcnn"][..], &laws[..], samples),
            ("codes of joint", "the same of the model trained end to end", &["joint"], &laws, end_to_end),
            ("likelihoods", "NLL of masked patches", &["prior", "pixelcnn", "joint"], &[Nll], 1),
            ("times", "seconds a sample", &["prior", "pixelcnn", "joint"], &[Time], 1),
        ];
        let distances = ("distances", "FID and KID", &["prior", "pixelcnn", "joint"][..], &[Fid][..], samples);
        let distances = self.args.inception.is_some().then_some(distances);
        let (mut evaluated, mut adapter) = (Evaluated::default(), String::new());
        for (name, what, runs, metrics, count) in all.into_iter().chain(distances) {
            let evaluation = self.evaluation(&Wanted { name, what, runs, metrics, count, by: None })?;
            adapter.clone_from(&evaluation.adapter);
            evaluated.take(evaluation);
        }
        Ok((evaluated, adapter))
    }

    /// The KL of few steps beside that of all of them.
    pub fn quality_against_steps(&mut self) -> Result<Steps> {
        let (count, all) = (self.amounts.steps, self.config.bridge.steps);
        let of = |sampler: Sampler| STEPS.into_iter().filter(|&steps| steps < all).map(move |steps| (sampler, steps));
        let few = of(Sampler::Dpmpp2m).chain(of(Sampler::Ddim { kappa: 0.0 }));
        let mut steps = Steps { samples: count, floor: 0.0, points: Vec::new() };
        for (sampler, n) in few.chain([(Sampler::Ancestral, all)]) {
            let (name, what) = (sampler_name(sampler), format!("{count} samples"));
            let (runs, metrics, by) = (&["prior"][..], &[Metric::Kl][..], Some((sampler, n)));
            let title = format!("{name} {n} steps");
            let evaluation = self.evaluation(&Wanted { name: &title, what: &what, runs, metrics, count, by })?;
            for row in evaluation.kl.iter().flatten() {
                steps.points.push(point(name, n, row));
                (steps.samples, steps.floor) = (row.count, row.floor);
            }
        }
        Ok(steps)
    }

    /// Stages of both.
    pub fn evaluations(&self) -> usize {
        let distances = usize::from(self.args.inception.is_some());
        4 + distances + 1 + 2 * STEPS.iter().filter(|&&steps| steps < self.config.bridge.steps).count()
    }

    fn evaluation(&mut self, wanted: &Wanted) -> Result<Evaluation> {
        let Wanted { name, what, runs, metrics, count, by } = wanted;
        let runs: Vec<PathBuf> = runs.iter().map(|run| self.pipeline.run(run)).collect();
        let (args, config, data, effort, amounts) = (self.args, &self.config, self.data, self.effort, self.amounts);
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
