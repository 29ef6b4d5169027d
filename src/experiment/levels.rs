//! Distribution of the training levels t: fixed, or following the codes' running cross-entropy.

use crate::config::Levels;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::nn::checkpoint::{Checkpoint, Entry};
use crate::philox::{Draw, Stream};
use crate::tensor::Tensor;

/// Steps between two updates from the cross-entropies.
const EVERY: u64 = 20;
/// Steps before the first update that changes the distribution.
const FIRST: u64 = 100;
/// Decay of the running cross-entropies per update.
const DECAY: f32 = 0.9;

/// The names of the state in a checkpoint: sum and count of the cross-entropies in each bin; levels
/// and cross-entropies of the steps since the last update.
const STATE: [&str; 4] = [
    "levels.sums",
    "levels.counts",
    "levels.noted.t",
    "levels.noted.nats",
];

/// A distribution on 1..T.
pub struct LevelLaw {
    /// Cumulative distribution for held-out data, unaffected by training.
    fixed: Vec<f64>,
    /// Cumulative distribution for training.
    cumulative: Vec<f64>,
    running: Option<Running>,
}

/// Running cross-entropies in bins of t.
struct Running {
    uniform: f64,
    sums: Vec<f32>,
    counts: Vec<f32>,
    /// Levels of the steps since the last update, 0 for those to ignore, and their cross-entropies.
    noted: Vec<(Vec<u32>, Tensor)>,
}

impl LevelLaw {
    /// The distribution `levels` on 1..`steps`; one that follows the cross-entropy starts uniform.
    pub fn new(levels: Levels, steps: usize) -> LevelLaw {
        let fixed = cumulative(levels, steps);
        let running = match levels {
            Levels::Entropy { bins, uniform } => {
                let bins = bins.min(steps);
                Some(Running {
                    uniform,
                    sums: vec![0.0; bins],
                    counts: vec![0.0; bins],
                    noted: Vec::new(),
                })
            }
            Levels::Uniform {} | Levels::Bump { .. } => None,
        };
        LevelLaw {
            cumulative: fixed.clone(),
            fixed,
            running,
        }
    }

    /// Draws `n` levels for a training step.
    pub fn draw(&self, n: usize, stream: Stream) -> Vec<u32> {
        draw_levels(&self.cumulative, n, stream)
    }

    /// Draws `n` levels from the fixed distribution.
    pub fn draw_fixed(&self, n: usize, stream: Stream) -> Vec<u32> {
        draw_levels(&self.fixed, n, stream)
    }

    /// Records the cross-entropies `nats` `[n]` at the levels `t`; those at level 0 are ignored.
    pub fn note(&mut self, t: Vec<u32>, nats: Tensor) {
        if let Some(running) = &mut self.running {
            running.noted.push((t, nats));
        }
    }

    /// Updates the distribution after `done` steps, if due. An update waits for the GPU.
    pub fn follow(&mut self, done: u64) {
        let steps = self.cumulative.len();
        let Some(running) = &mut self.running else {
            return;
        };
        if done.is_multiple_of(EVERY) {
            running.look(steps);
            if done >= FIRST {
                self.cumulative = running.law(steps);
            }
        }
    }

    /// The state for a checkpoint.
    pub fn export(&self) -> Vec<Entry> {
        let Some(running) = &self.running else {
            return Vec::new();
        };
        let t: Vec<f32> = running
            .noted
            .iter()
            .flat_map(|(t, _)| t)
            .map(|&t| t as f32)
            .collect();
        let nats: Vec<f32> = running
            .noted
            .iter()
            .flat_map(|(_, nats)| nats.to_vec())
            .collect();
        let values = [
            running.sums.clone(),
            running.counts.clone(),
            with_one(t),
            with_one(nats),
        ];
        let entry =
            |(name, values): (&str, Vec<f32>)| (name.to_string(), [values.len()].into(), values);
        STATE.into_iter().zip(values).map(entry).collect()
    }

    /// Restores the state from [`LevelLaw::export`].
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::error::Error::Checkpoint) if something is missing.
    pub fn import(&mut self, gpu: &Gpu, found: &Checkpoint) -> Result<()> {
        let steps = self.cumulative.len();
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        let bins = [running.sums.len()];
        running.sums = found.tensor(STATE[0], bins.into())?;
        running.counts = found.tensor(STATE[1], bins.into())?;
        let [t, nats] = [found.row(STATE[2])?, found.row(STATE[3])?];
        let t: Vec<u32> = t[1..].iter().map(|&t| t as u32).collect();
        running.noted.clear();
        if !t.is_empty() {
            running
                .noted
                .push((t, Tensor::from_slice(gpu, &nats[1..], [nats.len() - 1])));
        }
        if found.step >= FIRST {
            self.cumulative = running.law(steps);
        }
        Ok(())
    }
}

/// Prepends a 0 to `values`, since tensors must not be empty.
fn with_one(mut values: Vec<f32>) -> Vec<f32> {
    values.insert(0, 0.0);
    values
}

impl Running {
    fn bin(&self, t: u32, steps: usize) -> usize {
        (t as usize - 1) * self.sums.len() / steps
    }

    /// Decays the bins and adds the recorded values.
    fn look(&mut self, steps: usize) {
        self.sums
            .iter_mut()
            .chain(&mut self.counts)
            .for_each(|value| *value *= DECAY);
        for (levels, nats) in std::mem::take(&mut self.noted) {
            for (t, nats) in levels
                .into_iter()
                .zip(nats.to_vec())
                .filter(|(t, _)| *t > 0)
            {
                let bin = self.bin(t, steps);
                self.sums[bin] += nats;
                self.counts[bin] += 1.0;
            }
        }
    }

    /// The cumulative distribution ∝ dH/dt, mixed with the uniform one. H is smoothed and made
    /// monotone, since more noise hides more of the codes.
    fn law(&self, steps: usize) -> Vec<f64> {
        let entropy = rising(&smooth(&filled(&self.sums, &self.counts)));
        let bins = entropy.len();
        // H at the edges between bins; without noise it is 0.
        let mut edges = vec![0.0];
        edges.extend(entropy.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0));
        edges.push(entropy[bins - 1]);
        let rise = |bin: usize| edges[bin + 1] - edges[bin];
        let mut levels = vec![0.0; bins];
        (1..=steps).for_each(|t| levels[self.bin(t as u32, steps)] += 1.0);
        let total = edges[bins].max(f64::MIN_POSITIVE);
        let mass = |t: usize| {
            let bin = self.bin(t as u32, steps);
            (1.0 - self.uniform) * rise(bin) / total / levels[bin] + self.uniform / steps as f64
        };
        cumulated(&(1..=steps).map(mass).collect::<Vec<f64>>())
    }
}

/// Means of the bins; an empty bin takes the mean of the bin before it.
fn filled(sums: &[f32], counts: &[f32]) -> Vec<f64> {
    let mut last = 0.0;
    let mean = |(&sum, &count): (&f32, &f32)| {
        if count > 0.0 {
            last = f64::from(sum) / f64::from(count);
        }
        last
    };
    sums.iter().zip(counts).map(mean).collect()
}

/// Smooths with weights 1/4, 1/2, 1/4; the ends are their own neighbours.
fn smooth(values: &[f64]) -> Vec<f64> {
    let last = values.len() - 1;
    let at = |i: usize| {
        0.25 * values[i.saturating_sub(1)] + 0.5 * values[i] + 0.25 * values[(i + 1).min(last)]
    };
    (0..values.len()).map(at).collect()
}

/// Running maximum.
fn rising(values: &[f64]) -> Vec<f64> {
    let mut most: f64 = 0.0;
    let so_far = |&value: &f64| {
        most = most.max(value);
        most
    };
    values.iter().map(so_far).collect()
}

/// The cumulative distribution of t on 1..T.
pub fn cumulative(levels: Levels, steps: usize) -> Vec<f64> {
    let mass = |t: usize| match levels {
        // A distribution that follows the cross-entropy starts uniform.
        Levels::Uniform {} | Levels::Entropy { .. } => 1.0,
        Levels::Bump {
            centre,
            width,
            floor,
        } => (-0.5 * ((t as f64 / steps as f64 - centre) / width).powi(2)).exp() + floor,
    };
    cumulated(&(1..=steps).map(mass).collect::<Vec<f64>>())
}

/// The cumulative distribution of unnormalised `masses`.
pub(super) fn cumulated(masses: &[f64]) -> Vec<f64> {
    let total: f64 = masses.iter().sum();
    let mut sum = 0.0;
    masses
        .iter()
        .map(|mass| {
            sum += mass / total;
            sum
        })
        .collect()
}

/// Draws `n` levels t from the distribution `cumulative`, stratified: the inverse of `cumulative`
/// at u_i = (u + i/n) mod 1. `stream.step` is the training step.
pub fn draw_levels(cumulative: &[f64], n: usize, stream: Stream) -> Vec<u32> {
    let u = f64::from(
        Stream {
            stream: Draw::Levels.stream(),
            ..stream
        }
        .uniform(0),
    );
    let level = |i: usize| {
        let at = (u + i as f64 / n as f64).fract();
        cumulative
            .partition_point(|&c| c <= at)
            .min(cumulative.len() - 1) as u32
            + 1
    };
    (0..n).map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TrainConfig;

    fn running(entropy: impl Fn(f64) -> f64, bins: usize) -> Running {
        let sums = (0..bins)
            .map(|bin| entropy((bin as f64 + 0.5) / bins as f64) as f32)
            .collect();
        Running {
            uniform: 0.1,
            sums,
            counts: vec![1.0; bins],
            noted: Vec::new(),
        }
    }

    #[test]
    fn levels_go_where_codes_are_decided() {
        // All codes are decided between .4 and .6.
        let law = running(|x| ((x - 0.4) / 0.2).clamp(0.0, 1.0), 50).law(1000);
        assert!(law.is_sorted() && (law[999] - 1.0).abs() < 1e-12);
        let share = |from: usize, to: usize| law[to - 1] - law[from - 1];
        assert!(
            (share(350, 650) - (0.9 + 0.1 * 0.3)).abs() < 0.01,
            "{}",
            share(350, 650)
        );
        assert!((share(1, 300) - 0.03).abs() < 0.002);
    }

    #[test]
    fn a_law_without_a_rise_is_uniform_enough() {
        for entropy in [0.0, 1.0] {
            let law = running(|_| entropy, 7).law(10);
            assert!(law.is_sorted() && (law[9] - 1.0).abs() < 1e-12, "{law:?}");
        }
    }

    #[test]
    fn looks_take_in_what_counts() {
        let mut running = running(|_| 0.0, 2);
        running.counts = vec![0.0; 2];
        running.look(10);
        assert_eq!((running.bin(5, 10), running.bin(6, 10)), (0, 1));
        assert_eq!(filled(&[0.0, 3.0], &[0.0, 2.0]), [0.0, 1.5]);
        assert_eq!(rising(&[1.0, 0.5, 2.0]), [1.0, 1.0, 2.0]);
    }

    #[test]
    fn the_law_of_levels_is_a_law() {
        for levels in [Levels::Uniform {}, TrainConfig::default().levels] {
            let law = cumulative(levels, 50);
            assert!((law[49] - 1.0).abs() < 1e-12 && law.is_sorted());
        }
    }
}
