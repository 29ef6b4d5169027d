//! Definitions and cases, one file per shader.

mod adam;
mod attention;
mod batch_norm;
mod codebook;
mod conv2d;
mod conv_transpose2d;
mod elementwise;
mod film;
mod gather;
mod group_norm;
mod matmul;
mod mse;
mod ou_step;
mod pool;
mod random;
mod reduce;
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
        elementwise::cases,
        film::cases,
        gather::cases,
        group_norm::cases,
        matmul::cases,
        mse::cases,
        ou_step::cases,
        pool::cases,
        random::cases,
        reduce::cases,
        softmax::cases,
    ] {
        part(&mut list);
    }
    list
}
