//! The diffusion prior: what it starts from, and what its network is told.

use serde::{Deserialize, Serialize};

use super::Diffuse;

/// The diffusion prior on the latents of a frozen VQ-VAE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PriorConfig {
    /// What the bridge of stage `prior` starts from: `data`, the encoder's output z_e, or `codes`,
    /// its code vectors z_q.
    pub diffuse: Diffuse,
    /// Share of the training images of which the network is told some codes; 0 for a network that
    /// cannot be told. With `unet.prediction = "codes"` only.
    pub known_share: f64,
    /// Share of those images whose other codes are pure noise, at t = T.
    pub known_at_end: f64,
    /// Factor of the network's logits in sampling, unless `--sharpen` says otherwise. With
    /// `unet.prediction = "codes"` only.
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
    /// What makes no sense in it, where `predicts_codes` says whether the network gives logits.
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
