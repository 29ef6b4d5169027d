//! A case ready to run: its tensors on the GPU, and a closure to time.

use super::training;
use super::work::{Case, Direction, Work};
use crate::bridge::Step;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::ops::{self, AdamStep, Attention, Conv, ConvTranspose, Trans};
use crate::philox::Stream;
use crate::tensor::{Shape, Tensor};

/// Maximum elements per Adam arena, as in `nn::optim`.
const ARENA: usize = 16 << 20;

/// The closure to time.
pub enum Prepared {
    /// Records an op and drops its result.
    Forward(Box<dyn Fn()>),
    /// Records an op with its gradient rule; the tensor is `dy`, the gradient of its result.
    Backward(Box<dyn Fn() -> Tensor>, Tensor),
    /// Records training step number `n`.
    Step(Box<dyn FnMut(u64) -> Result<()>>),
}

impl Prepared {
    /// Prepares `case` on `gpu` with random inputs.
    ///
    /// # Errors
    /// Those of loading a preset.
    pub fn new(gpu: &Gpu, case: &Case) -> Result<Prepared> {
        if case.direction == Direction::Step {
            return Ok(Prepared::Step(training::step(gpu, &case.work)?));
        }
        if let Work::Adam { count } = case.work {
            return Ok(Prepared::Forward(adam(gpu, count)));
        }
        let op = op(gpu, case);
        if case.direction == Direction::Forward {
            return Ok(Prepared::Forward(Box::new(move || drop(op()))));
        }
        let shape = op().expect("an op with a gradient gives a tensor").shape();
        let dy = Numbers::new(gpu).normal(shape);
        Ok(Prepared::Backward(
            Box::new(move || op().expect("as before")),
            dy,
        ))
    }

    /// Multiplications and additions of one run, as the engine counts them.
    pub fn count(&self, gpu: &Gpu) -> u64 {
        let counted = |f: &dyn Fn()| {
            let before = gpu.counters().flops;
            f();
            gpu.counters().flops - before
        };
        match self {
            Prepared::Forward(op) => counted(op),
            Prepared::Backward(op, dy) => {
                let y = op();
                counted(&|| drop(y.backward_from(dy.clone())))
            }
            Prepared::Step(_) => 0,
        }
    }
}

/// Standard normal tensors, each from its own stream.
struct Numbers<'a> {
    gpu: &'a Gpu,
    stream: std::cell::Cell<u32>,
}

impl Numbers<'_> {
    fn new(gpu: &Gpu) -> Numbers<'_> {
        Numbers {
            gpu,
            stream: std::cell::Cell::new(1),
        }
    }

    fn normal(&self, shape: impl Into<Shape>) -> Tensor {
        let stream = self.stream.replace(self.stream.get() + 1);
        ops::normal(
            self.gpu,
            shape,
            Stream {
                seed: 7,
                step: 0,
                stream,
                first: 0,
            },
        )
    }
}

/// A closure that records the op of `case`; its inputs are leaves if its direction needs their
/// gradients.
fn op(gpu: &Gpu, case: &Case) -> Box<dyn Fn() -> Option<Tensor>> {
    let numbers = Numbers::new(gpu);
    let (x, weight) = match case.direction {
        Direction::BackwardInput => (true, false),
        Direction::BackwardWeight => (false, true),
        direction => (
            direction == Direction::Backward,
            direction == Direction::Backward,
        ),
    };
    let draw = |shape: &[usize], leaf: bool| {
        let drawn = numbers.normal(shape);
        if leaf { drawn.leaf() } else { drawn }
    };
    match case.work {
        Work::Matmul { m, k, n } => {
            let a = draw(&[1, m, k], x);
            let b = draw(&[1, k, n], weight);
            Box::new(move || Some(ops::matmul(&a, &b, Trans::default())))
        }
        Work::Conv2d {
            n,
            h,
            w,
            c,
            o,
            kernel,
            stride,
            padding,
        } => {
            let x = draw(&[n, h, w, c], x);
            let weight = draw(&[kernel, kernel, c, o], weight);
            let conv = Conv {
                stride,
                padding: [padding; 2],
                ..Conv::default()
            };
            Box::new(move || Some(ops::conv2d(&x, &weight, None, conv)))
        }
        Work::ConvTranspose2d {
            n,
            h,
            w,
            c,
            o,
            kernel,
            stride,
            padding,
        } => {
            let x = draw(&[n, h, w, c], x);
            let weight = draw(&[kernel, kernel, o, c], weight);
            let conv = ConvTranspose {
                stride,
                padding: [padding; 2],
                ..ConvTranspose::default()
            };
            Box::new(move || Some(ops::conv_transpose2d(&x, &weight, None, conv)))
        }
        Work::GroupNormSilu { n, h, w, c, groups } => {
            let x = draw(&[n, h * w, c], x);
            let gamma = draw(&[c], weight);
            let beta = draw(&[c], weight);
            Box::new(move || Some(ops::group_norm_silu(&x, &gamma, &beta, groups, 1e-5)))
        }
        Work::Attention { n, len, d } => {
            let [q, k, v] = [x, x, x].map(|leaf| draw(&[n, len, 1, d], leaf));
            Box::new(move || Some(ops::attention(&q, &k, &v, Attention::default())))
        }
        Work::Nearest { rows, d, codes } => {
            let z = draw(&[rows, d], false);
            let codebook = draw(&[codes, d], false);
            Box::new(move || {
                ops::nearest(&z, &codebook);
                None
            })
        }
        Work::OuStep { n, h, w, c } => {
            let [z, eps] = [(); 2].map(|()| draw(&[n, h, w, c], false));
            let target = Tensor::zeros(gpu, [1]);
            let step = Step {
                c0: 1.01,
                c1: -0.02,
                c2: 0.1,
                c3: -0.01,
            };
            let stream = Stream {
                seed: 7,
                step: 1,
                stream: 0,
                first: 0,
            };
            Box::new(move || Some(ops::step(&z, &eps, &target, step, stream)))
        }
        Work::Adam { .. } | Work::Train { .. } | Work::UnetStep { .. } => {
            unreachable!("{case} is not an op")
        }
    }
}

/// Adam over arenas with `count` elements in total.
fn adam(gpu: &Gpu, count: usize) -> Box<dyn Fn()> {
    let numbers = Numbers::new(gpu);
    let arenas = count.div_ceil(ARENA);
    let each = count.div_ceil(arenas).next_multiple_of(64);
    let arena = |i: usize| {
        let size = each.min(count - i * each);
        (
            numbers.normal([size]),
            [(); 4].map(|()| Tensor::zeros(gpu, [size])),
        )
    };
    let arenas: Vec<(Tensor, [Tensor; 4])> = (0..arenas).map(arena).collect();
    let clip = ops::clip(gpu, &[Tensor::zeros(gpu, [1])], 0.0);
    let step = AdamStep {
        lr: 1e-3,
        beta1: 0.9,
        beta2: 0.99,
        eps: 1e-8,
        weight_decay: 0.0,
        step: 1,
        ema: 0.99,
    };
    Box::new(move || {
        arenas
            .iter()
            .for_each(|(grad, state)| ops::adam(grad, &clip, state.each_ref(), step))
    })
}
