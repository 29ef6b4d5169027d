//! Activation checkpointing: backward keeps everything, or only the inputs of a network's parts.

use crate::config::Activations;
use crate::ops::{self, Kept};
use crate::tensor::Tensor;

impl Activations {
    /// `x` as an input of [`Activations::run`].
    pub(super) fn keep(self, x: Tensor) -> Kept {
        match self {
            Activations::Keep | Activations::Recompute => Kept::exact(x),
            Activations::RecomputeF16 => Kept::half(x),
        }
    }

    /// Runs `part(inputs)`, one part of a network; when recomputing, backward runs it again.
    pub(super) fn run<const N: usize>(
        self,
        inputs: [&Kept; N],
        part: impl Fn([Tensor; N]) -> Tensor + 'static,
    ) -> Tensor {
        match self {
            Activations::Keep => part(inputs.map(|x| x.value().clone())),
            Activations::Recompute | Activations::RecomputeF16 => ops::recompute(inputs, part),
        }
    }
}
