//! Preconditioning of a network (Karras et al. 2022, with σ² = v (1 − ᾱ)/ᾱ).
//!
//! The network sees c_in (z_t − z*) and gives F; ẑ_0 = z* + (c_skip/√ᾱ)(z_t − z*) + c_out F, so
//! both sides of its squared error have unit variance at every level.

use crate::bridge::{Affine, Bridge};

/// Coefficients of the preconditioned network at one level.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    /// Input: c_in (z_t − z*).
    pub input: f64,
    /// ε_θ = `eps.z` (z_t − z*) + `eps.net` F.
    pub eps: Affine,
    /// Target of F: `goal_z0` (z_0 − z*) + `goal_eps` ε.
    pub goal_z0: f64,
    /// See `goal_z0`.
    pub goal_eps: f64,
}

/// The coefficients at level t ≥ 1, for data with `moment` = E (z_0 − z*)² per dimension.
pub fn level(bridge: &Bridge, moment: f64, t: usize) -> Level {
    let alpha_bar = bridge.alpha_bar(t);
    let noise = bridge.forward(t).noise;
    let sigma2 = noise * noise / alpha_bar;
    let sigma = sigma2.sqrt();
    let total = sigma2 + moment;
    let skip = moment / total;
    let out = sigma * (moment / total).sqrt();
    Level {
        input: 1.0 / (alpha_bar * total).sqrt(),
        // 1 − c_skip = σ²/(σ² + S²), without cancellation.
        eps: Affine {
            z: sigma2 / total / noise,
            net: -alpha_bar.sqrt() * out / noise,
        },
        goal_z0: sigma2 / total / out,
        goal_eps: -skip * sigma / out,
    }
}
