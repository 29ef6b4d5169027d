//! The Ornstein-Uhlenbeck bridge in f64: noise schedule, marginals, reverse steps, loss weights.
//! Pure maths, no GPU.
//!
//! ```text
//! SDE         dz = −ϑ (z − z*) dt + η dW,   stationary distribution N(z*, v),  v = η² / 2ϑ
//! levels      t = 0 is data, t = T is noise;  α_t = e^(−2ϑ δ_t),  β_t = 1 − α_t
//!             ᾱ_t = ∏_{s≤t} α_s,  a = ᾱ_t / ᾱ_s
//! forward     z_t = z* + √ᾱ_t (z_0 − z*) + √(v (1 − ᾱ_t)) ε,   ε ~ N(0, I)
//! ```
//! Ho et al. (2020) is η = √2, ϑ = 1, z* = 0. Everything here returns coefficients; the kernels
//! apply them, so one fused `z_s = c0 z_t + c1 ε + c2 ξ + c3 z*` serves every one-step sampler.
//! Where the printed paper is wrong, the corrected form is given with the erratum's number (E1, E2,
//! E3, E4, E6).

use crate::error::{Error, Result};

mod config;
mod step;
#[cfg(test)]
mod tests;

pub use config::{Prediction, ReverseVariance, Spacing, Target};
pub use step::{Multistep, Step};

/// Below this ᾱ_T the factor 1/√ᾱ_T of the z_0 estimate is meaningless in the kernels' f32.
const SMALLEST_ALPHA_BAR: f64 = 1e-30;
/// Maximum T: far more than any schedule has, few enough for tables over all steps.
const MOST_STEPS: usize = 1_000_000;

/// z_t given z_0: `z* + signal (z_0 − z*) + noise ε`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Marginal {
    /// √ᾱ_t.
    pub signal: f64,
    /// √(v (1 − ᾱ_t)).
    pub noise: f64,
}

/// z_s given z_0 and z_t: a Gaussian of mean `z* + z0 (z_0 − z*) + zt (z_t − z*)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditional {
    /// Coefficient of z_0 − z*.
    pub z0: f64,
    /// Coefficient of z_t − z*.
    pub zt: f64,
    /// Variance per dimension.
    pub variance: f64,
}

/// A combination of the state and the network's output, `z (z_t − z*) + net · output` (plus z*
/// where it is a mean).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// Coefficient of z_t − z*.
    pub z: f64,
    /// Coefficient of the network's output.
    pub net: f64,
}

/// The velocity of the forward marginal, `V = eps ε + z0 (z_0 − z*)`: the target of
/// [`Prediction::Velocity`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Velocity {
    /// Coefficient of ε.
    pub eps: f64,
    /// Coefficient of z_0 − z*.
    pub z0: f64,
}

/// An Ornstein-Uhlenbeck bridge with its schedule of T steps.
///
/// Levels t run from 0 (data) to T (noise); step t is the one between t − 1 and t, and methods that
/// take a step panic outside 1..=T.
#[derive(Clone, Debug, PartialEq)]
pub struct Bridge {
    theta: f64,
    eta: f64,
    target: Target,
    /// [T]; step t is at index t − 1.
    delta: Vec<f64>,
    /// [T]; step t is at index t − 1.
    beta: Vec<f64>,
    /// [T + 1]: ln ᾱ_t. Kept beside ᾱ because 1 − ᾱ_t and 1 − a cancel when formed from it.
    log_alpha_bar: Vec<f64>,
    /// [T + 1].
    alpha_bar: Vec<f64>,
}

impl Bridge {
    /// The bridge of `dz = −ϑ (z − z*) dt + η dW` in T = `steps` steps.
    ///
    /// # Errors
    /// [`Error::Config`] if `steps` is outside 1..=1,000,000, ϑ or η is not above 0, a number is
    /// not finite, a β is outside (0, 1), or ᾱ_T < 1e-30: f32 cannot recover z_0 from so little.
    pub fn new(
        theta: f64,
        eta: f64,
        target: Target,
        steps: usize,
        spacing: Spacing,
    ) -> Result<Bridge> {
        if !(1..=MOST_STEPS).contains(&steps) {
            return refuse(format!(
                "the bridge has steps = {steps}, but needs 1 to {MOST_STEPS}"
            ));
        }
        positive("theta", theta)?;
        positive("eta", eta)?;
        positive(
            "the stationary variance eta^2 / (2 theta)",
            eta * eta / (2.0 * theta),
        )?;
        if !target.is_finite() {
            return refuse(format!(
                "target = {target} must be one finite number or one per channel"
            ));
        }
        let beta = spacing.betas(theta, steps)?;
        let mut log_alpha_bar = vec![0.0];
        for b in &beta {
            log_alpha_bar.push(log_alpha_bar[log_alpha_bar.len() - 1] + (-b).ln_1p());
        }
        let delta = beta.iter().map(|b| -(-b).ln_1p() / (2.0 * theta)).collect();
        let alpha_bar: Vec<f64> = log_alpha_bar.iter().map(|log: &f64| log.exp()).collect();
        if alpha_bar[steps] < SMALLEST_ALPHA_BAR {
            return refuse(format!(
                "alpha_bar_T = {:.1e} after {steps} steps is below {SMALLEST_ALPHA_BAR:.0e}, too little signal for f32: \
                 lower total_time or beta",
                alpha_bar[steps]
            ));
        }
        Ok(Bridge {
            theta,
            eta,
            target,
            delta,
            beta,
            log_alpha_bar,
            alpha_bar,
        })
    }

    /// T, the number of steps.
    pub fn steps(&self) -> usize {
        self.beta.len()
    }

    /// ϑ, the rate of return to z*.
    pub fn theta(&self) -> f64 {
        self.theta
    }

    /// η, the strength of the noise.
    pub fn eta(&self) -> f64 {
        self.eta
    }

    /// z*, the mean of the stationary distribution.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// v = η² / 2ϑ, the variance of the stationary distribution.
    pub fn stationary_variance(&self) -> f64 {
        self.eta * self.eta / (2.0 * self.theta)
    }

    /// δ_t, the length of step t in the SDE's unit of time.
    pub fn delta(&self, t: usize) -> f64 {
        self.delta[t - 1]
    }

    /// β_t = 1 − e^(−2ϑ δ_t) of step t.
    pub fn beta(&self, t: usize) -> f64 {
        self.beta[t - 1]
    }

    /// ᾱ_t, the share of the signal's variance left at level t in 0..=T; ᾱ_0 = 1.
    pub fn alpha_bar(&self, t: usize) -> f64 {
        self.alpha_bar[t]
    }

    /// ln(ᾱ_t / (v (1 − ᾱ_t))): the log-SNR at level t of data with variance 1 per dimension; +∞ at
    /// t = 0.
    pub fn log_snr(&self, t: usize) -> f64 {
        2.0 * self.lambda(t) - self.stationary_variance().ln()
    }

    /// The forward marginal at level t in 0..=T: `z_t = z* + √ᾱ_t (z_0 − z*) + √(v (1 − ᾱ_t)) ε`.
    pub fn forward(&self, t: usize) -> Marginal {
        Marginal {
            signal: self.alpha_bar[t].sqrt(),
            noise: (self.stationary_variance() * self.lost(t)).sqrt(),
        }
    }

    /// The bridge: z_s given z_0 and z_t for 0 ≤ s < t (E1).
    ///
    /// ```text
    /// mean = z* + √ᾱ_s (1 − a) / (1 − ᾱ_t) (z_0 − z*) + √a (1 − ᾱ_s) / (1 − ᾱ_t) (z_t − z*)
    /// a    = ᾱ_t / ᾱ_s
    /// var  = v (1 − ᾱ_s) (1 − a) / (1 − ᾱ_t)
    /// ```
    ///
    /// # Panics
    /// Unless s < t ≤ T.
    #[track_caller]
    pub fn between(&self, s: usize, t: usize) -> Conditional {
        let (kept, lost) = self.stride(s, t);
        Conditional {
            z0: self.alpha_bar[s].sqrt() * lost / self.lost(t),
            zt: kept.sqrt() * self.lost(s) / self.lost(t),
            variance: self.stationary_variance() * self.lost(s) * lost / self.lost(t),
        }
    }

    /// Mean of z_{t−1} given z_t and the noise (E3):
    /// `μ_θ = z* + (z_t − z* − √(v / (1 − ᾱ_t)) β_t ε_θ) / √α_t`.
    pub fn reverse_mean(&self, t: usize) -> Affine {
        let z = (1.0 - self.beta(t)).sqrt().recip();
        Affine {
            z,
            net: -z * self.beta(t) * (self.stationary_variance() / self.lost(t)).sqrt(),
        }
    }

    /// Variance of z_{t−1} given z_t; with [`ReverseVariance::Bridge`] 0 at t = 1.
    pub fn sigma2(&self, t: usize, variance: ReverseVariance) -> f64 {
        match variance {
            ReverseVariance::Bridge => self.between(t - 1, t).variance,
            ReverseVariance::Forward => self.stationary_variance() * self.beta(t),
        }
    }

    /// `ẑ_0 − z*` from z_t and the network's output at level t in 1..=T.
    ///
    /// ```text
    /// noise      (z_t − z* − √(v (1 − ᾱ_t)) ε_θ) / √ᾱ_t
    /// velocity   √ᾱ_t (z_t − z*) − √(v (1 − ᾱ_t)) V_θ
    /// ```
    pub fn predict_z0(&self, t: usize, prediction: Prediction) -> Affine {
        let Marginal { signal, noise } = self.forward(t);
        match prediction {
            Prediction::Noise => Affine {
                z: signal.recip(),
                net: -noise / signal,
            },
            Prediction::Velocity => Affine {
                z: signal,
                net: -noise,
            },
        }
    }

    /// `ε_θ` from z_t and the network's output at level t: the output itself, or
    /// `√ᾱ_t V_θ + √((1 − ᾱ_t) / v) (z_t − z*)`.
    pub fn predict_eps(&self, t: usize, prediction: Prediction) -> Affine {
        match prediction {
            Prediction::Noise => Affine { z: 0.0, net: 1.0 },
            Prediction::Velocity => Affine {
                z: (self.lost(t) / self.stationary_variance()).sqrt(),
                net: self.alpha_bar[t].sqrt(),
            },
        }
    }

    /// The training target of [`Prediction::Velocity`]: `V = √ᾱ_t ε − √(1 − ᾱ_t) (z_0 − z*) / √v`.
    pub fn velocity(&self, t: usize) -> Velocity {
        Velocity {
            eps: self.alpha_bar[t].sqrt(),
            z0: -(self.lost(t) / self.stationary_variance()).sqrt(),
        }
    }

    /// The weight of ‖ε − ε_θ‖² in L_t, eq. (4): with it, the term is the KL of the two reverse
    /// Gaussians (E6).
    ///
    /// ```text
    /// bridge     β_t / (2 α_t (1 − ᾱ_{t−1}))
    /// forward    β_t / (2 α_t (1 − ᾱ_t))
    /// ```
    /// +∞ at t = 1 under the bridge variance, which is 0 there: t = 1 is the term L_0 = −log p(z_0
    /// | z_1), for which the caller chooses its own σ_1 > 0 and the weight
    /// `reverse_mean(1).net² / 2σ_1²` (E4).
    pub fn weight(&self, t: usize, variance: ReverseVariance) -> f64 {
        let lost = match variance {
            ReverseVariance::Bridge => self.lost(t - 1),
            ReverseVariance::Forward => self.lost(t),
        };
        self.beta(t) / (2.0 * (1.0 - self.beta(t)) * lost)
    }

    /// L_T, the expected KL of q(z_T | z_0) to the prior N(z*, v), in nats per dimension.
    ///
    /// `½ (ᾱ_T m₂ / v + (1 − ᾱ_T) − 1 − ln(1 − ᾱ_T))`, with m₂ = `second_moment` = E (z_0 − z*)² =
    /// Var z_0 + (E z_0 − z*)² per dimension; 1 for unit-variance data about z*.
    pub fn terminal_kl(&self, second_moment: f64) -> f64 {
        let alpha_bar = self.alpha_bar[self.steps()];
        0.5 * (alpha_bar * (second_moment / self.stationary_variance() - 1.0)
            - (-alpha_bar).ln_1p())
    }

    /// 1 − ᾱ_t without cancellation.
    fn lost(&self, t: usize) -> f64 {
        // Subtracted from 0.0, so that level 0 gives 0 and not −0.
        0.0 - self.log_alpha_bar[t].exp_m1()
    }

    /// λ_t = ½ ln(ᾱ_t / (1 − ᾱ_t)).
    fn lambda(&self, t: usize) -> f64 {
        0.5 * (self.log_alpha_bar[t] - self.lost(t).ln())
    }

    /// a = ᾱ_t / ᾱ_s and 1 − a.
    #[track_caller]
    fn stride(&self, s: usize, t: usize) -> (f64, f64) {
        assert!(
            s < t && t <= self.steps(),
            "bridge: no step from level {t} to {s} of {}",
            self.steps()
        );
        let log = self.log_alpha_bar[t] - self.log_alpha_bar[s];
        (log.exp(), -log.exp_m1())
    }
}

fn positive(name: &str, value: f64) -> Result<()> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    refuse(format!("{name} = {value} must be a finite number above 0"))
}

fn refuse<T>(what: String) -> Result<T> {
    Err(Error::Config(what))
}
