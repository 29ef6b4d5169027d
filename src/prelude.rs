//! The items that most programs on this engine need: `use dbvq_wgpu::prelude::*;`.

pub use crate::error::{Error, Result};
pub use crate::gpu::{Gpu, GpuOptions};
pub use crate::module;
pub use crate::nn::Module;
pub use crate::nn::adam::{Adam, AdamOptions};
pub use crate::nn::init::Init;
pub use crate::nn::layers::{Conv2d, ConvTranspose2d, GroupNorm, Linear};
pub use crate::ops::{self, Conv, Kernel, Operand};
pub use crate::philox::Stream;
pub use crate::tensor::{Codes, Grads, Shape, Tensor};
