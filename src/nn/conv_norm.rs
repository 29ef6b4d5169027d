//! Convolution, batch normalisation and ReLU for inference only: one convolution with a bias, then
//! ReLU.

use super::layers::Conv2d;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::ops::{self, Conv};
use crate::tensor::Tensor;

/// Returns the values of the tensor with this name and dimensions, in PyTorch's order, or an error.
pub type Source<'a> = dyn FnMut(&str, &[usize]) -> Result<Vec<f32>> + 'a;

/// ReLU(γ (w * x − μ) / √(σ² + ε) + β) with constant statistics: the factor is folded into the
/// weights, the rest into a bias, both in f64 before rounding.
pub struct ConvNorm {
    conv: Conv2d,
}

impl ConvNorm {
    /// Loads `name.conv.weight` [o, c, height, width] and
    /// `name.bn.{weight, bias, running_mean, running_var}` `[o]` of a `kernel` [height, width] from
    /// `c` to `o` channels.
    ///
    /// # Errors
    /// That of `source`.
    pub fn load(
        gpu: &Gpu,
        source: &mut Source<'_>,
        name: &str,
        [c, o]: [usize; 2],
        kernel: [usize; 2],
        conv: Conv,
        eps: f64,
    ) -> Result<ConvNorm> {
        let [height, width] = kernel;
        let taps = height * width;
        let weight = source(&format!("{name}.conv.weight"), &[o, c, height, width])?;
        let mut of_channels = |part: &str| source(&format!("{name}.bn.{part}"), &[o]);
        let gamma = of_channels("weight")?;
        let beta = of_channels("bias")?;
        let mean = of_channels("running_mean")?;
        let var = of_channels("running_var")?;
        let factor: Vec<f64> = gamma
            .iter()
            .zip(&var)
            .map(|(&g, &v)| f64::from(g) / (f64::from(v) + eps).sqrt())
            .collect();
        let bias = beta
            .iter()
            .zip(&mean)
            .zip(&factor)
            .map(|((&b, &m), f)| (f64::from(b) - f64::from(m) * f) as f32);
        // [o, c, taps] → [taps, c, o].
        let mut turned = vec![0.0; weight.len()];
        for (at, &w) in weight.iter().enumerate() {
            let to = at / (c * taps);
            let from = at / taps % c;
            let tap = at % taps;
            turned[(tap * c + from) * o + to] = (f64::from(w) * factor[to]) as f32;
        }
        let weight = Tensor::from_slice(gpu, &turned, [height, width, c, o]);
        let bias = Tensor::from_slice(gpu, &bias.collect::<Vec<_>>(), [o]);
        Ok(ConvNorm {
            conv: Conv2d::of(weight, bias, conv),
        })
    }

    /// `x` [n, h, w, c] → [n, out_h, out_w, o].
    pub fn forward(&self, x: &Tensor) -> Tensor {
        ops::relu(&self.conv.forward(x))
    }
}
