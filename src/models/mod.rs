//! The paper's models: plain Rust on ops, no index arithmetic and no kernel names.

mod activations;
mod algorithm1;
pub mod bound;
pub mod code_head;
mod conv_net;
pub mod denoiser;
pub mod diffusion;
pub mod first_stage;
pub mod inception;
pub mod joint;
pub mod lesson;
pub mod pixelcnn;
mod preconditioned;
mod prediction;
pub mod sampler;
mod terms;
pub mod toy;
pub mod unet;
pub mod vqvae;

use crate::tensor::Tensor;

/// What one training step computes.
pub struct Losses {
    /// What is minimised.
    pub total: Tensor,
    /// Its parts, by the names of `metrics.jsonl`.
    pub parts: Vec<(&'static str, Tensor)>,
    /// Mean −log p of each image's codes, `[n]`, nats per code, if that is minimised.
    pub each: Option<Tensor>,
}
