//! The U-Net ε_θ(z_t, t) on latents (Ho et al. 2020): residual blocks with group norm and SiLU,
//! modulated by the level t, attention in the middle and at configured resolutions, skips from the
//! way down to the way up. Odd sizes are cropped on the way up. A class embedding is added to that
//! of t.

use super::denoiser::Denoiser;
use crate::config::{Activations, UNetConfig};
use crate::nn::Module;
use crate::nn::init::Init;
use crate::nn::layers::{Conv2d, GroupNorm, Linear, visit_list, visit_part};
use crate::ops::{self, Attention, Conv, Kept};
use crate::philox::{Draw, Stream};
use crate::tensor::{Codes, Tensor};

/// The network.
pub struct UNet {
    time: [Linear; 2],
    conv_in: Conv2d,
    down: Vec<Level>,
    middle: (Block, SelfAttention, Block),
    up: Vec<Level>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    /// Sinusoids of t, [T + 1, base]; not trained.
    sinusoids: Tensor,
    /// What is kept for backward.
    pub activations: Activations,
    /// Class embeddings, added to that of t, [classes + 1, 2 base]; the last one is for no class.
    class: Option<Tensor>,
    /// Position embedding, added after the first convolution, [h w, base].
    position: Option<Tensor>,
}

/// Shapes of the network's input and output.
pub struct Ports {
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Rows and columns of latents. With one row, kernels are 1 × 3 instead of 3 × 3.
    pub grid: [usize; 2],
}

impl Ports {
    /// `dim` channels in and out, on any grid: for a network without position embedding.
    pub fn same(dim: usize) -> Ports {
        Ports {
            inputs: dim,
            outputs: dim,
            grid: [2, 2],
        }
    }
}

/// One resolution on the way down or up.
struct Level {
    blocks: Vec<Block>,
    attention: Vec<SelfAttention>,
    /// Halves the size on the way down, smooths the doubled image on the way up; `None` at the end.
    resize: Option<Conv2d>,
}

impl UNet {
    /// A network with random weights for levels t ≤ `steps` and `classes` classes, or none. Its
    /// output starts as 0.
    pub fn new(
        init: &mut Init,
        config: &UNetConfig,
        ports: Ports,
        steps: usize,
        classes: usize,
    ) -> UNet {
        let base = config.base;
        let widths = config.widths();
        let time = 2 * base;
        let [h, w] = ports.grid;
        let kernel = if h == 1 { [1, 3] } else { [3, 3] };
        let mut block = Block::maker(config, time, kernel);
        let mut c = base;
        let mut skips = vec![base];
        let mut down = Vec::new();
        for (i, &width) in widths.iter().enumerate() {
            let mut level = Level {
                blocks: Vec::new(),
                attention: Vec::new(),
                resize: None,
            };
            for _ in 0..config.blocks {
                level.blocks.push(block(init, [c, width]));
                c = width;
                skips.push(c);
                level.attention.extend(
                    config
                        .attention
                        .contains(&i)
                        .then(|| SelfAttention::new(init, c, config.heads)),
                );
            }
            if i + 1 < widths.len() {
                let conv = Conv {
                    stride: 2,
                    padding: kernel.map(|side| side / 2),
                    ..Conv::default()
                };
                level.resize = Some(Conv2d::new(init, [c, c], kernel, conv));
                skips.push(c);
            }
            down.push(level);
        }
        let middle = (
            block(init, [c, c]),
            SelfAttention::new(init, c, config.heads),
            block(init, [c, c]),
        );
        let mut up = Vec::new();
        for (i, &width) in widths.iter().enumerate().rev() {
            let mut level = Level {
                blocks: Vec::new(),
                attention: Vec::new(),
                resize: None,
            };
            for _ in 0..=config.blocks {
                let skip = skips
                    .pop()
                    .expect("there is a skip for every block on the way up");
                level.blocks.push(block(init, [c + skip, width]));
                c = width;
                level.attention.extend(
                    config
                        .attention
                        .contains(&i)
                        .then(|| SelfAttention::new(init, c, config.heads)),
                );
            }
            level.resize = (i > 0).then(|| Conv2d::same(init, [c, c], kernel));
            up.push(level);
        }
        UNet {
            time: [
                Linear::new(init, [base, time]),
                Linear::new(init, [time, time]),
            ],
            conv_in: Conv2d::same(init, [ports.inputs, base], kernel),
            down,
            middle,
            up,
            norm_out: GroupNorm::new(init, c),
            conv_out: Conv2d::zero(init, [c, ports.outputs], kernel),
            sinusoids: sinusoids(init, steps, base),
            activations: Activations::Keep,
            class: (classes > 0).then(|| init.normal(&[classes + 1, time], 0.02)),
            position: config.position.then(|| init.zeros(&[h * w, base])),
        }
    }
}

impl Denoiser for UNet {
    /// Classes are numbered from 0; the number of classes itself, or `None`, stands for no class.
    fn forward(
        &self,
        z: &Tensor,
        t: &Codes,
        class: Option<&Codes>,
        dropout: Option<Stream>,
    ) -> Tensor {
        // Every block takes SiLU of the embedding: compute it once.
        let time = Kept::exact(ops::silu(&self.embed(t, class)));
        let keep = |x: Tensor| self.activations.keep(x);
        let mut x = self.conv_in.forward(z);
        if let Some(position) = &self.position {
            let [_, h, w, base] = x.dims();
            x = ops::add(&x, &position.reshape([1, h, w, base]));
        }
        let mut x = keep(x);
        let mut skips = vec![x.clone()];
        for level in &self.down {
            for i in 0..level.blocks.len() {
                let part = level.part(i);
                x = keep(self.activations.run([&x, &time], move |[x, time]| {
                    part.forward(&x, &time, dropout)
                }));
                skips.push(x.clone());
            }
            if let Some(halve) = &level.resize {
                x = keep(halve.forward(x.value()));
                skips.push(x.clone());
            }
        }
        let (before, attention, after) = self.middle.clone();
        let middle = Part {
            block: before,
            attention: Some(attention),
        };
        x = keep(self.activations.run([&x, &time], move |[x, time]| {
            middle.forward(&x, &time, dropout)
        }));
        x = keep(self.activations.run([&x, &time], move |[x, time]| {
            after.forward(&x, &time, dropout)
        }));
        for level in &self.up {
            for i in 0..level.blocks.len() {
                let part = level.part(i);
                let skip = skips
                    .pop()
                    .expect("there is a skip for every block on the way up");
                let joined = move |[x, skip, time]: [Tensor; 3]| {
                    part.forward(&ops::concat(&x, &skip), &time, dropout)
                };
                x = keep(self.activations.run([&x, &skip, &time], joined));
            }
            if let (Some(smooth), Some(skip)) = (&level.resize, skips.last()) {
                let [_, h, w, _] = x.value().dims();
                let [_, to_h, to_w, _] = skip.value().dims();
                let doubled = ops::upsample_nearest(x.value(), 2);
                x = keep(smooth.forward(&ops::crop(&doubled, [0, 2 * h - to_h, 0, 2 * w - to_w])));
            }
        }
        self.conv_out
            .forward(&self.norm_out.forward_silu(x.value()))
    }
}

impl UNet {
    /// The embedding of level and class, [n, 2 base].
    fn embed(&self, t: &Codes, class: Option<&Codes>) -> Tensor {
        let time = self.time[0].forward(&ops::gather(&self.sinusoids, t));
        let time = self.time[1].forward(&ops::silu(&time));
        let Some(table) = &self.class else {
            return time;
        };
        let [rows, _] = table.dims();
        let none = || Codes::from_slice(t.gpu(), &vec![rows as u32 - 1; t.count()], [t.count()]);
        ops::add(
            &time,
            &ops::gather(table, &class.cloned().unwrap_or_else(none)),
        )
    }
}

/// sin and cos of t ω_i, ω from 1 to 1e-4 geometrically: [steps + 1, width].
fn sinusoids(init: &mut Init, steps: usize, width: usize) -> Tensor {
    let half = width / 2;
    init.from(&[steps + 1, width], |at| {
        let t = at as usize / width;
        let i = at as usize % width;
        let angle = t as f64 * 1e-4_f64.powf((i % half) as f64 / (half - 1) as f64);
        (if i < half { angle.sin() } else { angle.cos() }) as f32
    })
}

impl Level {
    fn part(&self, at: usize) -> Part {
        Part {
            block: self.blocks[at].clone(),
            attention: self.attention.get(at).cloned(),
        }
    }
}

/// A block with the attention that follows it: the unit of recomputation.
struct Part {
    block: Block,
    attention: Option<SelfAttention>,
}

impl Part {
    fn forward(&self, x: &Tensor, time: &Tensor, dropout: Option<Stream>) -> Tensor {
        let x = self.block.forward(x, time, dropout);
        self.attention
            .as_ref()
            .map_or_else(|| x.clone(), |attention| attention.forward(&x))
    }
}

/// x + conv(drop(silu(norm(conv(silu(norm(x))) + W silu(time))))).
#[derive(Clone)]
struct Block {
    norm1: GroupNorm,
    conv1: Conv2d,
    time: Linear,
    norm2: GroupNorm,
    conv2: Conv2d,
    shortcut: Option<Conv2d>,
    dropout: f32,
    number: u32,
}

impl Block {
    /// Makes blocks [in, out], each with its own dropout stream.
    fn maker(
        config: &UNetConfig,
        time: usize,
        kernel: [usize; 2],
    ) -> impl FnMut(&mut Init, [usize; 2]) -> Block {
        let mut number = 0;
        let dropout = config.dropout as f32;
        move |init, [c, o]| {
            number += 1;
            Block {
                norm1: GroupNorm::new(init, c),
                conv1: Conv2d::same(init, [c, o], kernel),
                time: Linear::new(init, [time, o]),
                norm2: GroupNorm::new(init, o),
                conv2: Conv2d::zero(init, [o, o], kernel),
                shortcut: (c != o).then(|| Conv2d::same(init, [c, o], [1, 1])),
                dropout,
                number,
            }
        }
    }

    fn forward(&self, x: &Tensor, time: &Tensor, dropout: Option<Stream>) -> Tensor {
        let h = self.conv1.forward(&self.norm1.forward_silu(x));
        let [n, .., o] = h.dims::<4>();
        let h = ops::add(&h, &self.time.forward(time).reshape([n, 1, 1, o]));
        let mut h = self.norm2.forward_silu(&h);
        if let Some(stream) = dropout.filter(|_| self.dropout > 0.0) {
            h = ops::dropout(
                &h,
                self.dropout,
                Stream {
                    stream: Draw::Dropout.stream() + self.number,
                    ..stream
                },
            );
        }
        let shortcut = self
            .shortcut
            .as_ref()
            .map_or_else(|| x.clone(), |conv| conv.forward(x));
        self.conv2.forward_residual(&h, &shortcut)
    }
}

/// x + W attention(Q x̂, K x̂, V x̂), x̂ normalised, over all positions.
#[derive(Clone)]
struct SelfAttention {
    norm: GroupNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Conv2d,
    heads: usize,
}

impl SelfAttention {
    fn new(init: &mut Init, c: usize, heads: usize) -> SelfAttention {
        SelfAttention {
            norm: GroupNorm::new(init, c),
            query: Linear::new(init, [c, c]),
            key: Linear::new(init, [c, c]),
            value: Linear::new(init, [c, c]),
            out: Conv2d::zero(init, [c, c], [1, 1]),
            heads,
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let [n, h, w, c] = x.dims();
        let normed = self.norm.forward(x);
        let split = |layer: &Linear| {
            layer
                .forward(&normed)
                .reshape([n, h * w, self.heads, c / self.heads])
        };
        let attended = ops::attention(
            &split(&self.query),
            &split(&self.key),
            &split(&self.value),
            Attention::default(),
        );
        self.out
            .forward_residual(&attended.reshape([n, h, w, c]), x)
    }
}

impl Module for UNet {
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor)) {
        visit_list("time", &mut self.time, f);
        visit_part("conv_in", &mut self.conv_in, f);
        visit_list("down", &mut self.down, f);
        visit_part("middle.block1", &mut self.middle.0, f);
        visit_part("middle.attention", &mut self.middle.1, f);
        visit_part("middle.block2", &mut self.middle.2, f);
        visit_list("up", &mut self.up, f);
        visit_part("norm_out", &mut self.norm_out, f);
        visit_part("conv_out", &mut self.conv_out, f);
        if let Some(table) = &mut self.class {
            f("class.weight", table);
        }
        if let Some(position) = &mut self.position {
            f("position", position);
        }
    }
}

impl Module for Level {
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor)) {
        visit_list("blocks", &mut self.blocks, f);
        visit_list("attention", &mut self.attention, f);
        if let Some(conv) = &mut self.resize {
            visit_part("resize", conv, f);
        }
    }
}

impl Module for Block {
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor)) {
        visit_part("norm1", &mut self.norm1, f);
        visit_part("conv1", &mut self.conv1, f);
        visit_part("time", &mut self.time, f);
        visit_part("norm2", &mut self.norm2, f);
        visit_part("conv2", &mut self.conv2, f);
        if let Some(conv) = &mut self.shortcut {
            visit_part("shortcut", conv, f);
        }
    }
}

impl Module for SelfAttention {
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor)) {
        visit_part("norm", &mut self.norm, f);
        visit_part("query", &mut self.query, f);
        visit_part("key", &mut self.key, f);
        visit_part("value", &mut self.value, f);
        visit_part("out", &mut self.out, f);
    }
}
