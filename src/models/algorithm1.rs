//! Algorithm 1: the losses that the diffusion bridge adds to those of a first stage trained
//! jointly.

use super::Losses;
use super::diffusion::Diffusion;
use super::lesson::{Lesson, Loss, Plan};
use super::terms::{Regularising, passing};
use crate::config::JointConfig;
use crate::ops;
use crate::philox::Stream;
use crate::tensor::{Codes, Tensor};

/// A batch encoded by a first stage.
pub(super) struct Encoded<'a> {
    /// Its own losses: L^rec.
    pub losses: Losses,
    /// Where the bridge starts, as the prior sees it, [n, h, w, d].
    pub start: &'a Tensor,
    /// What L_reg noises, [n, h, w, d].
    pub regularised: &'a Tensor,
    /// The codes, [n, h, w].
    pub codes: &'a Codes,
    /// The code vectors, [k, d].
    pub vectors: &'a Tensor,
}

/// L^rec + L_t + L_reg of a batch at the levels of `plan`, conditioned on the classes `class`
/// `[n]`.
///
/// If the prior predicts codes, the gradient of L_t reaches the encoder through z_t (and through
/// the known z_0), and trainable code vectors through the likelihood and ẑ_0, both as far as
/// `config.diffusion_gradient` allows. Its target codes are the nearest ones, which pass no
/// gradient. L_reg is meant to move encoder and codes, so its gradient passes in full.
pub(super) fn losses(
    prior: &Diffusion,
    config: &JointConfig,
    encoded: Encoded,
    plan: &Plan,
    class: Option<&Codes>,
    stream: Stream,
) -> Losses {
    let Encoded {
        mut losses,
        start,
        regularised,
        codes,
        vectors,
    } = encoded;
    let passing = |x: &Tensor| passing(x, config.diffusion_gradient, config.gradient_scale);
    let z0 = passing(start);
    if prior.head().is_some() {
        prior.speak(&passing(vectors));
    }
    let lesson = Lesson {
        z0: &z0,
        codes: Some(codes),
        plan,
        class,
        stream,
    };
    let Loss { total, each } = prior.loss(&lesson, true);
    losses.each = each;
    losses.total = ops::add(&losses.total, &total);
    losses.parts.push(("diffusion", total));
    let zt = || prior.noised(regularised, &plan.t, stream).0;
    let codebook = || prior.standardise(vectors);
    let steps = prior.bridge.steps();
    let regulariser = Regularising::from(config).loss(zt, codebook, &plan.t, steps);
    if let Some(regulariser) = regulariser {
        let weighted = ops::affine(&regulariser, config.regulariser_weight as f32, 0.0);
        losses.total = ops::add(&losses.total, &weighted);
        losses.parts.push(("regulariser", regulariser));
    }
    losses
}
