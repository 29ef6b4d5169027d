//! How VQ-VAE and prior are trained together.

use serde::{Deserialize, Serialize};

/// Joint training of the image models, Algorithm 1 end to end. The defaults are safe: the VQ-VAE
/// learns from its own losses only, the prior follows its latents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JointConfig {
    /// Peak learning rate of the VQ-VAE; that of the U-Net is `stages.joint.lr`. The gradients of
    /// each are clipped by their own norm.
    pub vqvae_lr: f64,
    /// What the bridge starts from: `data`, the encoder's output z_e, or `codes`, its code vectors
    /// z_q.
    pub diffuse: Diffuse,
    /// How much of the diffusion loss's gradient reaches the encoder.
    pub diffusion_gradient: DiffusionGradient,
    /// Factor for `diffusion_gradient = "scale"`.
    pub gradient_scale: f64,
    /// L_reg, on standardised latents and code vectors. Its gradient reaches the encoder, and with
    /// `vqvae.codebook = "gradient"` the codes.
    pub regulariser: Regulariser,
    /// Its weight; the paper's value, 1, does harm.
    pub regulariser_weight: f64,
    /// Logits of `kl` are −scale · ‖z − e‖².
    pub scale: f64,
    /// τ of q(z_q^t | z_t).
    pub reg_tau: f64,
    /// τ_0 of p(z_q^t | z_t), geometric to `reg_tau_last` at t = T.
    pub reg_tau_first: f64,
    /// τ_T.
    pub reg_tau_last: f64,
}

impl Default for JointConfig {
    fn default() -> Self {
        JointConfig {
            vqvae_lr: 1e-4,
            diffuse: Diffuse::Data,
            diffusion_gradient: DiffusionGradient::Stop,
            gradient_scale: 0.01,
            regulariser: Regulariser::Off,
            regulariser_weight: 0.01,
            scale: 1.0,
            reg_tau: 1.0,
            reg_tau_first: 10.0,
            reg_tau_last: 0.1,
        }
    }
}

impl JointConfig {
    /// What is invalid in it, if anything.
    pub(super) fn wrong(&self) -> Option<String> {
        let c = self;
        let above = [
            ("scale", c.scale),
            ("reg_tau", c.reg_tau),
            ("reg_tau_first", c.reg_tau_first),
        ];
        if let Some((name, value)) = above
            .iter()
            .chain(&[("reg_tau_last", c.reg_tau_last)])
            .find(|(_, v)| !(*v > 0.0 && (*v as f32).is_finite()))
        {
            return Some(format!(
                "joint.{name} = {value} must be a finite number above 0"
            ));
        }
        let sizes = [
            ("vqvae_lr", c.vqvae_lr),
            ("gradient_scale", c.gradient_scale),
            ("regulariser_weight", c.regulariser_weight),
        ];
        let (name, value) = sizes
            .iter()
            .find(|(_, v)| !(*v >= 0.0 && (*v as f32).is_finite()))?;
        Some(format!(
            "joint.{name} = {value} must be finite and not negative"
        ))
    }
}

/// L_reg of equation (5), minimised. The printed signs differ between sections of the paper. `kl`
/// is the term of the ELBO. `gamma` is the short form, with the sign that pulls z_t and its code
/// together where τ_t > τ; that is opposite to the leading term of `kl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Regulariser {
    /// KL(q(z_q^t | z_t) ‖ p(z_q^t | z_t)).
    Kl,
    /// γ_t ‖z_t − ẑ_q^t‖², γ_t = 1/τ − 1/τ_t.
    Gamma,
    /// None.
    Off,
}

/// What the bridge starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Diffuse {
    /// z_e^0: the data in the toy, the encoder's output for images.
    Data,
    /// z_q^0: the Gumbel-softmax sample in the toy, the nearest code vectors for images.
    Codes,
}

/// How much of the diffusion loss's gradient reaches z_0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiffusionGradient {
    /// Nothing.
    Stop,
    /// `gradient_scale` times it.
    Scale,
    /// All of it.
    Full,
}
