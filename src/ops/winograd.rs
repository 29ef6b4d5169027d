//! Convolutions of 3 x 3 taps and stride 1 by Winograd's algorithm, a quarter of the multiplications: see
//! `shaders/winograd.wgsl`.

use bytemuck::{Pod, Zeroable};

use super::conv2d::Params as ConvParams;
use super::family::SMALL;
use super::grid;
use super::matmul::{Epilogue, Trans, uncounted};
use crate::gpu::{Buffer, Gpu, Override, Prefer, Shader, shader};
use crate::tensor::{Shape, Tensor};

pub(super) static SHADER: Shader = shader!("winograd");
pub(super) static LANES: Shader = shader!("winograd_lanes");

/// Rows and columns of a tile of outputs.
const TILE: u32 = 4;
/// Products: a tile sees a square of six by six.
const SQUARE: usize = 36;
/// Multiplications for which there is the time to write or read one number of a square, on CPU adapters.
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
    /// Of a weight [3, 3, c, o].
    fn of_weight([.., c, o]: [usize; 4]) -> Params {
        Params { rows: c as u32, channels: o as u32, ..Params::zeroed() }
    }

    fn dispatch(self, gpu: &Gpu, entry: &'static str, overrides: &[Override], buffers: &[&Buffer]) {
        let (shader, channels) = if gpu.has_lanes() { (&LANES, self.channels / 2) } else { (&SHADER, self.channels) };
        let groups = grid((self.rows * channels) as usize, 64);
        gpu.dispatch(shader, entry, overrides, buffers, &Params { channels, ..self }, groups);
    }

    /// [36, rows, channels] of `x`.
    fn squares(self, entry: &'static str, x: &Tensor, overrides: &[Override]) -> Tensor {
        let squares = Tensor::uninit(x.gpu(), [SQUARE, self.rows as usize, self.channels as usize]);
        self.dispatch(x.gpu(), entry, overrides, &[x.buffer(), squares.buffer()]);
        squares
    }

    /// Images [n, h, w, channels] of the products [36, rows, channels].
    fn outputs(self, products: &Tensor, shape: Shape, bias: Option<&Tensor>) -> Tensor {
        let y = Tensor::uninit(products.gpu(), shape);
        let buffers = [products.buffer(), bias.unwrap_or(products).buffer(), y.buffer()];
        self.dispatch(y.gpu(), "outputs", &[("BIAS", u32::from(bias.is_some()))], &buffers);
        y
    }
}

/// [36, c, o] of a weight [3, 3, c, o], turned by 180 degrees or not.
fn weight_squares(weight: &Tensor, turned: bool) -> Tensor {
    Params::of_weight(weight.dims()).squares("weight", weight, &[("TURNED", u32::from(turned))])
}

impl ConvParams {
    /// Whether the algorithm gives what is asked for: its kernels see one pixel around. Sums of few terms, which the other
    /// pixels of their tile would round more than a plain sum may, and f16, of which it would lose bits, are left to others.
    pub(super) fn allows_winograd(&self, gpu: &Gpu) -> bool {
        let [kernel, padding] = [[self.kernel_h, self.kernel_w], [self.pad_h, self.pad_w]];
        let same = kernel == [3, 3] && padding == [1, 1] && self.stride == 1 && self.taps == 9;
        let (least, most) = (self.c.min(self.o), self.c.max(self.o));
        let rows = self.tiles(most).rows.max(most);
        let fits = (4 * SQUARE) as u64 * u64::from(rows) * u64::from(most) <= gpu.largest_tensor();
        same && self.fours() && least as usize >= SMALL && fits && gpu.cooperative().is_none()
    }

    /// Whether it is the fastest by rule; of GPUs only measuring tells.
    pub(super) fn suits_winograd(&self, gpu: &Gpu) -> bool {
        if !self.allows_winograd(gpu) {
            return false;
        }
        match gpu.prefers() {
            Prefer::Winograd | Prefer::WinogradOnGpus => true,
            // By the adapter's facts, so that a rehearsal takes as much memory; on GPUs as much as measuring may choose.
            Prefer::Rule | Prefer::Measured if gpu.facts().is_cpu() => self.wins_on_cpus(),
            _ => gpu.rehearses(),
        }
    }

    /// Whether it takes less time than a direct kernel on CPU adapters. The gradient of the weight goes by the same rule.
    fn wins_on_cpus(&self) -> bool {
        let tiles = self.tiles(self.c).rows;
        // Products come in blocks of 32 rows.
        let [tiles, blocks, c, o] = [tiles, tiles.next_multiple_of(32), self.c, self.o].map(f64::from);
        let numbers = tiles * (c + o) + c * o;
        SQUARE as f64 * (blocks * c * o + TURN * numbers) < 9.0 * self.pixels() as f64 * c * o
    }

    /// The tiles of 4 x 4 that cover x or y, which are of a size, with so many channels.
    fn tiles(&self, channels: u32) -> Params {
        let ConvParams { batch, h, w, .. } = *self;
        let [tiles_h, tiles_w] = [h, w].map(|size| size.div_ceil(TILE));
        Params { h, w, tiles_h, tiles_w, rows: batch * tiles_h * tiles_w, channels }
    }
}

/// y of `x`.
pub(super) fn forward(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, conv: ConvParams) -> Tensor {
    let seen = conv.tiles(conv.c).squares("image", x, &[]);
    let products = uncounted(&seen, &weight_squares(weight, false), Epilogue::default(), Trans::default());
    conv.tiles(conv.o).outputs(&products, conv.shapes()[2], bias)
}

/// dx of `dy`: the convolution of it with the weight turned around.
pub(super) fn backward_input(dy: &Tensor, weight: &Tensor, bias: Option<&Tensor>, conv: ConvParams) -> Tensor {
    let seen = conv.tiles(conv.o).squares("image", dy, &[]);
    let products = uncounted(&seen, &weight_squares(weight, true), Epilogue::default(), Trans { a: false, b: true });
    conv.tiles(conv.c).outputs(&products, conv.shapes()[0], bias)
}

/// dw of `x` and `dy`.
pub(super) fn backward_weight([x, dy]: [&Tensor; 2], conv: ConvParams) -> Tensor {
    let (seen, gradient) =
        (conv.tiles(conv.c).squares("image", x, &[]), conv.tiles(conv.o).squares("gradient", dy, &[]));
    let products = uncounted(&seen, &gradient, Epilogue::default(), Trans { a: true, b: false });
    let dw = Tensor::uninit(x.gpu(), conv.shapes()[1]);
    Params::of_weight(dw.dims()).dispatch(x.gpu(), "weight_gradient", &[], &[products.buffer(), dw.buffer()]);
    dw
}
