//! Definitions and cases, one file per shader.

mod adam;
mod attention;
mod batch_norm;
mod bilinear;
mod ceiling;
mod code_law;
mod codebook;
mod conv2d;
mod conv_transpose2d;
mod dropout;
mod elementwise;
mod film;
mod gated;
mod gather;
mod group_norm;
mod half;
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
mod unfold;

use super::{Case, Input, Law, Real, U};

/// The whole table of cases.
pub fn cases() -> Vec<Case> {
    let mut list = Vec::new();
    for part in [
        adam::cases,
        attention::cases,
        batch_norm::cases,
        bilinear::cases,
        ceiling::cases,
        code_law::cases,
        codebook::cases,
        conv2d::cases,
        conv_transpose2d::cases,
        dropout::cases,
        elementwise::cases,
        film::cases,
        gated::cases,
        gather::cases,
        group_norm::cases,
        half::cases,
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
        unfold::cases,
    ] {
        part(&mut list);
    }
    list
}

/// Definitions that vectors use too.
#[cfg(feature = "app")]
pub(super) mod definitions {
    pub(crate) use super::adam::define as adam;
    pub(crate) use super::attention::define as attention;
    pub(crate) use super::batch_norm::normalise as batch_norm;
    pub(crate) use super::conv_transpose2d::scatter as conv_transpose2d;
    pub(crate) use super::conv2d::convolution as conv2d;
    pub(crate) use super::elementwise::{BINARY, UNARY, broadcast};
    pub(crate) use super::gated::gate;
    pub(crate) use super::gather::{sums_by_code, table_rows};
    pub(crate) use super::group_norm::normalise as group_norm;
    pub(crate) use super::kl::divergence;
    pub(crate) use super::matmul::product;
    pub(crate) use super::mse::terms as mse;
    pub(crate) use super::nearest::{first_least, nearest};
    pub(crate) use super::ou_step::stepped;
    pub(crate) use super::pool::{average, maximum};
    pub(crate) use super::reduce::sums;
    pub(crate) use super::resample::images;
    pub(crate) use super::softmax::centred;
}
