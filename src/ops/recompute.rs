//! Memory for time: a part of a network whose intermediate values backward computes again (Chen et
//! al. 2016).

use super::Half;
use crate::tensor::{self, Tensor};

/// An input of a recomputed part, and how it is kept until backward.
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

    /// Keeps `value` rounded to f16, once for all parts that take it. The parts see `value` itself
    /// when they first run.
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

/// `f(inputs)`, of which only what `inputs` keep stays in memory until backward, which runs `f`
/// once more. `f` must give the same again: random numbers by their
/// [`Stream`](crate::philox::Stream). If no input wants a gradient, `f` is recorded as usual.
pub fn recompute<const N: usize>(
    inputs: [&Kept; N],
    f: impl Fn([Tensor; N]) -> Tensor + 'static,
) -> Tensor {
    tensor::recompute(inputs.map(Kept::value), inputs.map(Kept::restore), f)
}
