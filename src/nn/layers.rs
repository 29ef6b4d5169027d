//! Layers: parameters with the op that uses them. Names and initial distributions are PyTorch's.

use super::Module;
use super::init::Init;
use crate::ops::{self, Conv, ConvTranspose};
use crate::tensor::Tensor;

/// The path of `name` inside `at`.
fn join(at: &str, name: &str) -> String {
    if at.is_empty() {
        name.to_string()
    } else {
        format!("{at}.{name}")
    }
}

/// Calls `f` for the parameters of `part`, with `name.` prefixed to their paths.
pub fn visit_part(name: &str, part: &mut dyn Module, f: &mut dyn FnMut(&str, &mut Tensor)) {
    part.visit(&mut |path, tensor| f(&join(name, path), tensor));
}

/// The same for the parts of a list, `name.0`, `name.1`, ….
pub fn visit_list<M: Module>(name: &str, parts: &mut [M], f: &mut dyn FnMut(&str, &mut Tensor)) {
    parts
        .iter_mut()
        .enumerate()
        .for_each(|(i, part)| visit_part(&format!("{name}.{i}"), part, f));
}

/// Convolution with bias: [n, h, w, c] → [n, out_h, out_w, o].
#[derive(Clone)]
pub struct Conv2d {
    weight: Tensor,
    bias: Tensor,
    conv: Conv,
}

impl Conv2d {
    /// Random weights of a `kernel` [height, width] from `c` to `o` channels, uniform in ±1/√(fan
    /// in).
    pub fn new(init: &mut Init, [c, o]: [usize; 2], kernel: [usize; 2], conv: Conv) -> Conv2d {
        let [h, w] = kernel;
        let bound = ((h * w * c) as f64).powf(-0.5);
        Conv2d {
            weight: init.uniform(&[h, w, c, o], bound),
            bias: init.uniform(&[o], bound),
            conv,
        }
    }

    /// A convolution with these parameters, `weight` [h, w, c, o] and `bias` `[o]`.
    pub fn of(weight: Tensor, bias: Tensor, conv: Conv) -> Conv2d {
        Conv2d { weight, bias, conv }
    }

    /// A `kernel` [height, width] of odd sides, stride 1, output of the input's size.
    pub fn same(init: &mut Init, channels: [usize; 2], kernel: [usize; 2]) -> Conv2d {
        let conv = Conv {
            padding: kernel.map(|side| side / 2),
            ..Conv::default()
        };
        Conv2d::new(init, channels, kernel, conv)
    }

    /// [`Conv2d::same`] with all parameters zero.
    pub fn zero(init: &mut Init, [c, o]: [usize; 2], kernel: [usize; 2]) -> Conv2d {
        let conv = Conv {
            padding: kernel.map(|side| side / 2),
            ..Conv::default()
        };
        let [h, w] = kernel;
        Conv2d {
            weight: init.zeros(&[h, w, c, o]),
            bias: init.zeros(&[o]),
            conv,
        }
    }

    /// The convolution of `x` [n, h, w, c].
    pub fn forward(&self, x: &Tensor) -> Tensor {
        ops::conv2d(x, &self.weight, Some(&self.bias), self.conv)
    }

    /// The convolution plus a `residual` of its shape.
    pub fn forward_residual(&self, x: &Tensor, residual: &Tensor) -> Tensor {
        ops::conv2d_residual(x, &self.weight, Some(&self.bias), self.conv, residual)
    }

    /// The convolution with only the kernel's first taps in raster order, which form a kernel of
    /// size `kernel`.
    pub fn forward_first(&self, x: &Tensor, kernel: [usize; 2]) -> Tensor {
        let [h, w, c, o] = self.weight.dims();
        if kernel == [h, w] {
            return self.forward(x);
        }
        let count = kernel[0] * kernel[1] * c * o;
        let first = ops::narrow(&self.weight.reshape([h * w * c * o]), 0, count)
            .reshape([kernel[0], kernel[1], c, o]);
        ops::conv2d(x, &first, Some(&self.bias), self.conv)
    }
}

impl Module for Conv2d {
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor)) {
        f("weight", &mut self.weight);
        f("bias", &mut self.bias);
    }
}

/// Transposed convolution with bias: [n, h, w, c] → [n, out_h, out_w, o].
#[derive(Clone)]
pub struct ConvTranspose2d {
    weight: Tensor,
    bias: Tensor,
    conv: ConvTranspose,
}

impl ConvTranspose2d {
    /// Doubles the size: 4 × 4, stride 2, padding 1.
    pub fn double(init: &mut Init, [c, o]: [usize; 2]) -> ConvTranspose2d {
        // PyTorch counts the fan in over the output's channels here.
        let bound = ((4 * 4 * o) as f64).powf(-0.5);
        let conv = ConvTranspose {
            stride: 2,
            padding: [1, 1],
            ..ConvTranspose::default()
        };
        ConvTranspose2d {
            weight: init.uniform(&[4, 4, o, c], bound),
            bias: init.uniform(&[o], bound),
            conv,
        }
    }

    /// The transposed convolution of `x` [n, h, w, c].
    pub fn forward(&self, x: &Tensor) -> Tensor {
        ops::conv_transpose2d(x, &self.weight, Some(&self.bias), self.conv)
    }
}

impl Module for ConvTranspose2d {
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor)) {
        f("weight", &mut self.weight);
        f("bias", &mut self.bias);
    }
}

/// y = x Wᵀ + b over the last dimension.
#[derive(Clone)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// Random weights from `i` to `o` features, uniform in ±1/√i.
    pub fn new(init: &mut Init, [i, o]: [usize; 2]) -> Linear {
        let bound = (i as f64).powf(-0.5);
        Linear {
            weight: init.uniform(&[o, i], bound),
            bias: init.uniform(&[o], bound),
        }
    }

    /// Applies the layer to `x` [.., i].
    pub fn forward(&self, x: &Tensor) -> Tensor {
        ops::linear(x, &self.weight, Some(&self.bias))
    }
}

impl Module for Linear {
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor)) {
        f("weight", &mut self.weight);
        f("bias", &mut self.bias);
    }
}

/// Group normalisation over [n, h, w, c], ε = 1e-5.
#[derive(Clone)]
pub struct GroupNorm {
    gamma: Tensor,
    beta: Tensor,
    groups: usize,
}

impl GroupNorm {
    /// γ = 1, β = 0; 32 groups, or the largest smaller number that divides `channels`, with at
    /// least two channels per group. Normalising a single channel would cancel what a U-Net adds to
    /// it for the level and the class.
    pub fn new(init: &mut Init, channels: usize) -> GroupNorm {
        let groups = (1..=32.min(channels / 2))
            .rev()
            .find(|g| channels.is_multiple_of(*g))
            .unwrap_or(1);
        GroupNorm {
            gamma: init.from(&[channels], |_| 1.0),
            beta: init.zeros(&[channels]),
            groups,
        }
    }

    /// Normalises `x` [n, h, w, c].
    pub fn forward(&self, x: &Tensor) -> Tensor {
        self.apply(x, ops::group_norm)
    }

    /// SiLU of the normalised `x`, in one kernel.
    pub fn forward_silu(&self, x: &Tensor) -> Tensor {
        self.apply(x, ops::group_norm_silu)
    }

    fn apply(&self, x: &Tensor, op: fn(&Tensor, &Tensor, &Tensor, usize, f32) -> Tensor) -> Tensor {
        let [n, h, w, c] = x.dims();
        let y = op(
            &x.reshape([n, h * w, c]),
            &self.gamma,
            &self.beta,
            self.groups,
            1e-5,
        )
        .reshape(x.shape());
        y.noted(&[&self.gamma])
    }
}

impl Module for GroupNorm {
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor)) {
        f("weight", &mut self.gamma);
        f("bias", &mut self.beta);
    }
}
