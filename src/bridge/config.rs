//! The bridge's part of a configuration: schedule, target, reverse variance, meaning of the
//! network's output.

use super::{positive, refuse};
use crate::error::Result;
use serde::{Deserialize, Serialize};
use std::f64::consts::FRAC_PI_2;
use std::fmt;

/// The noise schedule over the T steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "schedule", rename_all = "lowercase", deny_unknown_fields)]
pub enum Spacing {
    /// Constant δ_t = S / T: ᾱ_T = e^(−2ϑ S). For the toy: S = 1.727.
    Constant {
        /// S = Σ δ_t, in the SDE's unit of time.
        total_time: f64,
    },
    /// β_t linear in t from the first step to the last; a single step takes `beta_start`. For
    /// images: 1e-4 … 0.02.
    Linear {
        /// β_1, in (0, 1).
        beta_start: f64,
        /// β_T, in (0, 1).
        beta_end: f64,
    },
    /// ᾱ_t = f(t) / f(0), f(t) = cos²(½π (t/T + .008) / 1.008), β_t clipped at .999 (Nichol &
    /// Dhariwal 2021, eq. 17).
    Cosine {},
}

impl Spacing {
    /// β_1..β_T.
    pub(super) fn betas(self, theta: f64, steps: usize) -> Result<Vec<f64>> {
        let betas: Vec<f64> = match self {
            Spacing::Constant { total_time } => {
                positive("total_time", total_time)?;
                vec![-(-2.0 * theta * total_time / steps as f64).exp_m1(); steps]
            }
            Spacing::Linear {
                beta_start,
                beta_end,
            } => {
                let last = (steps - 1).max(1) as f64;
                (0..steps)
                    .map(|i| beta_start + (beta_end - beta_start) * (i as f64 / last))
                    .collect()
            }
            Spacing::Cosine {} => (1..=steps).map(|t| cosine_beta(t, steps)).collect(),
        };
        match betas.iter().position(|beta| !(*beta > 0.0 && *beta < 1.0)) {
            Some(i) => refuse(format!(
                "beta = {} at step {} of {steps} is outside (0, 1), from {self}",
                betas[i],
                i + 1
            )),
            None => Ok(betas),
        }
    }
}

impl fmt::Display for Spacing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Spacing::Constant { total_time } => {
                write!(f, "a constant schedule with total_time = {total_time}")
            }
            Spacing::Linear {
                beta_start,
                beta_end,
            } => {
                write!(
                    f,
                    "a linear schedule with beta_start = {beta_start}, beta_end = {beta_end}"
                )
            }
            Spacing::Cosine {} => f.write_str("the cosine schedule"),
        }
    }
}

/// `1 − cos²(b) / cos²(a)`, at most .999, for the angles a of t − 1 and b of t. It uses cos²a −
/// cos²b = sin(b − a) sin(b + a).
fn cosine_beta(t: usize, steps: usize) -> f64 {
    let angle = |t: usize| (t as f64 / steps as f64 + 0.008) / 1.008 * FRAC_PI_2;
    let a = angle(t - 1);
    let b = angle(t);
    ((b - a).sin() * (b + a).sin() / a.cos().powi(2)).min(0.999)
}

/// The mean z* of the stationary distribution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Target {
    /// The same value in every channel.
    Scalar(f64),
    /// One value per channel, `[d]`.
    PerChannel(Vec<f64>),
}

impl Target {
    /// z* of every channel, `[channels]`: what the kernels bind.
    ///
    /// # Errors
    /// [`Error::Config`](crate::error::Error::Config) if there is one value per channel, but for
    /// another number of channels.
    pub fn channels(&self, channels: usize) -> Result<Vec<f64>> {
        match self {
            Target::Scalar(value) => Ok(vec![*value; channels]),
            Target::PerChannel(values) if values.len() == channels => Ok(values.clone()),
            Target::PerChannel(values) => refuse(format!(
                "target has {} values, but the latents have {channels} channels",
                values.len()
            )),
        }
    }

    pub(super) fn is_finite(&self) -> bool {
        match self {
            Target::Scalar(value) => value.is_finite(),
            Target::PerChannel(values) => {
                !values.is_empty() && values.iter().all(|value| value.is_finite())
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Scalar(value) => write!(f, "{value}"),
            Target::PerChannel(values) => write!(f, "{values:?}"),
        }
    }
}

impl Default for Target {
    fn default() -> Target {
        Target::Scalar(0.0)
    }
}

/// The variance σ_t² of a reverse step: two choices of Ho et al. (2020); the loss weight follows it
/// (E6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReverseVariance {
    /// The bridge's, `v (1 − ᾱ_{t−1}) β_t / (1 − ᾱ_t)`: the paper's.
    #[default]
    Bridge,
    /// The forward step's, `v β_t`.
    Forward,
}

/// What the network's output means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prediction {
    /// The noise ε of the forward marginal: the paper's.
    #[default]
    Noise,
    /// `V = √ᾱ_t ε − √(1 − ᾱ_t) (z_0 − z*) / √v` (Salimans & Ho 2022), well conditioned at both
    /// ends.
    #[serde(rename = "v")]
    Velocity,
}
