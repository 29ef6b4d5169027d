//! Drawing codes from the PixelCNN one after another in raster order.
//!
//! A position depends only on the codes before it, so activations can be cached:
//! [`Algorithm::Cached`] keeps the convolution inputs that later positions still see, and computes
//! the vertical stack row by row and the horizontal one position by position. Each output is the
//! same sum in the same order as in [`PixelCnn::forward`].

use super::{Layer, PixelCnn};
use crate::gpu::Gpu;
use crate::ops;
use crate::philox::{Draw, Stream};
use crate::tensor::{Codes, Tensor};

/// How the logits of a position are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// From cached activations.
    #[default]
    Cached,
    /// Runs the whole network on the whole grid for each position.
    Naive,
}

/// Codes that are given instead of drawn.
pub struct Given<'a> {
    /// [n, h, w]; ignored where not known.
    pub codes: &'a [u32],
    /// [h, w].
    pub known: &'a [bool],
}

/// What to sample.
pub struct Raster<'a> {
    /// Rows and columns.
    pub size: [usize; 2],
    /// The class of each sample, `[n]`.
    pub class: &'a Codes,
    /// Codes that are given.
    pub given: Option<Given<'a>>,
    /// Seed of the draws. The first samples do not depend on how many are drawn.
    pub seed: u64,
    /// The algorithm.
    pub way: Algorithm,
}

impl Raster<'_> {
    /// The codes of position `at`, if they are given: `[n]`.
    fn given(&self, at: usize) -> Option<Vec<u32>> {
        let given = self.given.as_ref().filter(|given| given.known[at])?;
        Some(
            given
                .codes
                .iter()
                .skip(at)
                .step_by(given.known.len())
                .copied()
                .collect(),
        )
    }

    /// Draws codes `[n]` from their `logits` [n, k]: argmax (logit + Gumbel noise).
    fn draw(&self, logits: &Tensor, at: usize) -> Codes {
        let stream = Stream {
            seed: self.seed,
            step: at as u32,
            stream: Draw::Raster.stream(),
            first: 0,
        };
        let noisy = ops::add(logits, &ops::gumbel(logits.gpu(), logits.shape(), stream));
        ops::argmin(&ops::affine(&noisy, -1.0, 0.0))
    }
}

impl PixelCnn {
    /// Samples codes [n, h, w], on the host; `seen(p)` is called when position p in raster order is
    /// done.
    pub fn sample(&self, raster: &Raster, seen: &mut dyn FnMut(usize)) -> Vec<u32> {
        let gpu = raster.class.gpu();
        let columns = gpu.no_grad(|| match raster.way {
            Algorithm::Cached => self.sample_cached(raster, seen),
            Algorithm::Naive => self.sample_naive(raster, seen),
        });
        let n = raster.class.count();
        (0..n)
            .flat_map(|i| columns.iter().map(move |column| column[i]))
            .collect()
    }

    /// The codes of each position, `[n]` each.
    fn sample_naive(&self, raster: &Raster, seen: &mut dyn FnMut(usize)) -> Vec<Vec<u32>> {
        let [h, w] = raster.size;
        let n = raster.class.count();
        let mut columns = vec![vec![0; n]; h * w];
        for at in 0..h * w {
            columns[at] = raster.given(at).unwrap_or_else(|| {
                let so_far: Vec<u32> = (0..n)
                    .flat_map(|i| columns.iter().map(move |column| column[i]))
                    .collect();
                let logits = self.forward(
                    &Codes::from_slice(raster.class.gpu(), &so_far, [n, h, w]),
                    raster.class,
                );
                let k = logits.shape().last();
                raster
                    .draw(&ops::narrow(&logits.reshape([n, h * w * k]), at * k, k), at)
                    .to_vec()
            });
            seen(at);
        }
        columns
    }

    fn sample_cached(&self, raster: &Raster, seen: &mut dyn FnMut(usize)) -> Vec<Vec<u32>> {
        let [h, w] = raster.size;
        let n = raster.class.count();
        let gpu = raster.class.gpu();
        let c = self.embedding.shape().last();
        let mut kept: Vec<Kept> = self
            .layers
            .iter()
            .map(|layer| Kept::new(layer, raster.class, w, c))
            .collect();
        let mut columns: Vec<Codes> = Vec::with_capacity(h * w);
        let mut row_above = Tensor::zeros(gpu, [n, w * c]);
        for i in 0..h {
            self.begin_row(&mut kept, &row_above.reshape([n, 1, w, c]));
            let mut row: Option<Tensor> = None;
            let mut left = Tensor::zeros(gpu, [n, c]);
            for j in 0..w {
                let at = i * w + j;
                let horizontal = self.step_right(&mut kept, &left, j);
                let codes = match raster.given(at) {
                    Some(codes) => Codes::from_slice(gpu, &codes, [n]),
                    None => raster.draw(&flat(&self.head(&horizontal)), at),
                };
                left = ops::gather(&self.embedding, &codes);
                row = Some(row.map_or_else(|| left.clone(), |row| ops::concat(&row, &left)));
                columns.push(codes);
                gpu.submit();
                seen(at);
            }
            row_above = row.unwrap_or(row_above);
        }
        columns.iter().map(Codes::to_vec).collect()
    }

    /// The vertical stack of a row, given the embeddings [n, 1, w, c] of the row above it.
    fn begin_row(&self, kept: &mut [Kept], above: &Tensor) {
        let mut vertical = above.clone();
        for (layer, kept) in self.layers.iter().zip(kept) {
            let [n, _, w, c] = vertical.dims();
            let half = layer.kernel / 2;
            kept.columns.forget();
            let Some([convolution, to_horizontal]) = &layer.vertical else {
                continue;
            };
            let rows = kept.rows.push(&vertical).reshape([n, layer.reach(), w, c]);
            let rows = ops::pad(&rows, [0, 0, half, half]);
            let sums = convolution.forward_first(&rows, [layer.reach(), layer.kernel]);
            kept.to_horizontal = Some(to_horizontal.forward(&sums));
            vertical = ops::gated(&ops::add(&sums, &kept.class));
        }
    }

    /// The horizontal stack's output [n, 1, 1, c] at column `j`, given the embedding [n, c] of the
    /// code left of it.
    fn step_right(&self, kept: &mut [Kept], left: &Tensor, j: usize) -> Tensor {
        let [n, c] = left.dims();
        let mut horizontal = left.reshape([n, 1, 1, c]);
        for (layer, kept) in self.layers.iter().zip(kept) {
            let columns = kept
                .columns
                .push(&horizontal)
                .reshape([n, 1, layer.reach(), c]);
            let sums = layer.horizontal.forward_first(&columns, [1, layer.reach()]);
            let both = match &kept.to_horizontal {
                Some(row) => {
                    let [_, _, w, _] = row.dims();
                    ops::add(&sums, &ops::crop(row, [0, 0, j, w - 1 - j]))
                }
                None => sums,
            };
            let out = layer
                .out
                .forward(&ops::gated(&ops::add(&both, &kept.class)));
            horizontal = if layer.first {
                out
            } else {
                ops::add(&out, &horizontal)
            };
        }
        horizontal
    }
}

/// [n, 1, 1, c] → [n, c].
fn flat(x: &Tensor) -> Tensor {
    x.reshape([x.shape().dims()[0], x.shape().last()])
}

/// What a layer keeps between positions.
struct Kept {
    /// The class embedding, [n, 1, 1, 2 c].
    class: Tensor,
    /// Inputs of the vertical convolution in the rows above.
    rows: Window,
    /// Inputs of the horizontal convolution in the columns to the left.
    columns: Window,
    /// The vertical stack's input to the row's horizontal stack, [n, 1, w, 2 c]; `None` for
    /// sequences.
    to_horizontal: Option<Tensor>,
}

impl Kept {
    fn new(layer: &Layer, class: &Codes, w: usize, c: usize) -> Kept {
        let gpu = class.gpu();
        let n = class.count();
        let keep = layer.reach() - 1;
        Kept {
            class: layer.class(class),
            rows: Window::new(gpu, n, keep, w * c),
            columns: Window::new(gpu, n, keep, c),
            to_horizontal: None,
        }
    }
}

/// The last pieces of a sequence, zeros before its beginning.
struct Window {
    /// [n, keep · size]; `None` if none are kept.
    pieces: Option<Tensor>,
    blank: Option<Tensor>,
}

impl Window {
    /// `keep` pieces of `size` numbers for each of `n` samples.
    fn new(gpu: &Gpu, n: usize, keep: usize, size: usize) -> Window {
        let blank = (keep > 0).then(|| Tensor::zeros(gpu, [n, keep * size]));
        Window {
            pieces: blank.clone(),
            blank,
        }
    }

    /// Returns the pieces followed by `next`, [n, (keep + 1) · size], and drops the first one.
    fn push(&mut self, next: &Tensor) -> Tensor {
        let n = next.shape().dims()[0];
        let size = next.count() / n;
        let next = next.reshape([n, size]);
        let Some(pieces) = &self.pieces else {
            return next;
        };
        let all = ops::concat(pieces, &next);
        self.pieces = Some(ops::narrow(&all, size, pieces.shape().last()));
        all
    }

    /// Back to the beginning.
    fn forget(&mut self) {
        self.pieces.clone_from(&self.blank);
    }
}
