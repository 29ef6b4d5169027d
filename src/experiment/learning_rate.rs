//! Schedules of the learning rate and of the decay of the weights' moving average.

use crate::config::TrainConfig;
use crate::nn::optim::Moments;

impl From<&TrainConfig> for Moments {
    fn from(t: &TrainConfig) -> Moments {
        Moments {
            beta1: t.beta1,
            beta2: t.beta2,
            eps: t.eps,
            weight_decay: t.weight_decay,
        }
    }
}

/// ½(1 + cos πx), 0 from x = 1 on.
pub fn half_cosine(x: f64) -> f64 {
    0.5 * (1.0 + (std::f64::consts::PI * x.min(1.0)).cos())
}

/// Linear warm-up, then a cosine to 0.
pub fn learning_rate(t: &TrainConfig, step: u64) -> f64 {
    let warm = ((step + 1) as f64 / t.warmup.max(1) as f64).min(1.0);
    t.lr * warm * half_cosine(step as f64 / t.steps as f64)
}

/// Decay of the exponential moving average of the weights: `limit`, less in the first steps, when
/// there is little to average.
pub fn averaging(limit: f64, step: u64) -> f64 {
    limit.min((1.0 + step as f64) / (10.0 + step as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_warms_up_and_falls_to_nothing() {
        let t = TrainConfig {
            lr: 1.0,
            warmup: 10,
            steps: 100,
            ..TrainConfig::default()
        };
        assert!((learning_rate(&t, 0) - 0.1).abs() < 1e-9);
        assert!(learning_rate(&t, 12) > 0.9 && learning_rate(&t, 99) < 1e-3);
    }
}
