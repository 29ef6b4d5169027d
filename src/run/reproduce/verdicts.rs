//! What the report says in sentences: which prior is nearer to the data for its training, and what few steps cost.

use serde::{Deserialize, Serialize};

use super::pipeline::Training;
use super::report::duration;

/// KL of code histograms at each position, averaged, in nats.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kl {
    /// Encodings and samples, each.
    pub samples: usize,
    /// Of the diffusion prior.
    pub diffusion: f64,
    /// Of the PixelCNN.
    pub pixelcnn: f64,
    /// Between two draws of the data.
    pub floor: f64,
}

/// A sampler at so many steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// As on the command line.
    pub sampler: String,
    /// Its steps.
    pub steps: usize,
    /// Averaged KL, nats.
    pub kl: f64,
    /// Wall seconds of sampling, a sample, decoding included.
    pub seconds: f64,
}

/// Quality against steps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Steps {
    /// Encodings and samples of each point.
    pub samples: usize,
    /// KL between two draws of the data, of so many each.
    pub floor: f64,
    /// Samplers and their steps.
    pub points: Vec<Point>,
}

/// Most by which the KL of few steps may be above that of all.
const NEAR: f64 = 0.05;
/// Trainings whose times differ by no more are of equal time.
const EQUAL: f64 = 1.25;

/// `a / b` where no law has a spread and both are 0 too.
fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

/// Whether the diffusion prior is as near to the data as a PixelCNN trained for as long, or by how much not.
pub fn priors(kl: &Kl, diffusion: &Training, pixelcnn: &Training) -> String {
    let Kl { samples, floor, .. } = kl;
    let (ours, theirs) = (kl.diffusion, kl.pixelcnn);
    let gap = (ours - theirs).abs();
    let share = 100.0 * ratio(gap, theirs);
    let word = match ours <= theirs {
        true => format!("at most the PixelCNN's, {gap:.3} ({share:.1} %) below it"),
        false => format!("**above** the PixelCNN's by {gap:.3} ({share:.1} %)"),
    };
    let times = match (diffusion.seconds, pixelcnn.seconds) {
        (Some(a), Some(b)) => {
            let times = ratio(a.max(b), a.min(b));
            let longer = if a > b { "the diffusion prior" } else { "the PixelCNN" };
            let fair = match times <= EQUAL {
                true => "about the same wall time".to_string(),
                false => format!(
                    "{longer} had {times:.1} times the other's wall time, so the two are not trained equally long"
                ),
            };
            format!("the diffusion prior was trained {}, the PixelCNN {}: {fair}", duration(a), duration(b))
        }
        _ => "how long the two were trained is not in their logs".into(),
    };
    format!(
        "The diffusion prior's averaged KL is {ours:.3} nats and the PixelCNN's {theirs:.3} ({samples} encodings against {samples} \
         samples; two draws of the data are {floor:.3} apart): ours is {word}. Of wall time {times}."
    )
}

/// What few steps of DPM++(2M) lose against all steps of ancestral sampling, and what they gain.
pub fn few_steps(steps: &Steps) -> Option<String> {
    let most = |name: &str| steps.points.iter().filter(|p| p.sampler == name).max_by_key(|p| p.steps);
    let all = most("ancestral")?;
    let few = steps.points.iter().filter(|p| p.sampler == "dpmpp2m").min_by_key(|p| p.steps.abs_diff(20))?;
    let more = ratio(few.kl - all.kl, all.kl);
    let word = match more.abs() <= NEAR {
        true => "within 5 % of it",
        false if more < 0.0 => "below it",
        false => "**more than 5 % above it**",
    };
    Some(format!(
        "DPM++(2M) at {} steps has an averaged KL of {:.3} nats, ancestral sampling at all {} steps {:.3}: {word} ({:+.1} %; {} samples \
         each, floor {:.3}). It is × {:.0} faster: {:.4} s a sample against {:.3}. The paper expects {}.",
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
        super::published::SPEED_UP,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn training(name: &str, seconds: Option<f64>) -> Training {
        Training { name: name.into(), steps: 10, seconds }
    }

    #[test]
    fn the_nearer_prior_is_named_with_both_times() {
        let kl = Kl { samples: 1000, diffusion: 0.7, pixelcnn: 0.8, floor: 0.4 };
        let said = priors(&kl, &training("prior", Some(600.0)), &training("pixelcnn", Some(660.0)));
        for part in ["0.700", "0.800", "0.400", "0.100 (12.5 %) below", "10 min", "11 min", "about the same wall time"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
        let worse = Kl { diffusion: 1.0, ..kl };
        let said = priors(&worse, &training("prior", Some(600.0)), &training("pixelcnn", Some(200.0)));
        for part in ["**above** the PixelCNN's by 0.200 (25.0 %)", "the diffusion prior had 3.0 times"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(
            priors(&worse, &training("prior", None), &training("pixelcnn", Some(1.0))).contains("not in their logs")
        );
    }

    #[test]
    fn few_steps_are_weighed_against_all() {
        let point = |sampler: &str, steps, kl, seconds| Point { sampler: sampler.into(), steps, kl, seconds };
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
        for part in
            ["at 20 steps", "2.060", "all 1000 steps 2.000", "within 5 %", "+3.0 %", "× 50 faster", "64 samples"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
        steps.points[1].kl = 2.2;
        assert!(few_steps(&steps).is_some_and(|said| said.contains("**more than 5 % above it**")));
        steps.points.iter_mut().for_each(|point| point.kl = 0.0);
        assert!(few_steps(&steps).is_some_and(|said| said.contains("+0.0 %")), "one code has no laws to differ");
        steps.points.pop();
        assert_eq!(few_steps(&steps), None);
    }
}
