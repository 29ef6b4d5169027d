//! The three directions of a convolution, each with a choice of kernels.

use super::params::{ConvEpilogue, Params};
use super::{LANES, SHADER, TILED, TILED_INPUT, TILED_WEIGHT, VEC4};
use crate::gpu::{ALIGN, Buffer, GROUPS, Gpu, Override, Shader};
use crate::ops::family::{Asked, Gradient, KernelFamily, SMALL, Tile, Tiled, fastest, noise};
use crate::ops::matmul::MEASURED;
use crate::ops::reduce::{sum_middle, sum_parts};
use crate::ops::winograd::{self, Transformed};
use crate::ops::{LOOPS, grid};
use crate::tensor::Tensor;

/// Most channels for which a subgroup's block is half as wide.
const NARROW: usize = 32;

/// Most output pixels per part of the weight's gradient, unless the parts together would exceed
/// `PARTIAL`.
const PART: usize = 2048;

/// Most numbers in all parts of a weight's gradient: half of WebGPU's lowest binding limit.
const PARTIAL: usize = 1 << 24;

/// Most positions of an image for which tiles take pixels position by position, and fewest images.
const POSITIONS: u32 = 64;
const IMAGES: u32 = 16;

/// How a direction is computed.
#[derive(Clone, Copy)]
enum Algorithm {
    Winograd,
    Direct(KernelFamily),
}

impl KernelFamily {
    /// The lanes kernels write all directions with one function, which refers to the residual. So
    /// their backward entry points also bind it, last; other families' do not.
    fn backward_buffers<'a, 'b>(self, all: &'a [&'b Buffer]) -> &'a [&'b Buffer] {
        if self == KernelFamily::Lanes {
            all
        } else {
            &all[..all.len() - 1]
        }
    }
}

/// What is dispatched.
struct Plan {
    shader: &'static Shader,
    overrides: Vec<Override>,
    groups: [u32; 3],
    /// Planes of outputs to sum.
    parts: usize,
}

/// The outputs of a forward pass or of a gradient of the input: so many in each of the phases of
/// the stride, and the terms of each.
#[derive(Clone, Copy)]
struct Outputs {
    phases: usize,
    pixels: usize,
    channels: usize,
    terms: usize,
}

impl Outputs {
    fn tiles(&self, tile: Tile) -> usize {
        self.phases * tile.count(self.pixels, self.channels)
    }

    fn parts(&self, tile: Tile) -> usize {
        tile.parts(self.tiles(tile), self.terms)
    }
}

/// The width of a subgroup's block for this many channels: override, and channels.
fn width(channels: usize) -> (Override, usize) {
    if channels > NARROW {
        (("WIDE", 1), 2 * NARROW)
    } else {
        (("WIDE", 0), NARROW)
    }
}

impl Params {
    /// Whether tiles number `positions` per image position by position (`POSITIONS` in
    /// `shaders/shared/conv.wgsl`): where many taps lie outside the image.
    fn by_position(&self, positions: u32) -> Override {
        let taps = self.kernel_h * self.kernel_w;
        let wins = taps > 1
            && self.taps == taps
            && positions <= POSITIONS
            && self.batch >= IMAGES
            && self.batch.is_multiple_of(4);
        ("POSITIONS", u32::from(wins))
    }

    /// The outputs of a forward pass.
    fn outputs(&self) -> Outputs {
        Outputs {
            phases: 1,
            pixels: self.out_pixels(),
            channels: self.o as usize,
            terms: (self.taps * self.c) as usize,
        }
    }

    /// The outputs of the input's gradient, phase by phase of the stride: see the WGSL.
    fn input_gradients(&self) -> Outputs {
        let [batch, h, w, stride] =
            [self.batch, self.h, self.w, self.stride].map(|size| size as usize);
        let phases = stride * stride;
        Outputs {
            phases,
            pixels: batch * h.div_ceil(stride) * w.div_ceil(stride),
            channels: self.c as usize,
            terms: (self.taps * self.o) as usize / phases,
        }
    }

    /// How `family` computes `outputs`.
    fn plan(
        &self,
        family: KernelFamily,
        tiled: &'static Tiled,
        outputs: Outputs,
        gradient: Gradient,
    ) -> Plan {
        let Outputs {
            phases,
            pixels,
            channels,
            ..
        } = outputs;
        let positions = pixels as u32 / self.batch;
        let blocks = |rows, columns| phases * pixels.div_ceil(rows) * channels.div_ceil(columns);
        let plan = |shader, overrides, groups| Plan {
            shader,
            overrides,
            groups,
            parts: 1,
        };
        match family {
            KernelFamily::Scalar => plan(&SHADER, Vec::new(), grid(blocks(4, 4), 64)),
            KernelFamily::Vec4 => plan(&VEC4, Vec::new(), grid(blocks(8, 4), 64)),
            KernelFamily::Lanes => {
                let (wide, columns) = width(channels);
                plan(&LANES, vec![wide], grid(blocks(32, columns), 1))
            }
            KernelFamily::Tiled(tile) => {
                let parts = outputs.parts(tile);
                let [x, y, _] = grid(outputs.tiles(tile), 1);
                Plan {
                    shader: tile.shader(tiled),
                    overrides: [tile.overrides(gradient), vec![self.by_position(positions)]]
                        .concat(),
                    groups: [x, y, parts as u32],
                    parts,
                }
            }
        }
    }

    /// The algorithm for `outputs` [rows, columns]: by rule, or the fastest on a device that
    /// measures. `parts` says into how many a tile splits its sums; `make` prepares operands and
    /// returns a function that runs an algorithm on them.
    fn way<F: Fn(Algorithm) -> Tensor>(
        &self,
        gpu: &Gpu,
        op: &'static str,
        tiled: &'static Tiled,
        outputs: [usize; 2],
        parts: impl Fn(Tile) -> usize,
        make: impl FnOnce() -> F,
    ) -> Algorithm {
        let family = KernelFamily::by_rule(gpu, self.fours(), outputs);
        let by_rule = if self.suits_winograd(gpu) {
            Algorithm::Winograd
        } else {
            Algorithm::Direct(family)
        };
        if family == KernelFamily::Scalar {
            return by_rule;
        }
        let ways = || {
            let direct = KernelFamily::all(gpu, parts)
                .into_iter()
                .map(|(name, family)| (name, Algorithm::Direct(family)));
            direct
                .chain(
                    self.allows_winograd(gpu)
                        .then_some(("winograd", Algorithm::Winograd)),
                )
                .collect()
        };
        let sizes = bytemuck::cast_slice(std::slice::from_ref(self));
        let own = [
            &VEC4,
            &LANES,
            &tiled[0],
            &tiled[1],
            &tiled[2],
            &winograd::SHADER,
            &winograd::LANES,
        ];
        let asked = Asked {
            op,
            shaders: &[&own, &MEASURED],
            sizes,
        };
        let found = fastest(gpu, asked, ways, || {
            let run = make();
            move |way| vec![run(way)]
        });
        found.unwrap_or(by_rule)
    }
}

/// The output y for `x`, not recorded on the tape. `x` may be a gradient.
pub(in crate::ops) fn forward(
    x: &Tensor,
    weight: &Tensor,
    added: ConvEpilogue,
    params: Params,
    gradient: Gradient,
    squares: &Transformed,
) -> Tensor {
    let gpu = x.gpu();
    gpu.count_flops(params.flops());
    // The lanes kernel wins even with few pixels.
    let outputs = [params.out_pixels().max(SMALL), params.o as usize];
    let parts = |tile| params.outputs().parts(tile);
    let way = params.way(gpu, "conv2d forward", &TILED, outputs, parts, || {
        let [x, weight, _] = params.shapes();
        let x = noise(gpu, x, 0);
        let weight = noise(gpu, weight, 1);
        move |way| {
            forward_by(
                way,
                &x,
                &weight,
                ConvEpilogue::default(),
                params,
                gradient,
                &Transformed::default(),
            )
        }
    });
    forward_by(way, x, weight, added, params, gradient, squares)
}

fn forward_by(
    way: Algorithm,
    x: &Tensor,
    weight: &Tensor,
    added: ConvEpilogue,
    params: Params,
    gradient: Gradient,
    squares: &Transformed,
) -> Tensor {
    let Algorithm::Direct(family) = way else {
        return winograd::forward(x, weight, added, params, squares);
    };
    let shape = params.shapes()[2];
    let Plan {
        shader,
        overrides,
        groups,
        parts,
    } = params.plan(family, &TILED, params.outputs(), gradient);
    let y = Tensor::uninit(x.gpu(), [parts, shape.count()]);
    // The sum of the parts adds them.
    let with = if parts == 1 {
        added
    } else {
        ConvEpilogue::default()
    };
    let [bias, residual] = with.buffers(weight);
    let buffers = [x.buffer(), weight.buffer(), bias, y.buffer(), residual];
    let [bias, residual] = with.flags();
    let params = Params {
        bias,
        residual,
        ..params
    };
    x.gpu().dispatch(
        shader,
        family.entry("forward"),
        &overrides,
        &buffers,
        &params,
        groups,
    );
    if parts == 1 {
        return y.reshape(shape);
    }
    let rows = [params.out_pixels(), params.o as usize];
    sum_parts(&y, parts, rows, [added.bias, added.residual]).reshape(shape)
}

/// dx for `dy`, plus `bias` `[c]`. A transposed convolution passes its input as `dy`.
pub(in crate::ops) fn backward_input(
    dy: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    params: Params,
    gradient: Gradient,
    squares: &Transformed,
) -> Tensor {
    let gpu = dy.gpu();
    gpu.count_flops(params.flops());
    let outputs = [params.pixels().max(SMALL), params.c as usize];
    // If dw has transformed `dy` already, dx gets that for free.
    let at_hand = squares.have_dy();
    let op = if at_hand {
        "conv2d backward input beside weight"
    } else {
        "conv2d backward input"
    };
    let parts = |tile| params.input_gradients().parts(tile);
    let way = params.way(gpu, op, &TILED_INPUT, outputs, parts, || {
        let [_, weight, dy] = params.shapes();
        let dy = noise(gpu, dy, 0);
        let weight = noise(gpu, weight, 1);
        let squares = if at_hand {
            Transformed::of(&dy, params)
        } else {
            Transformed::default()
        };
        // A clone for each run, so that each transforms the weight again, as training does.
        move |way| backward_input_by(way, &dy, &weight, None, params, gradient, &squares.clone())
    });
    backward_input_by(way, dy, weight, bias, params, gradient, squares)
}

fn backward_input_by(
    way: Algorithm,
    dy: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    params: Params,
    gradient: Gradient,
    squares: &Transformed,
) -> Tensor {
    let Algorithm::Direct(family) = way else {
        return winograd::backward_input(dy, weight, bias, params, squares);
    };
    let shape = params.shapes()[0];
    let Plan {
        shader,
        overrides,
        groups,
        parts,
    } = params.plan(family, &TILED_INPUT, params.input_gradients(), gradient);
    let dx = Tensor::uninit(dy.gpu(), [parts, shape.count()]);
    // The sum of the parts adds it.
    let with = bias.filter(|_| parts == 1);
    let buffers = [
        weight.buffer(),
        with.unwrap_or(weight).buffer(),
        dy.buffer(),
        dx.buffer(),
        weight.buffer(),
    ];
    let buffers = family.backward_buffers(&buffers);
    let params = Params {
        bias: u32::from(with.is_some()),
        ..params
    };
    dy.gpu().dispatch(
        shader,
        family.entry("backward_input"),
        &overrides,
        buffers,
        &params,
        groups,
    );
    if parts == 1 {
        return dx.reshape(shape);
    }
    let rows = [params.pixels(), params.c as usize];
    sum_parts(&dx, parts, rows, [bias, None]).reshape(shape)
}

/// The weight gradient dw for `x` and `dy`, one of which is a gradient; and db `[o]`, if wanted and
/// the kernel computes it along the way.
pub(in crate::ops) fn backward_weight(
    [x, dy]: [&Tensor; 2],
    params: Params,
    gradient: Gradient,
    squares: &Transformed,
    want_b: bool,
) -> (Tensor, Option<Tensor>) {
    let gpu = x.gpu();
    gpu.count_flops(params.flops());
    let outputs = [params.c as usize, params.o as usize];
    let way = params.way(
        gpu,
        "conv2d backward weight",
        &TILED_WEIGHT,
        outputs,
        |_| 1,
        || {
            let [x, _, dy] = params.shapes();
            let x = noise(gpu, x, 0);
            let dy = noise(gpu, dy, 1);
            move |way| {
                backward_weight_by(
                    way,
                    [&x, &dy],
                    params,
                    gradient,
                    &Transformed::default(),
                    false,
                )
                .0
            }
        },
    );
    backward_weight_by(way, [x, dy], params, gradient, squares, want_b)
}

fn backward_weight_by(
    way: Algorithm,
    [x, dy]: [&Tensor; 2],
    params: Params,
    gradient: Gradient,
    squares: &Transformed,
    want_b: bool,
) -> (Tensor, Option<Tensor>) {
    let Algorithm::Direct(family) = way else {
        return winograd::backward_weight([x, dy], params, squares, want_b);
    };
    let pixels = params.out_pixels();
    let shape = params.shapes()[1];
    let taps = (params.kernel_h * params.kernel_w) as usize;
    let count = shape.count();
    let [c, o] = [params.c, params.o].map(|d| d as usize);
    let (wide, columns) = width(o);
    // Shader, overrides, and workgroups per part.
    let (shader, overrides, groups) = match family {
        KernelFamily::Scalar | KernelFamily::Vec4 => {
            let shader = if family == KernelFamily::Vec4 {
                &VEC4
            } else {
                &SHADER
            };
            (
                shader,
                Vec::new(),
                (taps * c.div_ceil(4) * o.div_ceil(4)).div_ceil(64),
            )
        }
        KernelFamily::Lanes => (
            &LANES,
            vec![wide],
            taps * c.div_ceil(32) * o.div_ceil(columns),
        ),
        KernelFamily::Tiled(tile) => (
            tile.shader(&TILED_WEIGHT),
            [
                tile.overrides(gradient),
                vec![params.by_position(params.out_h * params.out_w)],
            ]
            .concat(),
            tile.count(taps * c, o),
        ),
    };
    // Workgroups, over all parts, that keep the device busy.
    let enough = if matches!(family, KernelFamily::Tiled(_)) {
        256
    } else {
        32
    };
    // No part longer than PART while memory allows.
    let least = pixels.div_ceil((PARTIAL / count).clamp(1, GROUPS));
    let part = (pixels * groups / enough)
        .clamp(64, PART)
        .max(least)
        .min(LOOPS)
        .min(pixels);
    // Make all parts about equally long.
    let part = pixels.div_ceil(pixels.div_ceil(part)).next_multiple_of(4);
    let parts = pixels.div_ceil(part);
    // The lanes kernel computes db as the last row, in workgroups of its own, if that row's offset
    // is aligned for a tensor.
    let with_bias = want_b && family == KernelFamily::Lanes && count.is_multiple_of(ALIGN);
    let groups = if with_bias {
        groups + o.div_ceil(columns)
    } else {
        groups
    };
    let numbers = if with_bias { count + o } else { count };
    let partial = Tensor::uninit(x.gpu(), [parts, numbers]);
    let buffers = [x.buffer(), dy.buffer(), partial.buffer(), x.buffer()];
    let buffers = family.backward_buffers(&buffers);
    let params = Params {
        part: part as u32,
        bias: u32::from(with_bias),
        ..params
    };
    let entry = family.entry("backward_weight");
    x.gpu().dispatch(
        shader,
        entry,
        &overrides,
        buffers,
        &params,
        [groups as u32, parts as u32, 1],
    );
    let sum = if parts == 1 {
        partial
    } else {
        sum_middle(&partial, [1, parts, numbers], 1.0, false)
    };
    let slice = |start: usize, count: usize| sum.buffer().slice(4 * start as u64, 4 * count as u64);
    let dw = Tensor::from_buffer(x.gpu(), slice(0, count), shape);
    (
        dw,
        with_bias.then(|| Tensor::from_buffer(x.gpu(), slice(count, o), [o])),
    )
}
