//! The diffusion prior: what it starts from, and what its network is conditioned on.

use serde::{Deserialize, Serialize};

use super::Diffuse;

/// The diffusion prior on the latents of a frozen VQ-VAE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PriorConfig {
    /// What the bridge of stage `prior` starts from: `data`, the encoder's output z_e, or `codes`,
    /// its code vectors z_q.
    pub diffuse: Diffuse,
    /// Share of the training images for which the network is given some known codes; 0 for a
    /// network without that input. Needs `unet.prediction = "codes"`.
    pub known_share: f64,
    /// Share of those images whose other codes are pure noise, at t = T.
    pub known_at_end: f64,
    /// Factor on the network's logits in sampling, unless `--sharpen` overrides it. Values other
    /// than 1 need `unet.prediction = "codes"`.
    pub sharpen: f64,
}

impl Default for PriorConfig {
    fn default() -> Self {
        PriorConfig {
            diffuse: Diffuse::Data,
            known_share: 0.0,
            known_at_end: 0.6,
            sharpen: 1.0,
        }
    }
}

impl PriorConfig {
    /// What is invalid in it, if anything; `predicts_codes` says whether the network outputs
    /// logits.
    pub(super) fn wrong(&self, predicts_codes: bool) -> Option<String> {
        let shares = [
            ("known_share", self.known_share),
            ("known_at_end", self.known_at_end),
        ];
        if let Some((name, value)) = shares.iter().find(|(_, v)| !(0.0..=1.0).contains(v)) {
            return Some(format!("prior.{name} = {value} must be in [0, 1]"));
        }
        if !(self.sharpen > 0.0 && (self.sharpen as f32).is_finite()) {
            return Some(format!(
                "prior.sharpen = {} must be a finite number above 0",
                self.sharpen
            ));
        }
        let of_codes = [
            ("known_share", self.known_share > 0.0),
            ("sharpen", self.sharpen != 1.0),
        ];
        let (name, _) = of_codes
            .into_iter()
            .find(|(_, on)| *on && !predicts_codes)?;
        Some(format!("prior.{name} needs unet.prediction = \"codes\""))
    }
}
