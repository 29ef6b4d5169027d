//! Whether the forward process ends where sampling starts.

use crate::bridge::Bridge;
use crate::error::{Error, Result};

/// Largest accepted terminal KL of unit-variance data, in nats per dimension.
///
/// Working schedules stay well below (the toy's 0.20, the image schedule's 1000 steps 2e-5).
/// Cutting the latter to its first 100 steps, which leaves 90 % of the signal, gives 1.14.
pub const MAX_TERMINAL_KL: f64 = 0.5;

/// Refuses a schedule that ends too far from the prior it is sampled from, unless `allow` is set.
///
/// # Errors
/// [`Error::Config`] if the terminal KL of unit-variance data is above [`MAX_TERMINAL_KL`].
pub fn check_terminal(bridge: &Bridge, allow: bool) -> Result<()> {
    let kl = bridge.terminal_kl(1.0);
    if allow || kl <= MAX_TERMINAL_KL {
        return Ok(());
    }
    Err(Error::Config(format!(
        "the schedule ends {} nats per dimension (unit-variance data) from the prior N(z*, v) it is sampled from, \
         more than {MAX_TERMINAL_KL}: the prior is not where the forward process ends (alpha_bar_T = {:.3}, v = {}); \
         raise steps, beta or total_time, or pass --allow-bad-terminal",
        short(kl),
        bridge.alpha_bar(bridge.steps()),
        short(bridge.stationary_variance()),
    )))
}

/// Formats a number in fixed or scientific notation, whichever suits its size.
fn short(value: f64) -> String {
    if (1e-3..1e6).contains(&value) {
        format!("{value:.4}")
    } else {
        format!("{value:.3e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::{Spacing, Target};

    fn bridge(theta: f64, eta: f64, steps: usize, spacing: Spacing) -> Bridge {
        Bridge::new(theta, eta, Target::Scalar(0.0), steps, spacing)
            .expect("the numbers make sense")
    }

    #[test]
    fn a_schedule_cut_short_is_refused() {
        let toy = bridge(2.0, 0.1, 50, Spacing::Constant { total_time: 1.727 });
        let linear = |steps: usize, beta_end: f64| {
            let spacing = Spacing::Linear {
                beta_start: 1e-4,
                beta_end,
            };
            bridge(1.0, f64::sqrt(2.0), steps, spacing)
        };
        assert!(
            check_terminal(&toy, false).is_ok()
                && check_terminal(&linear(1000, 0.02), false).is_ok()
        );
        assert!((toy.terminal_kl(1.0) - 0.2).abs() < 0.01);
        let cut = linear(100, 0.00208);
        let message = check_terminal(&cut, false)
            .expect_err("it is cut short")
            .to_string();
        for part in ["1.1", "N(z*, v)", "raise steps", "--allow-bad-terminal"] {
            assert!(message.contains(part), "{message}");
        }
        assert!(check_terminal(&cut, true).is_ok());
    }
}
