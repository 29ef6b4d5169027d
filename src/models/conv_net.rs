//! A residual Conv1d stack modulated by the level t: the toy's network.

use super::denoiser::Denoiser;
use crate::config::DenoiserConfig;
use crate::nn::Module;
use crate::nn::init::Init;
use crate::ops;
use crate::philox::Stream;
use crate::tensor::{Codes, Tensor};

/// F_θ(x, t): h = x W + positions; then blocks h += silu(conv(h) s_t + b_t) W; F = h W.
pub struct ConvNet {
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

impl ConvNet {
    /// A network with random weights for sequences of `length` positions with `inputs` channels,
    /// and a bridge of `steps` steps. It starts as F = 0.
    pub fn new(
        init: &mut Init,
        config: &DenoiserConfig,
        length: usize,
        [inputs, outputs]: [usize; 2],
        steps: usize,
    ) -> ConvNet {
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
        ConvNet {
            input: init.normal(&[c, inputs], (inputs as f64).powf(-0.5)),
            position: init.zeros(&[length, c]),
            blocks: (0..config.blocks).map(|_| block(init)).collect(),
            output: init.zeros(&[outputs, c]),
            features: init.from(&[steps + 1, features], |i| angle(i).cos() as f32),
        }
    }
}

impl Denoiser for ConvNet {
    /// Sequences are grids of one row. The network ignores classes and has no dropout.
    fn forward(
        &self,
        z: &Tensor,
        t: &Codes,
        _class: Option<&Codes>,
        _dropout: Option<Stream>,
    ) -> Tensor {
        let [n, _, length, inputs] = z.dims();
        let x = z.reshape([n, length, inputs]);
        let features = ops::gather(&self.features, t);
        let mut h = ops::add(&ops::linear(&x, &self.input, None), &self.position);
        for block in &self.blocks {
            let modulation = ops::linear(&features, &block.film, None);
            let [kernel, ..] = block.conv.dims::<3>();
            let u = ops::film_silu(&ops::conv1d(&h, &block.conv, None, kernel / 2), &modulation);
            h = ops::linear_residual(&u, &block.out, &h);
        }
        let output = ops::linear(&h, &self.output, None);
        output.reshape([n, 1, length, output.shape().last()])
    }
}

impl Module for ConvNet {
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
