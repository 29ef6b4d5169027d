//! The bound on −log p of codes, for distributions known in closed form and their exact denoisers.
//! What exceeds the entropy is the bound's own gap, which shrinks with the number of steps. Needs a
//! GPU adapter.

use dbvq_wgpu::bridge::{Bridge, Spacing, Target};
use dbvq_wgpu::data::toy::{self, CHAINS, CODES, DIM};
use dbvq_wgpu::gpu::{Gpu, GpuOptions};
use dbvq_wgpu::models::bound::Bound;
use dbvq_wgpu::ops::{self, CodeLaw, Trans};
use dbvq_wgpu::tensor::{Codes, Tensor};

/// A distribution of `p` codes at a time, as a list of states.
struct Law {
    /// e_k, [k, d].
    vectors: Vec<f32>,
    k: usize,
    /// Codes of each state, [states, p].
    states: Vec<u32>,
    /// Probability of each state.
    share: Vec<f64>,
}

impl Law {
    /// The toy's chains.
    fn toy() -> Law {
        let states = toy::fillings(&[]).into_iter().flatten().collect();
        let vectors = toy::centroids().as_flattened().to_vec();
        Law {
            vectors,
            k: CODES,
            states,
            share: vec![1.0 / CHAINS as f64; CHAINS],
        }
    }

    /// A Markov chain of three codes on a 2 × 3 grid, row after row: like neighbours attract.
    fn grid() -> Law {
        let k = 3usize;
        let [h, w] = [2, 3];
        let count = k.pow((h * w) as u32);
        let state =
            |number: usize| (0..h * w).map(move |at| (number / k.pow(at as u32) % k) as u32);
        let states: Vec<u32> = (0..count).flat_map(state).collect();
        let weight = |codes: &[u32]| {
            let alike = |a: usize, b: usize| if codes[a] == codes[b] { 1.2f64 } else { 0.0 };
            let right: f64 = (0..h * w)
                .filter(|at| at % w + 1 < w)
                .map(|at| alike(at, at + 1))
                .sum();
            let below: f64 = (0..h * w - w).map(|at| alike(at, at + w)).sum();
            (right + below).exp()
        };
        let weights: Vec<f64> = states.chunks_exact(h * w).map(weight).collect();
        let total: f64 = weights.iter().sum();
        let vectors = vec![1.3, 0.2, -0.7, 1.1, -0.4, -1.4];
        Law {
            vectors,
            k,
            states,
            share: weights.iter().map(|weight| weight / total).collect(),
        }
    }

    fn positions(&self) -> usize {
        self.states.len() / self.share.len()
    }

    /// Entropy in nats per code.
    fn entropy(&self) -> f64 {
        -self.share.iter().map(|p| p * p.ln()).sum::<f64>() / self.positions() as f64
    }

    /// Vectors of all states, [states, p, 2].
    fn means(&self, gpu: &Gpu) -> Tensor {
        let values: Vec<f32> = self
            .states
            .iter()
            .flat_map(|&q| &self.vectors[DIM * q as usize..][..DIM])
            .copied()
            .collect();
        Tensor::from_slice(gpu, &values, [self.share.len(), self.positions(), DIM])
    }

    /// ε of the exact posterior mean at level t.
    fn eps(&self, bridge: &Bridge, target: f32, z: &Tensor, t: usize) -> Tensor {
        let gpu = z.gpu();
        let states = self.share.len();
        let [n, p, _] = z.dims();
        let width = p * DIM;
        let marginal = bridge.forward(t);
        let flat = ops::affine(&z.reshape([n, width]), 1.0, -target);
        let means = ops::affine(&self.means(gpu).reshape([states, width]), 1.0, -target);
        let distances = ops::distances(&flat, &ops::affine(&means, marginal.signal as f32, 0.0));
        let log_share: Vec<f32> = self.share.iter().map(|p| p.ln() as f32).collect();
        let scores = ops::affine(&distances, (-0.5 / marginal.noise.powi(2)) as f32, 0.0);
        let scores = ops::add(&scores, &Tensor::from_slice(gpu, &log_share, [states]));
        let weights = ops::softmax(&scores, 1.0).reshape([1, n, states]);
        let mean = ops::matmul(
            &weights,
            &means.reshape([1, states, width]),
            Trans::default(),
        )
        .reshape([n, width]);
        let rest = ops::sub(&flat, &ops::affine(&mean, marginal.signal as f32, 0.0));
        ops::affine(&rest, (1.0 / marginal.noise) as f32, 0.0).reshape(z.shape())
    }

    /// The expected bound with the exact denoiser in T = `steps`, nats per code.
    fn bound(&self, gpu: &Gpu, steps: usize) -> f64 {
        self.bound_by(gpu, self, steps)
    }

    /// The expected bound with the exact denoiser of the distribution `believed`.
    fn bound_by(&self, gpu: &Gpu, believed: &Law, steps: usize) -> f64 {
        let theta = 1.0;
        let eta = 1.2;
        let target = 0.25;
        // The same total noise for any number of steps: β is a density.
        let spacing = Spacing::Linear {
            beta_start: 0.1 / steps as f64,
            beta_end: 20.0 / steps as f64,
        };
        let bridge =
            Bridge::new(theta, eta, Target::Scalar(target), steps, spacing).expect("a bridge");
        let target_values = Tensor::from_slice(gpu, &[target as f32], [1]);
        let states = self.share.len();
        let p = self.positions();
        let eps = |z: &Tensor, t: usize| believed.eps(&bridge, target as f32, z, t);
        let vectors = Tensor::from_slice(gpu, &self.vectors, [self.k, DIM]);
        let first = |z: &Tensor, codes: &Codes| {
            let n = z.dims::<3>()[0];
            let marginal = bridge.forward(1);
            let filled = |value: f64, dims: &[usize]| {
                Tensor::from_slice(gpu, &vec![value as f32; dims.iter().product()], dims)
            };
            let law = CodeLaw {
                z: &ops::affine(z, 1.0, -target as f32),
                codebook: &ops::affine(&vectors, 1.0, -target as f32),
                signal: &filled(marginal.signal, &[n]),
                precision: &filled(marginal.noise.powi(-2), &[n, DIM]),
                bias: &filled(0.0, &[p, self.k]),
                logits: None,
            };
            law.cross_entropy(codes)
        };
        let bound = Bound {
            bridge: &bridge,
            target: &target_values,
            eps: &eps,
            first: &first,
            seed: 3,
        };
        let z0 = self.means(gpu);
        let codes = Codes::from_slice(gpu, &self.states, [states, p]);
        let levels = bound.levels(&z0);
        let nats = bound.of(&z0, &codes, &levels, 400, 0);
        nats.iter()
            .zip(&self.share)
            .map(|(nats, share)| share * nats.total)
            .sum::<f64>()
            / p as f64
    }
}

#[test]
fn the_bound_of_an_exact_denoiser_nears_the_entropy() {
    let gpu = Gpu::open(GpuOptions::default())
        .expect("these tests need a GPU adapter; Mesa's lavapipe will do");
    for (name, law) in [("toy", Law::toy()), ("grid", Law::grid())] {
        let [few, many] = [60, 1000].map(|steps| law.bound(&gpu, steps));
        let entropy = law.entropy();
        println!(
            "{name}: entropy {entropy:.4}, bound in 60 steps {few:.4}, in 1000 {many:.4} nats a code"
        );
        assert!(
            (many - entropy).abs() < 0.015,
            "{name}: {many} beside {entropy}"
        );
        assert!(
            few > many + 0.002,
            "{name}: few steps cannot be as good: {few} and {many}"
        );
    }
}

#[test]
fn a_wrong_law_costs_its_divergence() {
    let gpu = Gpu::open(GpuOptions::default())
        .expect("these tests need a GPU adapter; Mesa's lavapipe will do");
    let law = Law::grid();
    let uniform = Law {
        share: vec![1.0 / law.share.len() as f64; law.share.len()],
        ..Law::grid()
    };
    // Under the uniform distribution, every state costs the same.
    let bound = law.bound_by(&gpu, &uniform, 1000);
    println!(
        "entropy {:.4}, bound {bound:.4} of a uniform denoiser, ln 3 = {:.4}",
        law.entropy(),
        3f64.ln()
    );
    assert!((bound - 3f64.ln()).abs() < 0.02, "{bound}");
}
