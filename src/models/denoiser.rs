//! The interface between the bridge and a network.

use crate::nn::Module;
use crate::philox::Stream;
use crate::tensor::{Codes, Tensor};

/// A network that a bridge trains.
pub trait Denoiser: Module {
    /// The network's output [n, h, w, outputs] for `z` [n, h, w, inputs] at levels `t` `[n]`,
    /// conditioned on the classes `class` `[n]` if it has any. `dropout` turns dropout on, with
    /// that stream's random numbers.
    fn forward(
        &self,
        z: &Tensor,
        t: &Codes,
        class: Option<&Codes>,
        dropout: Option<Stream>,
    ) -> Tensor;
}
