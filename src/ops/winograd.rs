//! Convolutions with 3 x 3 taps and stride 1 by Winograd's algorithm, with a quarter of the
//! multiplications: see `shaders/winograd.wgsl`.

use std::cell::OnceCell;

use bytemuck::{Pod, Zeroable};

use super::conv2d::params::{ConvEpilogue, Params as ConvParams};
use super::family::SMALL;
use super::grid;
use super::matmul::{Epilogue, Trans, uncounted};
use super::reduce::sum_middle;
use crate::gpu::{Buffer, Gpu, Override, Prefer, Shader, shader};
use crate::tensor::{Shape, Tensor};

pub(super) static SHADER: Shader = shader!("winograd");
pub(super) static LANES: Shader = shader!("winograd_lanes");

/// Rows and columns of a tile of outputs.
const TILE: u32 = 4;
/// Numbers in a transformed tile, a square of six by six: one matrix product for each.
const SQUARE: usize = 36;
/// Cost of reading or writing one number of a square on CPU adapters, in multiplications.
const TURN: f64 = 25.0;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    h: u32,
    w: u32,
    tiles_h: u32,
    tiles_w: u32,
    rows: u32,
    channels: u32,
}

impl Params {
    /// For a weight [3, 3, c, o].
    fn of_weight([.., c, o]: [usize; 4]) -> Params {
        Params {
            rows: c as u32,
            channels: o as u32,
            ..Params::zeroed()
        }
    }

    fn dispatch(self, gpu: &Gpu, entry: &'static str, overrides: &[Override], buffers: &[&Buffer]) {
        let (shader, channels) = if gpu.has_lanes() {
            (&LANES, self.channels / 2)
        } else {
            (&SHADER, self.channels)
        };
        let groups = grid((self.rows * channels) as usize, 64);
        gpu.dispatch(
            shader,
            entry,
            overrides,
            buffers,
            &Params { channels, ..self },
            groups,
        );
    }

    /// The transform [36, rows, channels] of `x`.
    fn squares(self, entry: &'static str, x: &Tensor) -> Tensor {
        let squares = Tensor::uninit(
            x.gpu(),
            [SQUARE, self.rows as usize, self.channels as usize],
        );
        self.dispatch(x.gpu(), entry, &[], &[x.buffer(), squares.buffer()]);
        squares
    }

    /// Transforms the products [36, rows, channels] back to images [n, h, w, channels].
    fn images(
        self,
        entry: &'static str,
        products: &Tensor,
        shape: Shape,
        added: ConvEpilogue,
    ) -> Tensor {
        let y = Tensor::uninit(products.gpu(), shape);
        let [has_bias, has_residual] = added.flags();
        let overrides = [("BIAS", has_bias), ("RESIDUAL", has_residual)];
        let [bias, residual] = added.buffers(products);
        self.dispatch(
            y.gpu(),
            entry,
            &overrides,
            &[products.buffer(), bias, y.buffer(), residual],
        );
        y
    }
}

/// Transforms that the directions of one convolution share: of the weight [36, c, o], and of dy
/// [36, tiles, o] with the tiles' sums [tiles, o]. They stay in memory as long as this does.
#[derive(Clone, Default)]
pub(super) struct Transformed {
    weight: OnceCell<Tensor>,
    dy: OnceCell<[Tensor; 2]>,
}

impl Transformed {
    /// What the forward pass of `x` keeps for dx: the weight's squares on CPU adapters; nothing on
    /// GPUs, where recomputing is cheap and keeping them takes four times the weight's memory.
    /// Decided by the adapter's facts, so that a rehearsal needs the same memory.
    pub(super) fn for_backward(self, x: &Tensor) -> Transformed {
        if x.gpu().facts().is_cpu() && x.wants_grad() {
            self
        } else {
            Transformed::default()
        }
    }

    /// With the squares of `dy`.
    pub(super) fn of(dy: &Tensor, conv: ConvParams) -> Transformed {
        let squares = Transformed::default();
        squares.of_dy(dy, conv);
        squares
    }

    /// Whether the squares of dy are available.
    pub(super) fn have_dy(&self) -> bool {
        self.dy.get().is_some()
    }

    fn of_weight(&self, weight: &Tensor) -> &Tensor {
        self.weight
            .get_or_init(|| Params::of_weight(weight.dims()).squares("weight", weight))
    }

    fn of_dy(&self, dy: &Tensor, conv: ConvParams) -> &[Tensor; 2] {
        self.dy.get_or_init(|| {
            let gpu = dy.gpu();
            let tiles = conv.tiles(conv.o);
            let [rows, o] = [tiles.rows, tiles.channels].map(|size| size as usize);
            let squares = Tensor::uninit(gpu, [SQUARE, rows, o]);
            let sums = Tensor::uninit(gpu, [rows, o]);
            tiles.dispatch(
                gpu,
                "gradient",
                &[],
                &[dy.buffer(), squares.buffer(), sums.buffer()],
            );
            [squares, sums]
        })
    }
}

impl ConvParams {
    /// Whether the algorithm can compute this convolution and is precise enough: its kernels see
    /// one pixel around. It is not used for sums of few terms, which the other pixels of their tile
    /// would round more than a plain sum may, or for f16, of which it would lose bits.
    pub(super) fn allows_winograd(&self, gpu: &Gpu) -> bool {
        let [kernel, padding] = [[self.kernel_h, self.kernel_w], [self.pad_h, self.pad_w]];
        let same = kernel == [3, 3] && padding == [1, 1] && self.stride == 1 && self.taps == 9;
        let least = self.c.min(self.o);
        let most = self.c.max(self.o);
        let rows = self.tiles(most).rows.max(most);
        let fits = (4 * SQUARE) as u64 * u64::from(rows) * u64::from(most) <= gpu.largest_tensor();
        same && self.fours() && least as usize >= SMALL && fits && gpu.cooperative().is_none()
    }

    /// Whether it is the fastest by rule; on GPUs only measuring can tell.
    pub(super) fn suits_winograd(&self, gpu: &Gpu) -> bool {
        if !self.allows_winograd(gpu) {
            return false;
        }
        match gpu.prefers() {
            Prefer::Winograd | Prefer::WinogradOnGpus => true,
            // Decided by the adapter's facts, so that a rehearsal needs the same memory; for GPUs
            // it assumes the most that measuring may choose.
            Prefer::Rule | Prefer::Measured if gpu.facts().is_cpu() => self.wins_on_cpus(),
            _ => gpu.rehearses(),
        }
    }

    /// Whether it is faster than a direct kernel on CPU adapters. The same rule serves the gradient
    /// of the weight.
    fn wins_on_cpus(&self) -> bool {
        let tiles = self.tiles(self.c).rows;
        // Products are computed in blocks of 32 rows.
        let [tiles, blocks, c, o] =
            [tiles, tiles.next_multiple_of(32), self.c, self.o].map(f64::from);
        let numbers = tiles * (c + o) + c * o;
        SQUARE as f64 * (blocks * c * o + TURN * numbers) < 9.0 * self.pixels() as f64 * c * o
    }

    /// The 4 x 4 tiles that cover x or y, which have the same size, with this many channels.
    fn tiles(&self, channels: u32) -> Params {
        let ConvParams { batch, h, w, .. } = *self;
        let [tiles_h, tiles_w] = [h, w].map(|size| size.div_ceil(TILE));
        Params {
            h,
            w,
            tiles_h,
            tiles_w,
            rows: batch * tiles_h * tiles_w,
            channels,
        }
    }
}

/// y of `x`.
pub(super) fn forward(
    x: &Tensor,
    weight: &Tensor,
    added: ConvEpilogue,
    conv: ConvParams,
    squares: &Transformed,
) -> Tensor {
    let seen = conv.tiles(conv.c).squares("image", x);
    let weight = squares.of_weight(weight);
    let products = uncounted(&seen, weight, Epilogue::default(), Trans::default());
    conv.tiles(conv.o)
        .images("outputs", &products, conv.shapes()[2], added)
}

/// dx of `dy`.
pub(super) fn backward_input(
    dy: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    conv: ConvParams,
    squares: &Transformed,
) -> Tensor {
    let [gradient, _] = squares.of_dy(dy, conv);
    let weight = squares.of_weight(weight);
    let products = uncounted(
        gradient,
        weight,
        Epilogue::default(),
        Trans { a: false, b: true },
    );
    conv.tiles(conv.c).images(
        "inputs",
        &products,
        conv.shapes()[0],
        ConvEpilogue {
            bias,
            residual: None,
        },
    )
}

/// dw of `x` and `dy`, and db `[o]`, if it is wanted.
pub(super) fn backward_weight(
    [x, dy]: [&Tensor; 2],
    conv: ConvParams,
    squares: &Transformed,
    want_b: bool,
) -> (Tensor, Option<Tensor>) {
    let seen = conv.tiles(conv.c).squares("image", x);
    let [gradient, sums] = squares.of_dy(dy, conv);
    let products = uncounted(
        &seen,
        gradient,
        Epilogue::default(),
        Trans { a: true, b: false },
    );
    let dw = Tensor::uninit(x.gpu(), conv.shapes()[1]);
    Params::of_weight(dw.dims()).dispatch(
        x.gpu(),
        "weight_gradient",
        &[],
        &[products.buffer(), dw.buffer()],
    );
    let [tiles, o] = sums.dims();
    (
        dw,
        want_b.then(|| sum_middle(sums, [1, tiles, o], 1.0, false).reshape([o])),
    )
}
