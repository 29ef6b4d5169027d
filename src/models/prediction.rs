//! What the network of a prior predicts, and the tables by which its output becomes ε.

use super::preconditioned::{Level, level};
use crate::bridge::{Bridge, Prediction, ReverseVariance};
use crate::config::LossWeight;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::tensor::Tensor;

/// What the network's output means.
pub(super) enum Output {
    /// ε.
    Noise,
    /// V = a (z_0 − z*) + b ε: a and b, [T + 1, 2].
    Velocity(Tensor),
    /// F of [`super::preconditioned`].
    Preconditioned(Preconditioned),
    /// Logits; and the factor that gives the input unit variance, [T + 1, 1].
    Codes(Tensor),
}

/// Coefficients of a preconditioned network.
pub(super) struct Preconditioned {
    /// Those of t = 1..T.
    pub levels: Vec<Level>,
    /// Coefficients of z_0 − z* and ε in the input c_in (z_t − z*), [T + 1, 2].
    pub input: Tensor,
    /// Coefficients of the same in the target of F, [T + 1, 2].
    pub goal: Tensor,
    /// c_in, [T + 1, 1].
    pub scale: Tensor,
}

/// What a prior's network predicts.
#[derive(Clone, Copy, Debug)]
pub enum Predicts {
    /// ε.
    Noise,
    /// V, see [`Prediction::Velocity`].
    Velocity,
    /// F, for data with `moment` = E (z_0 − z*)² per dimension.
    Preconditioned {
        /// That moment.
        moment: f64,
    },
    /// Logits of the codes, for data with that moment.
    Codes {
        /// That moment.
        moment: f64,
    },
}

impl Output {
    /// The tables of a `bridge`.
    pub fn new(gpu: &Gpu, bridge: &Bridge, predicts: Predicts) -> Output {
        let steps = bridge.steps();
        let table = |width: usize, f: &dyn Fn(usize) -> Vec<f64>| table(gpu, steps, width, f);
        match predicts {
            Predicts::Noise => Output::Noise,
            Predicts::Velocity => Output::Velocity(table(2, &|t| {
                vec![bridge.velocity(t).z0, bridge.velocity(t).eps]
            })),
            Predicts::Preconditioned { moment } => {
                let levels: Vec<Level> = (1..=steps).map(|t| level(bridge, moment, t)).collect();
                // Row 0 is never gathered: training draws t from 1..T.
                let of_level = |t: usize, f: &dyn Fn(&Level) -> Vec<f64>, width: usize| {
                    if t == 0 {
                        vec![0.0; width]
                    } else {
                        f(&levels[t - 1])
                    }
                };
                let input = table(2, &|t| {
                    let marginal = bridge.forward(t);
                    of_level(
                        t,
                        &|l| vec![l.input * marginal.signal, l.input * marginal.noise],
                        2,
                    )
                });
                let goal = table(2, &|t| of_level(t, &|l| vec![l.goal_z0, l.goal_eps], 2));
                let scale = table(1, &|t| of_level(t, &|l| vec![l.input], 1));
                Output::Preconditioned(Preconditioned {
                    levels,
                    input,
                    goal,
                    scale,
                })
            }
            Predicts::Codes { moment } => {
                Output::Codes(table(1, &|t| vec![input_scale(bridge, moment, t)]))
            }
        }
    }

    /// (ε − ε_θ)² / (wanted output − output)² at level t; of logits, over the squared error of ẑ_0.
    pub fn of_eps(&self, bridge: &Bridge, t: usize) -> f64 {
        match self {
            Output::Noise => 1.0,
            Output::Velocity(_) => bridge.predict_eps(t, Prediction::Velocity).net.powi(2),
            Output::Preconditioned(_) | Output::Codes(_) if t == 0 => 0.0,
            Output::Preconditioned(of) => of.levels[t - 1].eps.net.powi(2),
            Output::Codes(_) => (bridge.forward(t).signal / bridge.forward(t).noise).powi(2),
        }
    }

    /// The weight of the output's squared error at level t that `loss` asks for.
    pub fn weight(
        &self,
        bridge: &Bridge,
        loss: LossWeight,
        variance: ReverseVariance,
        t: usize,
    ) -> f64 {
        match (loss, self) {
            (LossWeight::Weighted, _) if t > 0 => {
                self.of_eps(bridge, t) * finite_weight(bridge, t, variance)
            }
            (LossWeight::Simple, Output::Preconditioned(_)) | (_, Output::Codes(_)) => {
                self.of_eps(bridge, t)
            }
            _ => 1.0,
        }
    }
}

/// Rows of t = 0..T, [T + 1, width].
pub(super) fn table(
    gpu: &Gpu,
    steps: usize,
    width: usize,
    row: &dyn Fn(usize) -> Vec<f64>,
) -> Tensor {
    let values: Vec<f32> = (0..=steps).flat_map(row).map(|v| v as f32).collect();
    Tensor::from_slice(gpu, &values, [steps + 1, width])
}

/// The mean square of z*'s channels.
pub(super) fn shift(bridge: &Bridge, dim: usize) -> Result<f64> {
    let target = bridge.target().channels(dim)?;
    Ok(target
        .iter()
        .map(|z| (*z as f32) as f64)
        .map(|z| z * z)
        .sum::<f64>()
        / dim as f64)
}

/// The factor that gives z_t − z* unit variance at level t, for data with that `moment`.
fn input_scale(bridge: &Bridge, moment: f64, t: usize) -> f64 {
    let marginal = bridge.forward(t);
    (marginal.signal.powi(2) * moment + marginal.noise.powi(2))
        .sqrt()
        .recip()
}

/// The weight of ‖ε − ε_θ‖² of equation (4) at level t ≥ 1. At t = 1 the bridge variance's weight
/// is infinite: that term is L_0, whose own σ_1² = v β_1 gives the forward variance's weight.
fn finite_weight(bridge: &Bridge, t: usize, variance: ReverseVariance) -> f64 {
    let weight = bridge.weight(t, variance);
    if weight.is_finite() {
        weight
    } else {
        bridge.weight(t, ReverseVariance::Forward)
    }
}
