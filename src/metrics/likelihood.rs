//! The likelihood of hidden codes by Monte Carlo: estimators on the host.
//!
//! A prior fills a hole S times. Sample s gives every position i of the hole a distribution over
//! codes, of which only the true code's log-probability is kept: `log_p` [samples, positions],
//! nats.

use std::f64::consts::LN_2;

/// Ratio of neighbouring temperatures in the first grid of [`fit_temperature`].
const GRID: f64 = 2.0;
/// Steps of the golden-section search after it.
const SECTIONS: usize = 24;

/// log softmax(−‖z − e‖²/τ) of the true code: `distances` `[k]` are the ‖z − e_k‖².
pub fn log_softmax(distances: &[f32], code: usize, temperature: f64) -> f64 {
    let logit = |d: f32| -f64::from(d) / temperature;
    let most = distances
        .iter()
        .map(|&d| logit(d))
        .fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = distances.iter().map(|&d| (logit(d) - most).exp()).sum();
    logit(distances[code]) - most - sum.ln()
}

/// log of the mean of e^x.
fn log_mean_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let most = values.clone().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return most;
    }
    let (sum, count) = values.fold((0.0, 0.0), |(sum, n), v| (sum + (v - most).exp(), n + 1.0));
    most + (sum / count).ln()
}

/// −log₂ of (1/S) Σ_s Π_i p_s(q_i), divided by the positions: the paper's estimator of section 4.3,
/// of all hidden codes together, in bits per code. Biased upwards while S is small compared with
/// the number of likely fillings.
pub fn joint_bits(log_p: &[f64], positions: usize) -> f64 {
    let joint = log_p
        .chunks_exact(positions)
        .map(|sample| sample.iter().sum::<f64>());
    // Subtracted from 0.0, so that a certain code gives 0 and not −0.
    (0.0 - log_mean_exp(joint)) / (positions as f64 * LN_2)
}

/// The mean over positions of −log₂ (1/S) Σ_s p_s(q_i): of each hidden code alone, in bits per
/// code.
pub fn single_bits(log_p: &[f64], positions: usize) -> f64 {
    let of = |i: usize| 0.0 - log_mean_exp(log_p.iter().skip(i).step_by(positions).copied());
    (0..positions).map(of).sum::<f64>() / (positions as f64 * LN_2)
}

/// The τ in `range` (both ends above 0) that minimises `cost(τ)`: the best of a geometric grid,
/// refined by a golden-section search around it.
pub fn fit_temperature(range: [f64; 2], cost: impl Fn(f64) -> f64) -> f64 {
    let count = ((range[1] / range[0]).ln() / GRID.ln()).ceil() as usize;
    let grid: Vec<f64> = (0..=count)
        .map(|i| range[0] * GRID.powi(i as i32))
        .collect();
    let best = grid
        .iter()
        .map(|&tau| cost(tau))
        .enumerate()
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map_or(0, |(i, _)| i);
    let [mut low, mut high] = [best.saturating_sub(1), (best + 1).min(count)].map(|i| grid[i].ln());
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    for _ in 0..SECTIONS {
        let [left, right] = [high - golden * (high - low), low + golden * (high - low)];
        if cost(left.exp()) <= cost(right.exp()) {
            high = right
        } else {
            low = left
        }
    }
    (0.5 * (low + high)).exp()
}

/// Mean and standard deviation (over n − 1).
pub fn mean_std(values: &[f64]) -> [f64; 2] {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    [
        mean,
        if values.len() > 1 {
            (squares / (n - 1.0)).sqrt()
        } else {
            0.0
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::toy::{self, DIM, LENGTH, NOISE_STD};
    use crate::philox::Stream;

    fn close(value: f64, wanted: f64, within: f64) {
        assert!(
            (value - wanted).abs() <= within,
            "{value} is not {wanted} within {within}"
        );
    }

    #[test]
    fn tiny_cases_have_their_closed_forms() {
        // Distances 0 and ln 3 at τ = 1: probabilities 3/4 and 1/4; at τ → ∞ a half each.
        let distances = [0.0, 3f32.ln()];
        close(log_softmax(&distances, 0, 1.0), 0.75f64.ln(), 1e-7);
        close(log_softmax(&distances, 1, 1.0), 0.25f64.ln(), 1e-7);
        close(log_softmax(&distances, 1, 1e9), 0.5f64.ln(), 1e-7);
        // A distance of a thousand temperatures does not overflow.
        close(log_softmax(&[1000.0, 0.0], 0, 1.0), -1000.0, 1e-9);
        // Two samples, two positions: p = (1/2, 1/4) and (1/8, 1/2).
        let log_p = [0.5f64, 0.25, 0.125, 0.5].map(f64::ln);
        close(
            joint_bits(&log_p, 2),
            -(0.5f64 * (0.125 + 0.0625)).log2() / 2.0,
            1e-12,
        );
        close(
            single_bits(&log_p, 2),
            -(0.3125f64.log2() + 0.375f64.log2()) / 2.0,
            1e-12,
        );
        // One sample: both are the mean of −log₂ p.
        close(joint_bits(&log_p[..2], 2), 1.5, 1e-12);
        close(single_bits(&log_p[..2], 2), 1.5, 1e-12);
        assert_eq!(joint_bits(&[f64::NEG_INFINITY], 1), f64::INFINITY);
    }

    #[test]
    fn the_temperature_of_least_cost_is_found() {
        for wanted in [0.01, 0.7, 300.0] {
            let found = fit_temperature([1e-4, 1e4], |tau: f64| (tau / wanted).ln().powi(2));
            close(found / wanted, 1.0, 1e-4);
        }
        close(fit_temperature([0.1, 10.0], |tau| tau), 0.1, 1e-4);
    }

    #[test]
    fn mean_and_deviation() {
        assert_eq!(mean_std(&[1.0, 2.0, 3.0]), [2.0, 1.0]);
        assert_eq!(mean_std(&[4.0]), [4.0, 0.0]);
    }

    /// A perfect sampler of the toy's last three codes, the first two known: eight fillings,
    /// equally likely, each code with the data's noise around its centroid. Nats per code of the
    /// joint estimator, averaged over `sequences`.
    fn toy_nats(temperature: f64, samples: usize, sequences: u32) -> f64 {
        const HOLE: usize = LENGTH - 2;
        let fillings = toy::fillings(&[(0, 0), (1, 1)]);
        assert_eq!(fillings.len(), 8);
        let centroids = toy::centroids();
        let nats = |sequence: u32| {
            let stream = |what: u32| Stream {
                seed: 5,
                step: sequence,
                stream: what,
                first: 0,
            };
            let pick =
                |at: u32| &fillings[(8.0 * f64::from(stream(0).uniform(at))) as usize % 8][2..];
            let truth = pick(samples as u32);
            let mut log_p = Vec::with_capacity(samples * HOLE);
            for s in 0..samples {
                for (i, &q) in pick(s as u32).iter().enumerate() {
                    let at = ((s * HOLE + i) * DIM) as u32;
                    let z: [f32; DIM] = std::array::from_fn(|c| {
                        let noise = f64::from(NOISE_STD) * stream(1).normal(at + c as u32);
                        centroids[q as usize][c] + noise as f32
                    });
                    let distances: Vec<f32> = centroids
                        .iter()
                        .map(|e| (e[0] - z[0]).powi(2) + (e[1] - z[1]).powi(2))
                        .collect();
                    log_p.push(log_softmax(&distances, truth[i] as usize, temperature));
                }
            }
            LN_2 * joint_bits(&log_p, HOLE)
        };
        (0..sequences).map(nats).sum::<f64>() / f64::from(sequences)
    }

    /// The true value is ln 8 / 3 = .693 nats per code.
    #[test]
    fn on_the_toy_the_estimate_depends_on_temperature_and_samples() {
        close(toy_nats(1.0, 4096, 20), 1.52, 0.02);
        let own = 2.0 * f64::from(NOISE_STD).powi(2);
        // With one sample seven of eight fillings are wrong, and cost some 80 nats per code.
        close(toy_nats(own, 1, 2000), 72.0, 4.0);
        close(toy_nats(own, 256, 100), 0.698, 0.01);
        close(toy_nats(own, 4096, 20), 8f64.ln() / 3.0, 0.01);
    }
}
