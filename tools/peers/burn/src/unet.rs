//! The U-Net of Ho et al. (2020) with the layers of `src/models/unet.rs`, and a training step of
//! it: loss, gradients, Adam.

use std::cell::RefCell;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{GroupNorm, GroupNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::silu;
use burn::tensor::module::{attention, interpolate};
use burn::tensor::ops::{AttentionModuleOptions, InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Distribution, Tensor};
use serde_json::Value;

use crate::protocol::{Run, numbers};

const BASE: usize = 64;
const WIDTHS: [usize; 3] = [64, 128, 128];
const BLOCKS: usize = 2;

fn conv([c, o]: [usize; 2], kernel: usize, stride: usize, device: &Device) -> Conv2d {
    let side = (kernel - 1) / 2;
    let padding = PaddingConfig2d::Explicit(side, side, side, side);
    Conv2dConfig::new([c, o], [kernel; 2])
        .with_stride([stride; 2])
        .with_padding(padding)
        .init(device)
}

fn norm(c: usize, device: &Device) -> GroupNorm {
    GroupNormConfig::new(32.min(c / 2), c).init(device)
}

#[derive(Module, Debug)]
struct Block {
    norm1: GroupNorm,
    conv1: Conv2d,
    time: Linear,
    norm2: GroupNorm,
    conv2: Conv2d,
    shortcut: Option<Conv2d>,
}

impl Block {
    fn new([c, o]: [usize; 2], device: &Device) -> Block {
        Block {
            norm1: norm(c, device),
            conv1: conv([c, o], 3, 1, device),
            time: LinearConfig::new(2 * BASE, o).init(device),
            norm2: norm(o, device),
            conv2: conv([o, o], 3, 1, device),
            shortcut: (c != o).then(|| conv([c, o], 1, 1, device)),
        }
    }

    fn forward(&self, x: Tensor<4>, time: &Tensor<2>) -> Tensor<4> {
        let h = self.conv1.forward(silu(self.norm1.forward(x.clone())));
        let [n, o, ..] = h.dims();
        let h = h + self.time.forward(time.clone()).reshape([n, o, 1, 1]);
        let h = self.conv2.forward(silu(self.norm2.forward(h)));
        h + self
            .shortcut
            .as_ref()
            .map_or_else(|| x.clone(), |conv| conv.forward(x.clone()))
    }
}

#[derive(Module, Debug)]
struct SelfAttention {
    norm: GroupNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
}

impl SelfAttention {
    fn new(c: usize, device: &Device) -> SelfAttention {
        let linear = || LinearConfig::new(c, c).init(device);
        SelfAttention {
            norm: norm(c, device),
            query: linear(),
            key: linear(),
            value: linear(),
            out: linear(),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [n, c, h, w] = x.dims();
        let normed = self
            .norm
            .forward(x.clone())
            .reshape([n, c, h * w])
            .swap_dims(1, 2);
        let split = |layer: &Linear| layer.forward(normed.clone()).reshape([n, 1, h * w, c]);
        let [q, k, v] = [&self.query, &self.key, &self.value].map(split);
        let y = attention(q, k, v, None, None, AttentionModuleOptions::default()).reshape([
            n,
            h * w,
            c,
        ]);
        x + self.out.forward(y).swap_dims(1, 2).reshape([n, c, h, w])
    }
}

#[derive(Module, Debug)]
struct Level {
    blocks: Vec<Block>,
    attention: Vec<SelfAttention>,
    resize: Option<Conv2d>,
}

impl Level {
    fn block(&self, at: usize, x: Tensor<4>, time: &Tensor<2>) -> Tensor<4> {
        let x = self.blocks[at].forward(x, time);
        self.attention
            .get(at)
            .map_or_else(|| x.clone(), |attention| attention.forward(x.clone()))
    }
}

#[derive(Module, Debug)]
struct UNet {
    time1: Linear,
    time2: Linear,
    conv_in: Conv2d,
    down: Vec<Level>,
    first: Block,
    middle: SelfAttention,
    second: Block,
    up: Vec<Level>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl UNet {
    fn new(dim: usize, device: &Device) -> UNet {
        let last = WIDTHS.len() - 1;
        let mut c = BASE;
let mut skips = vec![BASE];
let mut down = Vec::new();
let mut up = Vec::new();
        for (i, width) in WIDTHS.into_iter().enumerate() {
            let mut level = Level {
                blocks: Vec::new(),
                attention: Vec::new(),
                resize: None,
            };
            for _ in 0..BLOCKS {
                level.blocks.push(Block::new([c, width], device));
                level
                    .attention
                    .extend((i == last).then(|| SelfAttention::new(width, device)));
                c = width;
                skips.push(c);
            }
            if i < last {
                level.resize = Some(conv([c, c], 3, 2, device));
                skips.push(c);
            }
            down.push(level);
        }
        let first = Block::new([c, c], device);
let middle = SelfAttention::new(c, device);
        let second = Block::new([c, c], device);
        for (i, width) in WIDTHS.into_iter().enumerate().rev() {
            let mut level = Level {
                blocks: Vec::new(),
                attention: Vec::new(),
                resize: None,
            };
            for _ in 0..=BLOCKS {
                level
                    .blocks
                    .push(Block::new([c + skips.pop().unwrap_or(0), width], device));
                level
                    .attention
                    .extend((i == last).then(|| SelfAttention::new(width, device)));
                c = width;
            }
            level.resize = (i > 0).then(|| conv([c, c], 3, 1, device));
            up.push(level);
        }
        UNet {
            time1: LinearConfig::new(BASE, 2 * BASE).init(device),
            time2: LinearConfig::new(2 * BASE, 2 * BASE).init(device),
            conv_in: conv([dim, BASE], 3, 1, device),
            down,
            first,
            middle,
            second,
            up,
            norm_out: norm(c, device),
            conv_out: conv([c, dim], 3, 1, device),
        }
    }

    fn forward(&self, z: Tensor<4>, sinusoids: Tensor<2>) -> Tensor<4> {
        let time = silu(self.time2.forward(silu(self.time1.forward(sinusoids))));
        let mut x = self.conv_in.forward(z);
        let mut skips = vec![x.clone()];
        for level in &self.down {
            for i in 0..level.blocks.len() {
                x = level.block(i, x, &time);
                skips.push(x.clone());
            }
            if let Some(halve) = &level.resize {
                x = halve.forward(x);
                skips.push(x.clone());
            }
        }
        x = self
            .second
            .forward(self.middle.forward(self.first.forward(x, &time)), &time);
        for level in &self.up {
            for i in 0..level.blocks.len() {
                let skip = skips.pop().expect("a skip for every block");
                x = level.block(i, Tensor::cat(vec![x, skip], 1), &time);
            }
            if let Some(smooth) = &level.resize {
                let double =
                    InterpolateOptions::new(InterpolateMode::Nearest).with_scale_factor([2.0; 2]);
                x = smooth.forward(interpolate(x, double));
            }
        }
        self.conv_out.forward(silu(self.norm_out.forward(x)))
    }
}

/// A training step of the U-Net on noise.
pub fn training(work: &Value, device: Device) -> Result<Run, String> {
    let [n, h, w, c] = numbers(work, ["n", "h", "w", "c"])?;
    let device = device.autodiff();
    let normal = || Tensor::<4>::random([n, c, h, w], Distribution::Normal(0.0, 1.0), &device);
    let z = normal();
let eps = normal();
    let sinusoids = Tensor::<2>::random([n, BASE], Distribution::Uniform(-1.0, 1.0), &device);
    let mut adam = AdamConfig::new().init();
    let model = RefCell::new(Some(UNet::new(c, &device)));
    Ok(Box::new(move |times| {
        for _ in 0..times {
            let net = model
                .borrow_mut()
                .take()
                .ok_or("a step has failed before")?;
            let error = net.forward(z.clone(), sinusoids.clone()) - eps.clone();
            let grads =
                GradientsParams::from_grads((error.clone() * error).mean().backward(), &net);
            *model.borrow_mut() = Some(adam.step(1e-4, net, grads));
        }
        device.sync().map_err(|e| format!("{e:?}"))
    }))
}
