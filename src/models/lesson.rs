//! What a prior is asked, and what it learns from.

use crate::ops;
use crate::philox::Stream;
use crate::tensor::{Codes, Tensor};

/// Classifier-free guidance (Ho & Salimans 2022): ε = ε_∅ + scale (ε_c − ε_∅), and likewise for
/// logits.
pub struct Guidance {
    /// The class c of each sample, `[n]`.
    pub class: Codes,
    /// Guidance scale: 1 is the conditional model itself, between 0 and 1 weakens the class, more
    /// exaggerates it.
    pub scale: f32,
}

/// The known part of z_0, which conditions the network.
#[derive(Clone)]
pub struct Told {
    /// z_0, standardised, [n, h, w, d]; unknown positions are ignored.
    pub z0: Tensor,
    /// 1 where it is known, else 0: [n or 1, h, w, 1].
    pub mask: Tensor,
}

impl Told {
    /// `z` [n, h, w, d] with z_0 at the known positions.
    pub fn put_into(&self, z: &Tensor) -> Tensor {
        let hole = ops::affine(&self.mask, -1.0, 1.0);
        ops::add(&ops::mul(z, &hole), &ops::mul(&self.z0, &self.mask))
    }
}

/// Conditioning of a network evaluation.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// Classifier-free guidance.
    pub guidance: Option<&'a Guidance>,
    /// The known part of z_0.
    pub told: Option<&'a Told>,
    /// Factor on the logits.
    pub sharpen: f32,
}

impl Default for Ask<'_> {
    fn default() -> Self {
        Ask {
            guidance: None,
            told: None,
            sharpen: 1.0,
        }
    }
}

/// Levels of the images of a training step, and which positions the network is told.
pub struct Plan {
    /// t, `[n]`.
    pub t: Codes,
    /// 1 where z_0 is known, else 0, [n, h, w, 1]; and the weight of each position in the loss, [n,
    /// h w].
    pub told: Option<[Tensor; 2]>,
}

impl Plan {
    /// The levels `t` `[n]`, with no known positions.
    pub fn at(t: Codes) -> Plan {
        Plan { t, told: None }
    }
}

/// Inputs of a training step.
pub struct Lesson<'a> {
    /// z_0, standardised, [n, h, w, d].
    pub z0: &'a Tensor,
    /// Its codes, [n, h, w], for a prior that predicts them.
    pub codes: Option<&'a Codes>,
    /// Its levels, and which positions the network is told.
    pub plan: &'a Plan,
    /// Classes `[n]`, if the network is conditioned on them.
    pub class: Option<&'a Codes>,
    /// Random numbers; its step is the training step.
    pub stream: Stream,
}

/// The loss of a lesson.
pub struct Loss {
    /// The mean, minimised.
    pub total: Tensor,
    /// Mean −log p of each image's codes, `[n]`, nats per code; `None` unless training minimises
    /// it.
    pub each: Option<Tensor>,
}
