//! What the bridge asks of a network.

use crate::nn::Module;
use crate::philox::Stream;
use crate::tensor::{Codes, Tensor};

/// A network that a bridge trains.
pub trait Denoiser: Module {
    /// The network's output [n, h, w, outputs] for `z` [n, h, w, inputs] at levels `t` `[n]`, told
    /// the classes `class` `[n]` if it knows of any. With `dropout`, whose step numbers the noise, it
    /// trains.
    fn forward(
        &self,
        z: &Tensor,
        t: &Codes,
        class: Option<&Codes>,
        dropout: Option<Stream>,
    ) -> Tensor;
}
