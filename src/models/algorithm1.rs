//! Algorithm 1: what the diffusion bridge adds to the losses of a first stage that learns with it.

use super::Losses;
use super::diffusion::{Diffusion, Lesson, Loss, Plan};
use super::terms::{Regularising, passing};
use crate::config::JointConfig;
use crate::ops;
use crate::philox::Stream;
use crate::tensor::{Codes, Tensor};

/// What a first stage makes of a batch.
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

/// L^rec + L_t + L_reg of a batch at the levels of `plan`, told the classes `class` `[n]`.
///
/// Of a prior that predicts codes, L_t reaches what made the latents through z_t (and through the
/// known z_0), and code vectors that learn by gradient through the likelihood and ẑ_0, both as much
/// as `config.diffusion_gradient` says. The codes that it asks for are the nearest ones, through
/// which nothing passes. L_reg is there to move encoder and codes: its gradient passes whole.
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
