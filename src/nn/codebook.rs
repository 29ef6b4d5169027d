//! The code vectors of a VQ-VAE with their running averages: initialised on data, moved to the mean
//! of their latents, revived when unused.

use crate::gpu::Gpu;
use crate::ops::{self, Trans};
use crate::philox::Stream;
use crate::tensor::{Codes, Tensor};

/// A code is dead when its running number of hits is below this share of the mean.
const DEAD: f32 = 0.05;

/// Code vectors e_k. Clones share the memory.
#[derive(Clone)]
pub struct Codebook {
    /// The vectors, [k, d].
    pub vectors: Tensor,
    /// Running average of each code's hits (latents assigned to it) per step, `[k]`.
    pub counts: Tensor,
    /// Running average of the sum of the latents assigned to it, [k, d].
    pub sums: Tensor,
}

impl Codebook {
    /// `k` vectors of `d` channels at the origin; see [`Codebook::place`].
    pub fn new(gpu: &Gpu, [k, d]: [usize; 2]) -> Codebook {
        let zeros = || Tensor::zeros(gpu, [k, d]);
        Codebook {
            vectors: zeros(),
            counts: Tensor::zeros(gpu, [k]),
            sums: zeros(),
        }
    }

    /// The tensors that a checkpoint holds besides the parameters, with their names.
    pub fn state(&self) -> [(&'static str, &Tensor); 3] {
        [
            ("codebook.vectors", &self.vectors),
            ("codebook.counts", &self.counts),
            ("codebook.sums", &self.sums),
        ]
    }

    /// Sets every vector to a random one of `latents` [.., d] and its count to 1, so that a code
    /// without hits keeps its place. Waits for the GPU.
    pub fn place(&self, latents: &Tensor, stream: Stream) {
        let [k, d] = self.vectors.dims();
        let chosen = choose(&latents.to_vec(), d, k, stream);
        self.write(&chosen, &vec![1.0; k], &chosen);
    }

    /// Moves the vectors to the running averages of the `latents` [.., d] assigned to them by
    /// `codes` [..].
    pub fn follow(&self, latents: &Tensor, codes: &Codes, decay: f64) {
        ops::codebook_ema(
            latents,
            codes,
            &self.counts,
            &self.sums,
            &self.vectors,
            decay as f32,
        );
    }

    /// Moves dead codes to random `latents` and returns their number. Waits for the GPU.
    pub fn revive(&self, latents: &Tensor, stream: Stream) -> usize {
        let [_, d] = self.vectors.dims();
        let mut counts = self.counts.to_vec();
        let alive = DEAD * counts.iter().sum::<f32>() / counts.len() as f32;
        let dead: Vec<usize> = (0..counts.len())
            .filter(|&code| counts[code] < alive)
            .collect();
        if dead.is_empty() {
            return 0;
        }
        let mut vectors = self.vectors.to_vec();
        let mut sums = self.sums.to_vec();
        let fresh = choose(&latents.to_vec(), d, dead.len(), stream);
        for (&code, vector) in dead.iter().zip(fresh.chunks_exact(d)) {
            counts[code] = 1.0;
            vectors[code * d..(code + 1) * d].copy_from_slice(vector);
            sums[code * d..(code + 1) * d].copy_from_slice(vector);
        }
        self.write(&vectors, &counts, &sums);
        dead.len()
    }

    /// Overwrites everything, e.g. with what a checkpoint holds: vectors, counts, sums.
    pub fn write(&self, vectors: &[f32], counts: &[f32], sums: &[f32]) {
        for (tensor, values) in [
            (&self.vectors, vectors),
            (&self.counts, counts),
            (&self.sums, sums),
        ] {
            tensor.gpu().overwrite(tensor.buffer(), values);
        }
    }
}

/// `count` random rows of the [.., d] matrix `rows`.
fn choose(rows: &[f32], d: usize, count: usize, stream: Stream) -> Vec<f32> {
    let row = |i: u32| stream.below(i, (rows.len() / d) as u32) as usize * d;
    (0..count as u32)
        .flat_map(|i| rows[row(i)..row(i) + d].iter().copied())
        .collect()
}

/// A Gumbel-softmax sample of softmax(−`scale` ‖z − e‖²) at the temperature τ, as a mixture of code
/// vectors (Jang et al. 2017): `z` [.., d], `vectors` [k, d], `gumbel` [.., k] independent
/// Gumbel(0, 1) numbers → [.., d]. The gradient reaches both.
pub fn relaxed(z: &Tensor, vectors: &Tensor, gumbel: &Tensor, [scale, tau]: [f32; 2]) -> Tensor {
    let [k, d] = vectors.dims();
    let logits = ops::affine(&ops::distances(z, vectors), -scale, 0.0);
    let weights = ops::gumbel_softmax(&logits, gumbel, tau).reshape([1, z.count() / d, k]);
    ops::matmul(&weights, &vectors.reshape([1, k, d]), Trans::default()).reshape(z.shape())
}

/// The rows of `x` [.., d] scaled to norm 1; a row of zeros stays zero.
pub fn unit(x: &Tensor) -> Tensor {
    let d = x.shape().last();
    let rows = x.reshape([x.count() / d, d]);
    let squares = ops::affine(&ops::sum(&ops::square(&rows), 1), 1.0, 1e-12);
    let inverse = ops::exp(&ops::affine(&ops::log(&squares), -0.5, 0.0));
    ops::mul(&rows, &inverse.reshape([x.count() / d, 1])).reshape(x.shape())
}
