//! One file per kernel family, named like its WGSL: shape rule, dispatch, and the gradient as a
//! closure.
//!
//! Arguments are tensors first, by reference, then numbers. Ops panic with both shapes if these do
//! not fit.

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
mod family;
mod film;
mod gated;
mod gather;
mod group_norm;
mod half;
mod kernel;
mod kl;
mod layout;
mod matmul;
mod methods;
mod mse;
mod nearest;
mod ou_step;
mod pool;
mod random;
mod recompute;
mod reduce;
mod resample;
mod softmax;
mod unfold;
mod winograd;

pub use adam::{AdamStep, Clip, adam, clip, collect, ema};
pub use attention::{Attention, attention};
pub use batch_norm::batch_norm;
pub use bilinear::bilinear;
pub use ceiling::{copy, fma_chain};
pub use code_law::CodeLaw;
pub use codebook::{codebook_ema, distances, straight_through};
pub use conv_transpose2d::{ConvTranspose, conv_transpose2d};
pub use conv2d::{Conv, Mask, conv1d, conv2d, conv2d_residual};
pub use dropout::dropout;
pub use elementwise::{
    add, affine, div, elu, exp, gelu, log, mul, relu, sigmoid, silu, square, sub, tanh,
};
pub use film::film_silu;
pub use gated::gated;
pub use gather::{code_counts, gather, scatter_add};
pub use group_norm::{group_norm, group_norm_silu, layer_norm};
pub use half::Half;
pub use kernel::{Kernel, Operand};
pub use kl::kl_divergence;
pub use layout::{concat, narrow, to_nchw, to_nhwc, transpose};
pub use matmul::{Trans, linear, linear_residual, matmul, matrices_are_right};
pub use mse::{mse, weighted_mse};
pub use nearest::{argmin, nearest};
pub use ou_step::{marginal, multistep, step, step_given};
pub use pool::{Pool, avg_pool2d, max_pool2d};
pub use random::{bits, gumbel, normal, uniform};
pub use recompute::{Kept, recompute};
pub use reduce::{mean, mean_all, squared_norm, sum, sum_all, sum_to};
pub use resample::{crop, pad, upsample_nearest};
pub use softmax::{cross_entropy, gumbel_softmax, log_softmax, softmax};
pub use unfold::{fold, unfold};

pub(crate) use crate::tensor::grid;

/// Most loop rounds of one invocation, over all loops: lavapipe 22.3 silently stops at 65,535.
pub const LOOPS: usize = 60_000;

/// Shaders of all ops with their file names, for checks that need no device.
pub fn shaders() -> Vec<&'static crate::gpu::Shader> {
    let list = [
        &attention::SHADER,
        &attention::BACKWARD,
        &batch_norm::SHADER,
        &bilinear::SHADER,
        &ceiling::SHADER,
        &code_law::SHADER,
        &code_law::TILES,
        &codebook::SHADER,
        &conv2d::SHADER,
        &conv2d::VEC4,
        &conv2d::LANES,
        &conv2d::params::UNFOLD,
        &dropout::SHADER,
        &film::SHADER,
        &gated::SHADER,
        &gather::SHADER,
        &group_norm::SHADER,
        &half::SHADER,
        &kl::SHADER,
        &matmul::SHADER,
        &matmul::VEC4,
        &matmul::LANES,
        &mse::SHADER,
        &nearest::SHADER,
        &nearest::VEC4,
        &nearest::AMONG,
        &ou_step::SHADER,
        &pool::SHADER,
        &random::SHADER,
        &winograd::SHADER,
        &winograd::LANES,
    ];
    let variants = [
        &adam::VARIANTS[..],
        &group_norm::DIRECT,
        &elementwise::VARIANTS,
        &elementwise::ARITHMETIC,
        &layout::VARIANTS,
        &reduce::VARIANTS,
        &resample::VARIANTS,
        &softmax::VARIANTS,
        &crate::tensor::ACCUMULATE,
    ];
    let tiled = [
        &matmul::TILED,
        &conv2d::TILED,
        &conv2d::TILED_INPUT,
        &conv2d::TILED_WEIGHT,
    ]
    .map(|tiled| &tiled[..]);
    list.into_iter()
        .chain(variants.into_iter().chain(tiled).flatten())
        .collect()
}
