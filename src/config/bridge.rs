//! The Ornstein-Uhlenbeck bridge of a configuration.

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::bridge::{Bridge, ReverseVariance, Spacing, Target};
use crate::error::Result;

/// Σδ of the toy: ln(1000) / 2ϑ, so that ᾱ_T = 1e-3.
const TOTAL_TIME: f64 = 1.726_938_819_745_534;

/// The bridge: dZ = −ϑ(Z − z*)dt + η dW over `steps` steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BridgeConfig {
    /// T.
    pub steps: usize,
    /// ϑ.
    pub theta: f64,
    /// η.
    pub eta: f64,
    /// z*, a number or one per channel.
    pub target: Target,
    /// σ_t² of the reverse step.
    pub reverse_variance: ReverseVariance,
    /// `schedule` and its numbers.
    #[serde(flatten)]
    pub spacing: Spacing,
}

impl Default for BridgeConfig {
    fn default() -> Self {
        let spacing = Spacing::Constant {
            total_time: TOTAL_TIME,
        };
        let target = Target::Scalar(0.0);
        let reverse_variance = ReverseVariance::Bridge;
        BridgeConfig {
            steps: 50,
            theta: 2.0,
            eta: 0.1,
            target,
            reverse_variance,
            spacing,
        }
    }
}

impl BridgeConfig {
    /// The bridge with these numbers.
    ///
    /// # Errors
    /// [`Error::Config`](crate::error::Error::Config) naming the number that is wrong.
    pub fn build(&self) -> Result<Bridge> {
        Bridge::new(
            self.theta,
            self.eta,
            self.target.clone(),
            self.steps,
            self.spacing,
        )
    }
}

/// A schedule that is chosen without its numbers takes their defaults.
pub(super) fn complete_spacing(table: &mut Table) {
    let Some(Value::Table(bridge)) = table.get_mut("bridge") else {
        return;
    };
    let numbers: &[(&str, f64)] = match bridge.get("schedule").and_then(Value::as_str) {
        Some("constant") => &[("total_time", TOTAL_TIME)],
        Some("linear") => &[("beta_start", 1e-4), ("beta_end", 0.02)],
        _ => &[],
    };
    for (key, value) in numbers {
        bridge.entry(*key).or_insert(Value::Float(*value));
    }
}
