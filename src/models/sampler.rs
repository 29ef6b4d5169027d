//! Samplers: Algorithm 2, corrected, and faster ones; inpainting by replacement and resampling.
//!
//! A sampler needs ε_θ only as a function of (z_t, t): the trained network, or the exact one in
//! tests.

use crate::bridge::{Bridge, Prediction, ReverseVariance, Step};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::ops;
use crate::philox::{Draw, Stream};
use crate::tensor::{Codes, Shape, Tensor};

/// The rule for a reverse step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampler {
    /// Algorithm 2 with E2 corrected: fresh noise in every step but the last. Longer strides take
    /// DDIM with κ = 1.
    Ancestral,
    /// DDIM(κ): κ = 0 is deterministic.
    Ddim {
        /// Share of the bridge's noise.
        kappa: f64,
    },
    /// DPM-Solver++(2M).
    Dpmpp2m,
    /// Algorithm 2 as printed: no noise, α instead of ᾱ. Samples collapse; for demonstration.
    PaperLiteral,
}

/// A reverse process: the bridge, its network and the device.
pub struct Process<'a> {
    /// The device.
    pub gpu: &'a Gpu,
    /// The bridge.
    pub bridge: &'a Bridge,
    /// σ_t² of ancestral steps of stride 1.
    pub variance: ReverseVariance,
    /// z*, `[1]` or `[channels]`.
    pub target: &'a Tensor,
    /// ε_θ(z_t, t).
    pub eps: &'a dyn Fn(&Tensor, usize) -> Tensor,
}

/// Known latents for inpainting.
pub struct Known<'a> {
    /// z̄_0, the shape of the samples.
    pub z0: &'a Tensor,
    /// 1 where known, 0 where not; broadcasts to the samples.
    pub mask: &'a Tensor,
    /// Passes over each level; 1 is plain replacement, more is RePaint (Lugmayr et al. 2022).
    pub resample: usize,
}

impl Process<'_> {
    /// Samples z_0 of `shape` in `count` steps; `seen(t, z_t)` is called at every visited level,
    /// from T to 0.
    ///
    /// # Errors
    /// [`Error::Usage`] if `count` does not fit the bridge or the sampler.
    pub fn sample(
        &self,
        shape: Shape,
        sampler: Sampler,
        count: usize,
        seed: u64,
        seen: &mut dyn FnMut(usize, &Tensor),
    ) -> Result<Tensor> {
        let levels = self.levels(count)?;
        if sampler == Sampler::PaperLiteral && count != self.bridge.steps() {
            return Err(Error::Usage(format!(
                "--sampler paper-literal takes all {} steps",
                self.bridge.steps()
            )));
        }
        Ok(self.denoise(&self.initial(shape, seed), &levels, sampler, seed, seen))
    }

    /// The levels of `count` evenly strided steps, from T to 0.
    ///
    /// # Errors
    /// [`Error::Usage`] if `count` does not fit the bridge.
    pub fn levels(&self, count: usize) -> Result<Vec<usize>> {
        self.bridge
            .timesteps(count)
            .map_err(|e| Error::Usage(format!("--sampling-steps: {e}")))
    }

    /// Denoises `z` along the descending `levels`, first to last; `seen(t, z_t)` is called at each.
    pub fn denoise(
        &self,
        z: &Tensor,
        levels: &[usize],
        sampler: Sampler,
        seed: u64,
        seen: &mut dyn FnMut(usize, &Tensor),
    ) -> Tensor {
        self.gpu.no_grad(|| {
            let mut z = z.clone();
            seen(levels[0], &z);
            let mut history: Option<(usize, Tensor)> = None;
            for pair in levels.windows(2) {
                let t = pair[0];
                let s = pair[1];
                let eps = (self.eps)(&z, t);
                if sampler == Sampler::Dpmpp2m {
                    let coefficients = self.bridge.dpmpp2m(history.as_ref().map(|h| h.0), t, s);
                    let previous = history.as_ref().map_or(&z, |h| &h.1);
                    let estimate = self.bridge.predict_z0(t, Prediction::Noise);
                    let (next, zhat) =
                        ops::multistep(&z, &eps, previous, self.target, coefficients, estimate);
                    (z, history) = (next, Some((t, zhat)));
                } else {
                    let xi = Stream {
                        seed,
                        step: t as u32,
                        stream: Draw::Step.stream(),
                        first: 0,
                    };
                    z = ops::step(&z, &eps, self.target, self.step(sampler, t, s), xi);
                }
                seen(s, &z);
                self.gpu.submit();
            }
            z
        })
    }

    /// z_T ~ N(z*, v I).
    pub fn initial(&self, shape: Shape, seed: u64) -> Tensor {
        let noise = ops::normal(
            self.gpu,
            shape,
            Stream {
                seed,
                step: 0,
                stream: Draw::Initial.stream(),
                first: 0,
            },
        );
        ops::add(
            &ops::affine(&noise, self.bridge.stationary_variance().sqrt() as f32, 0.0),
            self.target,
        )
    }

    fn step(&self, sampler: Sampler, t: usize, s: usize) -> Step {
        match sampler {
            Sampler::Ancestral if s + 1 == t => self.bridge.ancestral(t, self.variance),
            Sampler::Ancestral => self.bridge.ddim(s, t, 1.0),
            Sampler::Ddim { kappa } => self.bridge.ddim(s, t, kappa),
            Sampler::PaperLiteral => self.bridge.paper_literal(t),
            Sampler::Dpmpp2m => unreachable!("DPM-Solver++(2M) has no single step"),
        }
    }

    /// Inpaints (appendix B): samples the unknown part by ancestral steps along the descending
    /// `levels`, T to 0. After each reverse step the known part is drawn from its forward marginal.
    /// With `resample` > 1 each step is repeated from one forward step of fresh noise, which makes
    /// both parts consistent. `seen(t, z_t)` is called at each level.
    pub fn inpaint(
        &self,
        known: &Known,
        levels: &[usize],
        seed: u64,
        seen: &mut dyn FnMut(usize, &Tensor),
    ) -> Tensor {
        self.gpu.no_grad(|| {
            let hole = ops::affine(known.mask, -1.0, 1.0);
            let mut z = self.initial(known.z0.shape(), seed);
            seen(levels[0], &z);
            for pair in levels.windows(2) {
                let t = pair[0];
                let s = pair[1];
                for pass in 0..known.resample {
                    // Each pass over the level has its own stream.
                    let draw = |what: Draw| Stream {
                        seed,
                        step: t as u32,
                        stream: what.part(pass as u32),
                        first: 0,
                    };
                    let step = self.step(Sampler::Ancestral, t, s);
                    let free =
                        ops::step(&z, &(self.eps)(&z, t), self.target, step, draw(Draw::Step));
                    let given = self.marginal(known.z0, s, draw(Draw::Known));
                    z = ops::add(&ops::mul(&free, &hole), &ops::mul(&given, known.mask));
                    if pass + 1 < known.resample {
                        z = self.forward_step(&z, [s, t], draw(Draw::Renoise));
                    }
                    self.gpu.submit();
                }
                seen(s, &z);
            }
            z
        })
    }

    /// Draws z_t given `z0`.
    pub fn noised(&self, z0: &Tensor, t: usize, seed: u64) -> Tensor {
        self.marginal(
            z0,
            t,
            Stream {
                seed,
                step: t as u32,
                stream: Draw::Known.stream(),
                first: 0,
            },
        )
    }

    fn marginal(&self, z0: &Tensor, t: usize, stream: Stream) -> Tensor {
        let marginal = self.bridge.forward(t);
        self.noise(z0, marginal.signal, marginal.noise, stream)
    }

    /// A draw of z_t given z_s, s < t.
    fn forward_step(&self, z: &Tensor, [s, t]: [usize; 2], stream: Stream) -> Tensor {
        let kept: f64 = (s + 1..=t).map(|t| 1.0 - self.bridge.beta(t)).product();
        let v = self.bridge.stationary_variance();
        self.noise(z, kept.sqrt(), (v * (1.0 - kept)).sqrt(), stream)
    }

    /// z* + signal (z − z*) + noise ξ by the fused step.
    fn noise(&self, z: &Tensor, signal: f64, noise: f64, stream: Stream) -> Tensor {
        ops::step(
            z,
            z,
            self.target,
            Step {
                c0: signal,
                c1: 0.0,
                c2: noise,
                c3: 1.0 - signal,
            },
            stream,
        )
    }
}

/// Draws codes ~ softmax(−‖z − e_k‖²/τ): `latents` [.., d], `codebook` [k, d] → [..]. The last line
/// of Algorithm 2 with E10 corrected: argmin of ‖z − e_k‖²/τ − Gumbel noise.
pub fn draw_codes(latents: &Tensor, codebook: &Tensor, temperature: f64, stream: Stream) -> Codes {
    let distances = ops::affine(
        &ops::distances(latents, codebook),
        (1.0 / temperature) as f32,
        0.0,
    );
    ops::argmin(&ops::sub(
        &distances,
        &ops::gumbel(latents.gpu(), distances.shape(), stream),
    ))
}
