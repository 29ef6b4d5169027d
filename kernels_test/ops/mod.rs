//! Definitions and cases, one file per shader.

mod adam;
mod attention;
mod batch_norm;
mod codebook;
mod conv2d;
mod conv_transpose2d;
mod dropout;
mod elementwise;
mod film;
mod gated;
mod gather;
mod group_norm;
mod kl;
mod layout;
mod matmul;
mod mse;
mod nearest;
mod ou_step;
mod pool;
mod random;
mod reduce;
mod resample;
mod softmax;

use super::{Case, Input, Real};

/// The whole table of cases.
pub fn cases() -> Vec<Case> {
    let mut list = Vec::new();
    for part in [
        adam::cases,
        attention::cases,
        batch_norm::cases,
        codebook::cases,
        conv2d::cases,
        conv_transpose2d::cases,
        dropout::cases,
        elementwise::cases,
        film::cases,
        gated::cases,
        gather::cases,
        group_norm::cases,
        kl::cases,
        layout::cases,
        matmul::cases,
        mse::cases,
        nearest::cases,
        ou_step::cases,
        pool::cases,
        random::cases,
        reduce::cases,
        resample::cases,
        softmax::cases,
    ] {
        part(&mut list);
    }
    list
}
