//! The toy's network: a residual Conv1d stack modulated by the time step, with a linear skip in
//! closed form.

use crate::config::{DenoiserConfig, DenoiserOutput};
use crate::data::toy::{CODES, DIM, LENGTH};
use crate::nn::Module;
use crate::nn::init::Init;
use crate::ops;
use crate::tensor::{Codes, Tensor};

/// F_θ(x, t): h = x W + positions; then blocks h += silu(conv(h) s_t + b_t) W; F = h W, logits
/// where codes are predicted.
pub struct Denoiser {
    input: Tensor,
    position: Tensor,
    blocks: Vec<Block>,
    output: Tensor,
    /// cos(π k t/T), [T + 1, features]; not trained.
    features: Tensor,
}

struct Block {
    conv: Tensor,
    film: Tensor,
    out: Tensor,
}

impl Denoiser {
    /// A network with random weights for a bridge of `steps` steps. It starts as F = 0: the linear
    /// skip alone.
    pub fn new(init: &mut Init, config: &DenoiserConfig, steps: usize) -> Denoiser {
        // Beside the point stands the mean of the codes by their likelihood, where codes are
        // predicted.
        let [inputs, outputs] = match config.prediction {
            DenoiserOutput::Preconditioned => [DIM, DIM],
            DenoiserOutput::Codes => [2 * DIM, CODES],
        };
        let c = config.channels;
        let k = config.kernel;
        let features = config.features;
        let block = |init: &mut Init| Block {
            conv: init.normal(&[k, c, c], ((k * c) as f64).powf(-0.5)),
            // The constant feature starts as scale 1, everything else as 0.
            film: init.from(&[2 * c, features], |i| {
                f32::from(u8::from(
                    (i as usize).is_multiple_of(features) && i as usize / features < c,
                ))
            }),
            out: init.normal(&[c, c], 0.3 * (c as f64).powf(-0.5)),
        };
        let angle = |i: u32| {
            std::f64::consts::PI * f64::from(i % features as u32) * f64::from(i / features as u32)
                / steps as f64
        };
        Denoiser {
            input: init.normal(&[c, inputs], (inputs as f64).powf(-0.5)),
            position: init.zeros(&[LENGTH, c]),
            blocks: (0..config.blocks).map(|_| block(init)).collect(),
            output: init.zeros(&[outputs, c]),
            features: init.from(&[steps + 1, features], |i| angle(i).cos() as f32),
        }
    }

    /// F_θ: `x` [n, 5, inputs], levels `t` `[n]` → [n, 5, outputs]; 2 and 2, or 4 and 8 where codes
    /// are predicted.
    pub fn forward(&self, x: &Tensor, t: &Codes) -> Tensor {
        let features = ops::gather(&self.features, t);
        let mut h = ops::add(&ops::linear(x, &self.input, None), &self.position);
        for block in &self.blocks {
            let modulation = ops::linear(&features, &block.film, None);
            let [kernel, ..] = block.conv.dims::<3>();
            let u = ops::film_silu(&ops::conv1d(&h, &block.conv, None, kernel / 2), &modulation);
            h = ops::linear_residual(&u, &block.out, &h);
        }
        ops::linear(&h, &self.output, None)
    }
}

impl Module for Denoiser {
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor)) {
        f("input.weight", &mut self.input);
        f("position", &mut self.position);
        for (i, block) in self.blocks.iter_mut().enumerate() {
            f(&format!("blocks.{i}.conv.weight"), &mut block.conv);
            f(&format!("blocks.{i}.film.weight"), &mut block.film);
            f(&format!("blocks.{i}.out.weight"), &mut block.out);
        }
        f("output.weight", &mut self.output);
    }
}
