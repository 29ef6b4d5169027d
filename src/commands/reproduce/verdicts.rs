//! Conclusions of the report in sentences: which prior is closer to the data at which training
//! cost, and what sampling with few steps costs.

use serde::{Deserialize, Serialize};

use super::model::Model;
use super::report::{TERA, duration, scaled, spread};
use super::training::Training;

/// KL of code histograms at each position, averaged, in nats; means over the seeds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kl {
    /// Number of encodings, and of samples.
    pub samples: usize,
    /// KL of the diffusion prior.
    pub diffusion: f64,
    /// KL of the diffusion prior as in the paper.
    pub paper_diffusion: f64,
    /// KL of the PixelCNN.
    pub pixelcnn: f64,
    /// KL between two draws of the data.
    pub floor: f64,
    /// KL of each seed, in the order of [`Model::PRIORS`].
    pub by_seed: [Vec<f64>; 3],
}

impl Kl {
    /// Averages the values of each seed, in the order of [`Model::PRIORS`]; `None` if a prior has
    /// none.
    pub fn new(samples: usize, floor: f64, by_seed: [Vec<f64>; 3]) -> Option<Kl> {
        if by_seed.iter().any(Vec::is_empty) {
            return None;
        }
        let [diffusion, paper_diffusion, pixelcnn] =
            [0, 1, 2].map(|i: usize| by_seed[i].iter().sum::<f64>() / by_seed[i].len() as f64);
        Some(Kl {
            samples,
            diffusion,
            paper_diffusion,
            pixelcnn,
            floor,
            by_seed,
        })
    }

    /// The KL of each seed of a prior.
    fn of(&self, model: Model) -> &[f64] {
        let place = Model::PRIORS.iter().position(|prior| *prior == model);
        place.map_or(&[], |place| self.by_seed[place].as_slice())
    }
}

/// A sampler at a number of steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Its name on the command line.
    pub sampler: String,
    /// Its steps.
    pub steps: usize,
    /// Averaged KL, nats.
    pub kl: f64,
    /// Wall seconds per sample, including decoding.
    pub seconds: f64,
}

/// Quality against steps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Steps {
    /// Number of encodings, and of samples, per point.
    pub samples: usize,
    /// KL between two draws of the data of that size.
    pub floor: f64,
    /// Samplers and their steps.
    pub points: Vec<Point>,
}

/// Largest relative difference at which the KL of few steps counts as that of all steps.
const NEAR: f64 = 0.05;
/// Training FLOPs count as equal up to this ratio.
const EQUAL: f64 = 1.05;

/// `a / b`, or 0 if `b` is 0 (with a single code all KLs are 0).
fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

/// Compares how close the diffusion prior `model` and the PixelCNN are to the data, and what both
/// trainings cost.
pub fn priors(kl: &Kl, model: Model, diffusion: &Training, pixelcnn: &Training) -> String {
    let Kl { samples, floor, .. } = kl;
    let said = model.said();
    let ours = kl.of(model);
    let theirs = kl.of(Model::PixelCnn);
    let seeds = if ours.len() > 1 {
        format!(" (± over {} seeds)", ours.len())
    } else {
        String::new()
    };
    format!(
        "The averaged KL of {said} is {} nats and that of the PixelCNN {}{seeds}; {samples} encodings against {samples} \
         samples, two draws of the data are {floor:.3} apart. The KL of {said} is {}, {}.",
        spread(ours, 3),
        spread(theirs, 3),
        nearer(ours, theirs),
        costs(said, diffusion, pixelcnn),
    )
}

/// Compares the mean of `ours` with that of `theirs`.
fn nearer(ours: &[f64], theirs: &[f64]) -> String {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let ours_mean = mean(ours);
    let theirs_mean = mean(theirs);
    let gap = (ours_mean - theirs_mean).abs();
    let share = 100.0 * ratio(gap, theirs_mean);
    if ours_mean <= theirs_mean {
        format!("at most the PixelCNN's, {gap:.3} ({share:.1} %) below it")
    } else {
        format!("**above** the PixelCNN's by {gap:.3} ({share:.1} %)")
    }
}

/// FLOPs and wall time of both trainings.
fn costs(said: &str, diffusion: &Training, pixelcnn: &Training) -> String {
    let flop = diffusion
        .work
        .as_ref()
        .zip(pixelcnn.work.as_ref())
        .map(|(a, b)| (a.flop, b.flop));
    let arithmetic = flop.map_or_else(
        || "with unknown training FLOPs".to_string(),
        |(a, b)| {
            let times = ratio(a.max(b), a.min(b));
            let both = format!("{} and {} TFLOP", scaled(a, TERA), scaled(b, TERA));
            let longer = if a > b { said } else { "the PixelCNN" };
            if times <= EQUAL {
                format!("at equal training FLOPs ({both})")
            } else {
                format!(
                    "but {longer} had {times:.1} times the other's training FLOPs ({both}), so the training was unequal"
                )
            }
        },
    );
    let seconds = diffusion.seconds.zip(pixelcnn.seconds);
    let wall = seconds.map_or_else(
        || "wall times are not in their logs".to_string(),
        |(a, b)| format!("wall times were {} and {}", duration(a), duration(b)),
    );
    format!("{arithmetic}; {wall}")
}

/// Compares quality and speed of DPM++(2M) with few steps and ancestral sampling with all steps.
pub fn few_steps(steps: &Steps) -> Option<String> {
    let most = |name: &str| {
        steps
            .points
            .iter()
            .filter(|p| p.sampler == name)
            .max_by_key(|p| p.steps)
    };
    let all = most("ancestral")?;
    let few = steps
        .points
        .iter()
        .filter(|p| p.sampler == "dpmpp2m")
        .min_by_key(|p| p.steps.abs_diff(20))?;
    let more = ratio(few.kl - all.kl, all.kl);
    let word = if more.abs() <= NEAR {
        "within 5 % of it"
    } else if more < 0.0 {
        "below it"
    } else {
        "**more than 5 % above it**"
    };
    Some(format!(
        "DPM++(2M) at {} steps has an averaged KL of {:.3} nats, ancestral sampling at all {} steps {:.3}: {word} ({:+.1} %; \
         {} samples each, floor {:.3}). It is × {:.0} faster: {:.4} s per sample against {:.3}. The paper expects {}.",
        few.steps,
        few.kl,
        all.steps,
        all.kl,
        100.0 * more,
        steps.samples,
        steps.floor,
        all.seconds / few.seconds,
        few.seconds,
        all.seconds,
        crate::commands::reproduce::published::SPEED_UP,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::reproduce::training::Work;

    fn training(seconds: Option<f64>, flop: Option<f64>) -> Training {
        let work = flop.map(|flop| Work {
            parameters: 1,
            batch: 2,
            flop_a_step: flop / 10.0,
            flop,
        });
        Training {
            name: "a run".into(),
            steps: 10,
            seconds,
            work,
        }
    }

    #[test]
    fn the_nearer_prior_is_named_with_what_both_cost() {
        let kl = Kl::new(1000, 0.4, [vec![0.7], vec![1.0], vec![0.8]]).expect("all are there");
        let minutes = Some(600.0);
        let flop = Some(50.25e12);
        let said = priors(
            &kl,
            Model::Diffusion,
            &training(minutes, flop),
            &training(Some(660.0), Some(51.0e12)),
        );
        for part in [
            "0.700",
            "0.800",
            "0.400",
            "0.100 (12.5 %) below",
            "10 min and 11 min",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(
            said.contains("at equal training FLOPs (50.2 and 51.0 TFLOP)"),
            "{said}"
        );
        let said = priors(
            &kl,
            Model::PaperDiffusion,
            &training(minutes, flop),
            &training(None, Some(16.75e12)),
        );
        for part in [
            "the diffusion prior as in the paper is 1.000",
            "**above** the PixelCNN's by 0.200 (25.0 %)",
            "the diffusion prior as in the paper had 3.0 times the other's training FLOPs (50.2 and 16.8 TFLOP)",
            "not in their logs",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let said = priors(
            &kl,
            Model::Diffusion,
            &training(minutes, None),
            &training(minutes, flop),
        );
        assert!(said.contains("unknown training FLOPs"), "{said}");
    }

    #[test]
    fn of_several_seeds_the_mean_is_weighed() {
        let kl = Kl::new(8, 0.1, [vec![0.3, 0.5], vec![1.0, 1.0], vec![0.5, 0.7]])
            .expect("all are there");
        assert_eq!((kl.diffusion, kl.pixelcnn), (0.4, 0.6));
        let said = priors(
            &kl,
            Model::Diffusion,
            &training(None, None),
            &training(None, None),
        );
        for part in [
            "0.400 ± 0.141",
            "0.600 ± 0.141 (± over 2 seeds)",
            "0.200 (33.3 %) below",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(Kl::new(8, 0.1, [vec![0.3], vec![], vec![0.5]]).is_none());
    }

    #[test]
    fn few_steps_are_weighed_against_all() {
        let point = |sampler: &str, steps, kl, seconds| Point {
            sampler: sampler.into(),
            steps,
            kl,
            seconds,
        };
        let mut steps = Steps {
            samples: 64,
            floor: 1.5,
            points: vec![
                point("dpmpp2m", 10, 2.5, 0.1),
                point("dpmpp2m", 20, 2.06, 0.2),
                point("ddim", 20, 9.0, 0.2),
                point("ancestral", 1000, 2.0, 10.0),
            ],
        };
        let said = few_steps(&steps).expect("both are there");
        for part in [
            "at 20 steps",
            "2.060",
            "all 1000 steps 2.000",
            "within 5 %",
            "+3.0 %",
            "× 50 faster",
            "64 samples",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        steps.points[1].kl = 2.2;
        assert!(few_steps(&steps).is_some_and(|said| said.contains("**more than 5 % above it**")));
        steps.points.iter_mut().for_each(|point| point.kl = 0.0);
        assert!(
            few_steps(&steps).is_some_and(|said| said.contains("+0.0 %")),
            "one code has only one distribution"
        );
        steps.points.pop();
        assert_eq!(few_steps(&steps), None);
    }
}
