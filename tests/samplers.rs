//! The samplers with the toy's exact denoiser, in closed form: any error here is the sampler's, not
//! a network's.
//!
//! z_0 is a mixture of 128 Gaussians of standard deviation 0.1 around the chains' centroids m_j, so
//! with z* = 0 z_t | j ~ N(√ᾱ m_j, s² I), s² = 0.01 ᾱ + v (1 − ᾱ), and E[z_0 | z_t, j] = m_j +
//! (0.01 √ᾱ/s²)(z_t − √ᾱ m_j).

use dbvq_wgpu::bridge::{Bridge, ReverseVariance};
use dbvq_wgpu::config::Config;
use dbvq_wgpu::data::toy::{self, CHAINS, DIM, LENGTH, NOISE_STD, Reached};
use dbvq_wgpu::gpu::{Gpu, GpuOptions};
use dbvq_wgpu::models::sampler::{Known, Process, Sampler};
use dbvq_wgpu::ops::{self, Trans};
use dbvq_wgpu::tensor::{Shape, Tensor};

/// Samples for judging the distribution of the chains.
const MANY: usize = 16_384;
const WIDTH: usize = LENGTH * DIM;

struct Exact {
    gpu: Gpu,
    bridge: Bridge,
    /// m_j on the host, [128, 10].
    means: Vec<f32>,
    target: Tensor,
}

impl Exact {
    fn new() -> Exact {
        let gpu = Gpu::open(GpuOptions::default())
            .expect("these tests need a GPU adapter; Mesa's lavapipe will do");
        let bridge = Config::load("toy", &[])
            .expect("a preset")
            .bridge
            .build()
            .expect("a preset's bridge");
        let means = toy::fillings(&[])
            .into_iter()
            .flatten()
            .flat_map(|q| toy::centroids()[q as usize])
            .collect();
        let target = Tensor::zeros(&gpu, [1]);
        Exact {
            gpu,
            bridge,
            means,
            target,
        }
    }

    fn eps(&self, z: &Tensor, t: usize) -> Tensor {
        let shape = z.shape();
        let n = z.shape().dims()[0];
        let marginal = self.bridge.forward(t);
        let variance = f64::from(NOISE_STD).powi(2);
        let spread = marginal.signal * marginal.signal * variance + marginal.noise * marginal.noise;
        let pull = marginal.signal * variance / spread;
        let flat = z.reshape([n, WIDTH]);
        let means = Tensor::from_slice(&self.gpu, &self.means, [CHAINS, WIDTH]);
        let distances = ops::distances(&flat, &ops::affine(&means, marginal.signal as f32, 0.0));
        let weights = ops::softmax(&distances, (-0.5 / spread) as f32).reshape([1, n, CHAINS]);
        let mean = ops::matmul(
            &weights,
            &means.reshape([1, CHAINS, WIDTH]),
            Trans::default(),
        )
        .reshape([n, WIDTH]);
        let add = |a: &Tensor, by_a: f64, b: &Tensor, by_b: f64| {
            ops::add(
                &ops::affine(a, by_a as f32, 0.0),
                &ops::affine(b, by_b as f32, 0.0),
            )
        };
        let z0 = add(&mean, 1.0 - pull * marginal.signal, &flat, pull);
        // ε = (z_t − √ᾱ ẑ_0) / √(v (1 − ᾱ)), z* being 0.
        add(
            &flat,
            1.0 / marginal.noise,
            &z0,
            -marginal.signal / marginal.noise,
        )
        .reshape(shape)
    }

    /// z_0 of `count` samples.
    fn sample(&self, sampler: Sampler, count: usize, steps: usize, seed: u64) -> Vec<f32> {
        let eps = |z: &Tensor, t: usize| self.eps(z, t);
        let shape = Shape::from([count, LENGTH, DIM]);
        let z = self
            .process(&eps)
            .sample(shape, sampler, steps, seed, &mut |_, _| {});
        z.expect("the steps fit the bridge").to_vec()
    }

    fn reached(&self, sampler: Sampler, count: usize, steps: usize) -> Reached {
        let z0 = self.sample(sampler, count, steps, 7);
        assert!(
            z0.iter().all(|z| z.is_finite()),
            "{sampler:?} left the finite numbers"
        );
        let reached = toy::reached(&toy::nearest(&z0, &toy::centroids()));
        println!("{sampler:?}, {steps} steps: {reached:?}");
        reached
    }

    /// Shares of the two monotone fillings of q_1 = 0, q_5 = 4.
    fn inpainted(&self, count: usize, resample: usize) -> Vec<f64> {
        let ends = [(0, 0u32), (LENGTH - 1, 4u32)];
        let mut vectors = [0.0; WIDTH];
        let mut mask = [0.0; LENGTH];
        for (position, code) in ends {
            vectors[position * DIM..][..DIM].copy_from_slice(&toy::centroids()[code as usize]);
            mask[position] = 1.0;
        }
        let z0 = Tensor::from_slice(&self.gpu, &vectors.repeat(count), [count, LENGTH, DIM]);
        let mask = Tensor::from_slice(&self.gpu, &mask, [1, LENGTH, 1]);
        let eps = |z: &Tensor, t: usize| self.eps(z, t);
        let process = self.process(&eps);
        let known = Known {
            z0: &z0,
            mask: &mask,
            resample,
        };
        let levels = process.levels(self.bridge.steps()).expect("all steps");
        let filled = process.inpaint(&known, &levels, 3, &mut |_, _| {}).to_vec();
        for sample in filled.chunks_exact(WIDTH) {
            for (position, _) in ends {
                assert_eq!(
                    sample[position * DIM..][..DIM],
                    vectors[position * DIM..][..DIM],
                    "what is known stays"
                );
            }
        }
        let shares = toy::shares(
            &toy::nearest(&filled, &toy::centroids()),
            &toy::fillings(&ends),
        );
        println!("inpainting, {resample} passes: {shares:?}");
        shares
    }

    fn process<'a>(&'a self, eps: &'a dyn Fn(&Tensor, usize) -> Tensor) -> Process<'a> {
        let gpu = &self.gpu;
        let bridge = &self.bridge;
        let target = &self.target;
        Process {
            gpu,
            bridge,
            variance: ReverseVariance::Bridge,
            target,
            eps,
        }
    }
}

#[test]
fn ancestral_sampling_finds_the_law_of_the_chains() {
    let reached = Exact::new().reached(Sampler::Ancestral, MANY, 50);
    assert!(
        reached.valid >= 0.998 && reached.total_variation <= 0.045,
        "{reached:?}"
    );
    assert!(
        reached.distinct >= CHAINS,
        "every chain turns up: {reached:?}"
    );
}

#[test]
fn few_steps_are_nearly_as_good() {
    let exact = Exact::new();
    let ddim = exact.reached(Sampler::Ddim { kappa: 0.0 }, MANY, 10);
    let dpm = exact.reached(Sampler::Dpmpp2m, MANY, 10);
    assert!(
        ddim.valid >= 0.98 && ddim.total_variation <= 0.045,
        "{ddim:?}"
    );
    assert!(
        dpm.valid >= ddim.valid && dpm.total_variation <= 0.045,
        "{dpm:?}, DDIM {ddim:?}"
    );
}

#[test]
fn the_printed_form_collapses() {
    let reached = Exact::new().reached(Sampler::PaperLiteral, 4096, 50);
    println!(
        "paper-literal: {} distinct sequences of {}",
        reached.distinct, reached.samples
    );
    // Every sequence is a chain, which alone would look perfect; but few of the 128 appear, and
    // unevenly.
    assert!(
        reached.valid > 0.99 && reached.distinct <= 64 && reached.total_variation >= 0.6,
        "{reached:?}"
    );
}

#[test]
fn equal_seeds_give_equal_bits() {
    let exact = Exact::new();
    let bits = |seed| {
        exact
            .sample(Sampler::Ancestral, 256, 50, seed)
            .iter()
            .map(|z| z.to_bits())
            .collect::<Vec<_>>()
    };
    let first = bits(1);
    assert_eq!(first, bits(1));
    assert_ne!(first, bits(2));
}

#[test]
fn resampling_mends_what_replacement_breaks() {
    let exact = Exact::new();
    let replaced: f64 = exact.inpainted(1024, 1).iter().sum();
    assert!(
        (0.45..0.7).contains(&replaced),
        "replacement gives valid fillings in {replaced} of the cases"
    );
    let resampled = exact.inpainted(1024, 10);
    assert!(resampled.iter().sum::<f64>() >= 0.95, "{resampled:?}");
    assert!(
        resampled.iter().all(|share| (0.4..=0.6).contains(share)),
        "{resampled:?}"
    );
}
