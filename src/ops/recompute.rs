//! Gradient checkpointing: backward computes the intermediate values of a part of the network
//! again, which trades time for memory (Chen et al. 2016).

use super::Half;
use crate::tensor::{self, Tensor};

/// An input of a recomputed part, with how it is kept until backward.
#[derive(Clone, Debug)]
pub struct Kept {
    value: Tensor,
    half: Option<Half>,
}

impl Kept {
    /// Keeps `value` as it is.
    pub fn exact(value: Tensor) -> Kept {
        Kept { value, half: None }
    }

    /// Keeps `value` rounded to f16, once for all parts that use it. On their first run the parts
    /// see `value` itself.
    pub fn half(value: Tensor) -> Kept {
        let half = value.gpu().records_gradients().then(|| Half::pack(&value));
        Kept { value, half }
    }

    /// The tensor itself.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    fn restore(&self) -> Box<dyn FnOnce() -> Tensor> {
        match self.half.clone() {
            Some(half) => Box::new(move || half.unpack()),
            None => {
                let value = self.value.detach();
                Box::new(move || value)
            }
        }
    }
}

/// `f(inputs)`, keeping in memory only what `inputs` keep until backward, which runs `f` once more.
/// `f` must be deterministic: random numbers come from their [`Stream`](crate::philox::Stream). If
/// no input wants a gradient, `f` is recorded as usual.
pub fn recompute<const N: usize>(
    inputs: [&Kept; N],
    f: impl Fn([Tensor; N]) -> Tensor + 'static,
) -> Tensor {
    tensor::recompute(inputs.map(Kept::value), inputs.map(Kept::restore), f)
}
