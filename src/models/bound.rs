//! An upper bound on −log p(q) of codes whose vectors a bridge diffuses.
//!
//! ```text
//! −log p(q) ≤ L_T + Σ_{t=2}^T ½ (SNR_{t−1} − SNR_t) E ‖ẑ_0 − z_0‖² + L_0,
//! SNR_t = ᾱ_t / (v (1 − ᾱ_t))
//! ```
//! for p(z_{t−1} | z_t) = q(z_{t−1} | z_t, ẑ_0) (Ho et al. 2020; Kingma et al. 2021, appendix E,
//! for v = 1). L_T is the KL divergence of q(z_T | z_0) from N(z*, v), and L_0 = −log p(q | z_1).
//! The sum is estimated by importance sampling of levels.

use crate::bridge::{Bridge, Prediction};
use crate::ops;
use crate::philox::{Draw, Stream};
use crate::tensor::{Codes, Tensor};

/// Number of strata of t; a pilot pass estimates their shares of the sum.
const STRATA: usize = 100;
/// Share of the proposal that is uniform over all levels.
const EVEN: f64 = 0.2;
/// First call number of the pilot pass, and of L_0, both far from those of the sum.
const LOOK: u32 = 1 << 30;
const FIRST: u32 = 1 << 31;

/// The model whose bound is computed.
pub struct Bound<'a> {
    /// The bridge.
    pub bridge: &'a Bridge,
    /// z*, `[1]` or `[d]`.
    pub target: &'a Tensor,
    /// ε_θ(z_t, t).
    pub eps: &'a dyn Fn(&Tensor, usize) -> Tensor,
    /// −log p(q | z_1) of codes [n, ..] at z_1 [n, .., d], nats, [n, ..].
    pub first: &'a dyn Fn(&Tensor, &Codes) -> Tensor,
    /// Seed of levels and noise.
    pub seed: u64,
}

/// The bound of one sample and two of its terms, nats.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nats {
    /// The bound.
    pub total: f64,
    /// L_T.
    pub last: f64,
    /// L_0.
    pub first: f64,
}

impl Bound<'_> {
    /// The bound of each of the samples `z0` [n, .., d] with the codes `codes` [n, ..], estimated
    /// at `count` levels drawn from `levels`. Each `chunk` has its own random numbers.
    pub fn of(
        &self,
        z0: &Tensor,
        codes: &Codes,
        levels: &LevelShares,
        count: usize,
        chunk: usize,
    ) -> Vec<Nats> {
        z0.gpu().no_grad(|| {
            let n = z0.shape().dims()[0];
            let d = z0.count() / z0.shape().dims()[0];
            let mut sums = vec![0.0; n];
            // With one step there are only L_0 and L_T.
            let count = if self.bridge.steps() > 1 { count } else { 0 };
            for at in 0..count {
                let call = (chunk * count + at) as u32;
                let u = f64::from(
                    Stream {
                        seed: self.seed,
                        step: call,
                        stream: Draw::BoundLevel.stream(),
                        first: 0,
                    }
                    .uniform(0),
                );
                let (t, share) = levels.level((at as f64 + u) / count as f64);
                let terms = self.terms(z0, t, call);
                sums.iter_mut()
                    .zip(terms)
                    .for_each(|(sum, term)| *sum += term / (share * count as f64));
            }
            let squares = ops::square(&ops::sub(z0, self.target)).reshape([n, d]);
            let moments = ops::mean(&squares, 1).to_vec();
            let last = |moment: f32| d as f64 * self.bridge.terminal_kl(f64::from(moment));
            let first = (self.first)(&self.noised(z0, 1, FIRST + chunk as u32), codes).to_vec();
            let first = first
                .chunks_exact(first.len() / n)
                .map(|cells| cells.iter().map(|&v| f64::from(v)).sum::<f64>());
            let terms = sums.into_iter().zip(moments).zip(first);
            let nats = |((sum, moment), first)| Nats {
                total: sum + last(moment) + first,
                last: last(moment),
                first,
            };
            terms.map(nats).collect()
        })
    }

    /// A proposal over levels by their share of the sum, estimated on the samples `z0`.
    pub fn levels(&self, z0: &Tensor) -> LevelShares {
        let steps = self.bridge.steps();
        let strata = STRATA.min(steps.saturating_sub(1));
        if strata == 0 {
            return LevelShares {
                bounds: Vec::new(),
                cumulative: Vec::new(),
            };
        }
        // Levels 2..=T in strata of nearly equal size.
        let bounds: Vec<usize> = (0..=strata).map(|i| 2 + i * (steps - 1) / strata).collect();
        let of_stratum = |i: usize| {
            let middle = usize::midpoint(bounds[i], bounds[i + 1] - 1);
            let terms = z0.gpu().no_grad(|| self.terms(z0, middle, LOOK + i as u32));
            terms.iter().sum::<f64>() / terms.len() as f64 * (bounds[i + 1] - bounds[i]) as f64
        };
        let found: Vec<f64> = (0..strata).map(of_stratum).collect();
        LevelShares::new(bounds, &found)
    }

    fn noised(&self, z0: &Tensor, t: usize, call: u32) -> Tensor {
        let marginal = self.bridge.forward(t);
        let noise = Stream {
            seed: self.seed,
            step: call,
            stream: Draw::BoundNoise.stream(),
            first: 0,
        };
        let noise = ops::affine(
            &ops::normal(z0.gpu(), z0.shape(), noise),
            marginal.noise as f32,
            0.0,
        );
        let centred = ops::affine(&ops::sub(z0, self.target), marginal.signal as f32, 0.0);
        ops::add(&ops::add(&centred, &noise), self.target)
    }

    /// The term of level t ≥ 2 for each sample: ½ (SNR_{t−1} − SNR_t) ‖ẑ_0 − z_0‖².
    fn terms(&self, z0: &Tensor, t: usize, call: u32) -> Vec<f64> {
        let n = z0.shape().dims()[0];
        let snr = |t: usize| self.bridge.log_snr(t).exp();
        let weight = 0.5 * (snr(t - 1) - snr(t));
        let zt = self.noised(z0, t, call);
        let estimate = self.bridge.predict_z0(t, Prediction::Noise);
        let centred = ops::affine(&ops::sub(&zt, self.target), estimate.z as f32, 0.0);
        let found = ops::add(
            &centred,
            &ops::affine(&(self.eps)(&zt, t), estimate.net as f32, 0.0),
        );
        let errors = ops::square(&ops::sub(&found, &ops::sub(z0, self.target)));
        let errors = ops::sum(&errors.reshape([n, z0.count() / n]), 1).to_vec();
        errors
            .into_iter()
            .map(|error| weight * f64::from(error))
            .collect()
    }
}

/// A distribution over levels, uniform within each stratum.
pub struct LevelShares {
    /// First level of each stratum, and one past the last.
    bounds: Vec<usize>,
    cumulative: Vec<f64>,
}

impl LevelShares {
    fn new(bounds: Vec<usize>, found: &[f64]) -> LevelShares {
        let total: f64 = found.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let levels = (bounds[found.len()] - bounds[0]) as f64;
        let mut sum = 0.0;
        let share = |(i, &found): (usize, &f64)| {
            let even = (bounds[i + 1] - bounds[i]) as f64 / levels;
            (1.0 - EVEN) * found / total + EVEN * even
        };
        let shares: Vec<f64> = found.iter().enumerate().map(share).collect();
        let whole: f64 = shares.iter().sum();
        let cumulative = shares
            .iter()
            .map(|share| {
                sum += share / whole;
                sum
            })
            .collect();
        LevelShares { bounds, cumulative }
    }

    /// The level at quantile `u` in [0, 1), and its probability.
    fn level(&self, u: f64) -> (usize, f64) {
        let i = self
            .cumulative
            .partition_point(|&c| c <= u)
            .min(self.cumulative.len() - 1);
        let before = if i == 0 { 0.0 } else { self.cumulative[i - 1] };
        let share = self.cumulative[i] - before;
        let size = self.bounds[i + 1] - self.bounds[i];
        let within = (((u - before) / share * size as f64) as usize).min(size - 1);
        (self.bounds[i] + within, share / size as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_levels_are_a_law() {
        let law = LevelShares::new(vec![2, 4, 7, 11], &[3.0, 0.0, 1.0]);
        let mut mass = std::collections::BTreeMap::new();
        let draws = 100_000;
        for i in 0..draws {
            let (t, share) = law.level((f64::from(i) + 0.5) / f64::from(draws));
            let entry = mass.entry(t).or_insert((0.0, share));
            entry.0 += 1.0 / f64::from(draws);
        }
        assert_eq!(
            mass.keys().copied().collect::<Vec<_>>(),
            (2..11).collect::<Vec<_>>()
        );
        assert!(
            mass.values()
                .all(|(found, share)| (found - share).abs() < 1e-4),
            "{mass:?}"
        );
    }
}
