//! The samplers' steps as coefficients: Algorithm 2, DDIM, DPM-Solver++(2M), and the levels they
//! visit.

use super::{Affine, Bridge, ReverseVariance, refuse};
use crate::error::Result;

/// One step of a sampler, `z_s = c0 z_t + c1 ε_θ + c2 ξ + c3 z*` with fresh noise ξ ~ N(0, I).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Coefficient of z_t.
    pub c0: f64,
    /// Coefficient of the predicted noise ε_θ(z_t, t).
    pub c1: f64,
    /// Coefficient of the fresh noise ξ; 0 for a step into t = 0.
    pub c2: f64,
    /// Coefficient of z*.
    pub c3: f64,
}

impl Step {
    /// The step from coefficients on z_t − z*, ε and ξ.
    fn centred(z: f64, eps: f64, noise: f64) -> Step {
        Step {
            c0: z,
            c1: eps,
            c2: noise,
            c3: 1.0 - z,
        }
    }

    /// The same step with `c1` applied to another output of the network, for which `eps` =
    /// [`Bridge::predict_eps`].
    pub fn on(self, eps: Affine) -> Step {
        Step {
            c1: self.c1 * eps.net,
            ..Step::centred(self.c0 + self.c1 * eps.z, 0.0, self.c2)
        }
    }
}

/// One step of DPM++(2M), `z_s = z* + z (z_t − z*) + now (ẑ_0 − z*) + previous (ẑ_0' − z*)` with
/// ẑ_0' from the step before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Multistep {
    /// Coefficient of z_t − z*.
    pub z: f64,
    /// Coefficient of ẑ_0 − z*, estimated at t.
    pub now: f64,
    /// Coefficient of ẑ_0' − z*, estimated one step earlier; 0 for the first step and for one into
    /// s = 0.
    pub previous: f64,
}

impl Bridge {
    /// Step t of Algorithm 2, corrected (E2): `z_{t−1} = μ_θ + σ_t ξ`, without noise at t = 1.
    pub fn ancestral(&self, t: usize, variance: ReverseVariance) -> Step {
        let mean = self.reverse_mean(t);
        let sigma = if t == 1 {
            0.0
        } else {
            self.sigma2(t, variance).sqrt()
        };
        Step::centred(mean.z, mean.net, sigma)
    }

    /// DDIM (Song et al. 2021) from t to any s < t, with `kappa` in 0..=1 between deterministic and
    /// ancestral.
    ///
    /// ```text
    /// z_s = z* + √ᾱ_s (ẑ_0 − z*) + √(v (1 − ᾱ_s) − S²) ε_θ + S ξ
    /// S² = κ² v (1 − ᾱ_s)(1 − a) / (1 − ᾱ_t)
    /// ```
    /// κ = 1 is exactly the bridge step with the true ẑ_0, for every stride.
    ///
    /// # Panics
    /// Unless s < t ≤ T and 0 ≤ κ ≤ 1.
    #[track_caller]
    pub fn ddim(&self, s: usize, t: usize, kappa: f64) -> Step {
        assert!(
            (0.0..=1.0).contains(&kappa),
            "ddim: kappa = {kappa} is outside 0..=1"
        );
        let v = self.stationary_variance();
        let (kept, lost) = self.stride(s, t);
        let fresh = kappa * kappa * self.between(s, t).variance;
        // With x² = v (1 − ᾱ_s) − S² and y² = v (1 − ᾱ_t) / a the coefficient of ε is x − y. Both
        // are near √v late in the schedule, so it is formed as (x² − y²) / (x + y), where x² − y² =
        // −v (1 − a) / a − S².
        let x2 =
            v * self.lost(s) * (kept * self.lost(s) + (1.0 - kappa * kappa) * lost) / self.lost(t);
        let y2 = v * self.lost(t) / kept;
        Step::centred(
            kept.sqrt().recip(),
            -(v * lost / kept + fresh) / (x2.sqrt() + y2.sqrt()),
            fresh.sqrt(),
        )
    }

    /// Step t of Algorithm 2 as printed (E2): 1 − α_t where 1 − ᾱ_t belongs, and no noise. Kept to
    /// show that it collapses.
    ///
    /// `z_{t−1} = z* + (z_t − z* − √(v / (1 − α_t)) β_t ε_θ) / √α_t`; the paper has z* = 0.
    pub fn paper_literal(&self, t: usize) -> Step {
        let z = (1.0 - self.beta(t)).sqrt().recip();
        Step::centred(
            z,
            -z * (self.stationary_variance() * self.beta(t)).sqrt(),
            0.0,
        )
    }

    /// DPM-Solver++(2M) (Lu et al. 2022) from t to s < t, after a step from level `previous` > t,
    /// if any.
    ///
    /// ```text
    /// λ = ½ ln(ᾱ / (1 − ᾱ)),  h = λ_s − λ_t,  r = (λ_t − λ_previous) / h
    /// D = (1 + 1/2r) ẑ_0 − (1/2r) ẑ_0'
    /// z_s = z* + √((1 − ᾱ_s) / (1 − ᾱ_t)) (z_t − z*) − √ᾱ_s (e^(−h) − 1) (D − z*)
    /// ```
    /// Second order. The first step has no ẑ_0' and takes D = ẑ_0. So does a step into s = 0, where
    /// h is infinite and the extrapolation has no limit: it becomes z_0 = ẑ_0.
    ///
    /// # Panics
    /// Unless s < t < previous ≤ T.
    #[track_caller]
    pub fn dpmpp2m(&self, previous: Option<usize>, t: usize, s: usize) -> Multistep {
        assert!(
            s < t && t <= self.steps(),
            "dpmpp2m: no step from level {t} to {s} of {}",
            self.steps()
        );
        let h = self.lambda(s) - self.lambda(t);
        let gain = -self.alpha_bar[s].sqrt() * (-h).exp_m1();
        let extrapolate = match previous {
            Some(previous) if s > 0 => {
                assert!(
                    t < previous,
                    "dpmpp2m: the step before {t} cannot have started at {previous}"
                );
                h / (2.0 * (self.lambda(t) - self.lambda(previous)))
            }
            _ => 0.0,
        };
        Multistep {
            z: (self.lost(s) / self.lost(t)).sqrt(),
            now: gain * (1.0 + extrapolate),
            previous: -gain * extrapolate,
        }
    }

    /// The levels of a sampler with `count` steps: `count + 1` evenly strided levels, strictly
    /// decreasing from T to 0.
    ///
    /// # Errors
    /// [`Error::Config`](crate::error::Error::Config) unless 1 ≤ `count` ≤ T.
    pub fn timesteps(&self, count: usize) -> Result<Vec<usize>> {
        let steps = self.steps();
        if !(1..=steps).contains(&count) {
            return refuse(format!(
                "{count} sampling steps do not fit a schedule of {steps}: ask for 1 to {steps}"
            ));
        }
        Ok((0..=count)
            .rev()
            .map(|i| (steps * i + count / 2) / count)
            .collect())
    }
}
