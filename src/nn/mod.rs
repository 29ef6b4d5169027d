//! What models are made of: parameters that can be visited, initialisation, the optimiser,
//! checkpoints.

pub mod checkpoint;
pub mod codebook;
pub mod conv_norm;
pub mod init;
pub mod layers;
pub mod optim;

use crate::tensor::Tensor;

/// Anything with parameters. One visitor serves the optimiser, checkpoints and summaries.
pub trait Module {
    /// Calls `f(path, parameter)` for every parameter, always in the same order. Paths are plain,
    /// e.g. `blocks.0.conv.weight`. A parameter of more than two dimensions is the kernel of a
    /// convolution, channels last: `dbvq-wgpu export` turns those, and only those, into PyTorch's
    /// order.
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor));

    /// Number of parameters.
    fn parameters(&mut self) -> usize {
        let mut count = 0;
        self.visit(&mut |_, tensor| count += tensor.count());
        count
    }
}
