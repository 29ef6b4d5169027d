//! Tensors stored as f16 to save memory.

use bytemuck::{Pod, Zeroable};

use super::grid;
use crate::gpu::{Shader, shader};
use crate::tensor::{Codes, Shape, Tensor};

pub(super) static SHADER: Shader = shader!("half");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    count: u32,
}

/// A tensor's values rounded to f16, in half the memory.
#[derive(Clone, Debug)]
pub struct Half {
    words: Codes,
    shape: Shape,
}

impl Half {
    /// The values of `x`, rounded, and clamped to ±65,504.
    pub fn pack(x: &Tensor) -> Half {
        let words = Codes::uninit(x.gpu(), [x.count().div_ceil(2)]);
        dispatch("pack", x.gpu(), [x.buffer(), words.buffer()], x.count());
        Half {
            words,
            shape: x.shape(),
        }
    }

    /// The rounded values as f32, not on the tape.
    pub fn unpack(&self) -> Tensor {
        let y = Tensor::uninit(self.words.gpu(), self.shape);
        dispatch(
            "unpack",
            y.gpu(),
            [self.words.buffer(), y.buffer()],
            y.count(),
        );
        y
    }
}

fn dispatch(
    entry: &'static str,
    gpu: &crate::gpu::Gpu,
    buffers: [&crate::gpu::Buffer; 2],
    count: usize,
) {
    gpu.dispatch(
        &SHADER,
        entry,
        &[],
        &buffers,
        &Params {
            count: count as u32,
        },
        grid(count.div_ceil(2), 64),
    );
}
