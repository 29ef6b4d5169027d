//! Codes prediction: the distribution of the code at each position, from the network's logits and
//! the exact likelihood of z_t.
//!
//! ```text
//! log p(k | z_t, i) = log softmax_k(f_θ(z_t, t)_{i,k} + b_{i,k} + ℓ_{i,k})
//! ℓ_{i,k} = log N(z_t,i; z* + √ᾱ_t (e_k − z*), v (1 − ᾱ_t) + ᾱ_t w)     up to a constant
//! m = Σ_k p_k e_k,   ẑ_0 = m + g (z_t − z* − √ᾱ_t (m − z*)),   g = √ᾱ_t w / (v (1 − ᾱ_t) + ᾱ_t w)
//! ```
//! Here e_k are the code vectors, and w is the variance of z_0 about its code vector in each
//! channel: 0 where code vectors are diffused, so that ẑ_0 = m. At low noise ℓ alone suffices; at
//! high noise the distribution starts as b, the log histogram of the codes at position i. The
//! network learns what the rest of the image adds.

use std::cell::RefCell;

use crate::bridge::{Bridge, Marginal};
use crate::gpu::Gpu;
use crate::nn::init::Init;
use crate::ops::{self, CodeLaw};
use crate::tensor::{Codes, Tensor};

/// Turns logits into a distribution over codes.
pub struct CodeHead {
    /// b, [p, k].
    pub bias: Tensor,
    /// e_k − z*, standardised, [k, d]. Joint training updates them at every step.
    vectors: RefCell<Tensor>,
    /// w in each channel, standardised, `[d]`.
    spread: Tensor,
    tables: Tables,
}

/// Coefficients by level, [T + 1, ..]; row 0 is never gathered.
struct Tables {
    /// √ᾱ_t, [T + 1, 1].
    signal: Tensor,
    /// 1 / (v (1 − ᾱ_t) + ᾱ_t w), [T + 1, d].
    precision: Tensor,
    /// 1 − g √ᾱ_t and g, [T + 1, d] each; `None` without a spread.
    residual: Option<[Tensor; 2]>,
}

impl Tables {
    fn new(gpu: &Gpu, bridge: &Bridge, spread: &[f32]) -> Tables {
        let levels = bridge.steps() + 1;
        let d = spread.len();
        let table = |width: usize, f: &dyn Fn(usize, usize) -> f64| {
            let entry = |at: usize| {
                if at < width {
                    0.0
                } else {
                    f(at / width, at % width) as f32
                }
            };
            Tensor::from_slice(
                gpu,
                &(0..levels * width).map(entry).collect::<Vec<_>>(),
                [levels, width],
            )
        };
        let variance = |t: usize, c: usize| {
            let noise = bridge.forward(t).noise;
            noise * noise + bridge.alpha_bar(t) * f64::from(spread[c])
        };
        let gain =
            |t: usize, c: usize| bridge.forward(t).signal * f64::from(spread[c]) / variance(t, c);
        let keep = |t: usize, c: usize| 1.0 - bridge.forward(t).signal * gain(t, c);
        let residual = spread
            .iter()
            .any(|&w| w > 0.0)
            .then(|| [table(d, &keep), table(d, &gain)]);
        let precision = table(d, &|t, c| 1.0 / variance(t, c));
        Tables {
            signal: table(1, &|t, _| bridge.forward(t).signal),
            precision,
            residual,
        }
    }
}

impl CodeHead {
    /// A head for `codes` codes of `dim` channels at `positions` positions, with zero vectors and
    /// bias.
    pub fn new(init: &mut Init, bridge: &Bridge, [positions, codes, dim]: [usize; 3]) -> CodeHead {
        let gpu = &init.gpu().clone();
        CodeHead {
            bias: init.zeros(&[positions, codes]),
            vectors: RefCell::new(init.zeros(&[codes, dim])),
            spread: init.zeros(&[dim]),
            tables: Tables::new(gpu, bridge, &vec![0.0; dim]),
        }
    }

    /// Overwrites b with `values` [p, k].
    pub fn start_at(&self, values: &[f32]) {
        self.bias.gpu().overwrite(self.bias.buffer(), values);
    }

    /// Replaces the code vectors by `vectors` [k, d], standardised and with z* subtracted.
    /// Gradients flow into them.
    pub fn speak(&self, vectors: Tensor) {
        *self.vectors.borrow_mut() = vectors;
    }

    /// w in each channel, `[d]`.
    pub fn spread(&self) -> &Tensor {
        &self.spread
    }

    /// Replaces w by `spread` `[d]`, standardised.
    pub fn spread_by(&mut self, bridge: &Bridge, spread: &[f32]) {
        let gpu = self.spread.gpu().clone();
        self.tables = Tables::new(&gpu, bridge, spread);
        self.spread = Tensor::from_slice(&gpu, spread, [spread.len()]);
    }

    /// The distribution at z_t − z* = `z` [n, h, w, d] and levels `t` `[n]`, from ℓ, b and, unless
    /// `None`, the network's `logits` [n, h, w, k].
    pub fn law(&self, z: &Tensor, t: &Codes, logits: Option<&Tensor>) -> Law<'_> {
        let [n, h, w, d] = z.dims();
        let vectors = self.vectors.borrow().clone();
        let [k, _] = vectors.dims();
        Law {
            head: self,
            vectors,
            z: z.reshape([n, h * w, d]),
            t: t.clone(),
            logits: logits.map(|logits| logits.reshape([n, h * w, k])),
            signal: ops::gather(&self.tables.signal, t).reshape([n]),
            precision: ops::gather(&self.tables.precision, t),
            grid: [h, w],
        }
    }
}

/// The distribution of the code at each position of noised latents.
pub struct Law<'a> {
    head: &'a CodeHead,
    vectors: Tensor,
    z: Tensor,
    t: Codes,
    logits: Option<Tensor>,
    signal: Tensor,
    precision: Tensor,
    grid: [usize; 2],
}

impl Law<'_> {
    fn op(&self) -> CodeLaw<'_> {
        CodeLaw {
            z: &self.z,
            codebook: &self.vectors,
            signal: &self.signal,
            precision: &self.precision,
            bias: &self.head.bias,
            logits: self.logits.as_ref(),
        }
    }

    fn on_grid(&self, x: &Tensor) -> Tensor {
        let [n, _, d] = x.dims();
        x.reshape([n, self.grid[0], self.grid[1], d])
    }

    /// m − z*, [n, h, w, d].
    pub fn mean(&self) -> Tensor {
        self.on_grid(&self.op().mean())
    }

    /// ẑ_0 − z*, [n, h, w, d].
    pub fn z0(&self) -> Tensor {
        let mean = self.op().mean();
        let Some(residual) = &self.head.tables.residual else {
            return self.on_grid(&mean);
        };
        let [n, _, d] = mean.dims();
        let [keep, gain] = residual
            .each_ref()
            .map(|table| ops::gather(table, &self.t).reshape([n, 1, d]));
        self.on_grid(&ops::add(
            &ops::mul(&mean, &keep),
            &ops::mul(&self.z, &gain),
        ))
    }

    /// ε_θ [n, h, w, d] where all images are at the level of `marginal`.
    pub fn eps(&self, marginal: Marginal) -> Tensor {
        let rest = ops::sub(
            &self.on_grid(&self.z),
            &ops::affine(&self.z0(), marginal.signal as f32, 0.0),
        );
        ops::affine(&rest, (1.0 / marginal.noise) as f32, 0.0)
    }

    /// −log p of `codes` [n, h, w] in nats, [n, h w].
    pub fn cross_entropy(&self, codes: &Codes) -> Tensor {
        let [n, p, _] = self.z.dims();
        self.op().cross_entropy(&codes.reshape([n, p]))
    }

    /// Log-probabilities up to a constant per position, [n, h w, k].
    pub fn scores(&self) -> Tensor {
        self.op().scores()
    }
}
