//! A prior that predicts codes: its distribution against Bayes' rule in f64, what it is told, and
//! what it learns. Needs a GPU adapter.

use dbvq_wgpu::bridge::{Spacing, Target};
use dbvq_wgpu::config::{GridConfig, LossWeight, Output};
use dbvq_wgpu::gpu::{Gpu, GpuOptions};
use dbvq_wgpu::models::diffusion::Diffusion;
use dbvq_wgpu::models::lesson::{Ask, Guidance, Lesson, Plan, Told};
use dbvq_wgpu::models::sampler::{Process, Sampler};
use dbvq_wgpu::nn::Module;
use dbvq_wgpu::nn::init::Init;
use dbvq_wgpu::nn::optim::{Group, GroupedAdam, Moments};
use dbvq_wgpu::ops;
use dbvq_wgpu::philox::Stream;
use dbvq_wgpu::tensor::{Codes, Shape, Tensor};

const DIM: usize = 3;
const CODES: usize = 5;
const GRID: usize = 4;
const CELLS: usize = GRID * GRID;
const STREAM: Stream = Stream {
    seed: 5,
    step: 0,
    stream: 0,
    first: 0,
};
/// z*, nonzero so that forgetting it shows.
const TARGET: f64 = 0.5;
const MOMENTS: [[f32; DIM]; 2] = [[0.1, -0.2, 0.3], [1.5, 0.8, 1.1]];

fn gpu() -> Gpu {
    Gpu::open(GpuOptions::default())
        .expect("these tests need a GPU adapter; Mesa's lavapipe will do")
}

/// A tiny prior, with v ≠ 1 too.
fn config() -> GridConfig {
    let mut config = GridConfig::default();
    config.vqvae.size = 4 * GRID;
    config.vqvae.dim = DIM;
    config.vqvae.codes = CODES;
    config.unet.base = 8;
    config.unet.multipliers = vec![1, 2];
    config.unet.blocks = 1;
    config.unet.position = true;
    config.unet.prediction = Output::Codes;
    config.stages.prior.loss = LossWeight::CrossEntropy;
    config.bridge.steps = 40;
    config.bridge.spacing = Spacing::Linear {
        beta_start: 1e-3,
        beta_end: 0.4,
    };
    config.bridge.target = Target::Scalar(TARGET);
    config.bridge.eta = 1.2;
    config
}

/// e_k as in a VQ-VAE, [k, d].
fn vectors() -> Vec<f32> {
    (0..(CODES * DIM) as u32)
        .map(|i| {
            (1.5 * Stream {
                stream: 7,
                ..STREAM
            }
            .normal(i)) as f32
        })
        .collect()
}

/// b, [p, k].
fn bias() -> Vec<f32> {
    (0..(CELLS * CODES) as u32)
        .map(|i| {
            Stream {
                stream: 8,
                ..STREAM
            }
            .normal(i) as f32
        })
        .collect()
}

/// A prior that knows vectors, moments, bias and `spread`.
fn prior(gpu: &Gpu, config: &GridConfig, spread: [f32; DIM]) -> Diffusion {
    let mut model = Diffusion::new(&mut Init::new(gpu, 1), config).expect("a valid configuration");
    model.moments = Some(MOMENTS.map(|values| Tensor::from_slice(gpu, &values, [DIM])));
    model.spread_by(&spread);
    model.speak(&Tensor::from_slice(gpu, &vectors(), [CODES, DIM]));
    model.head().expect("it predicts codes").start_at(&bias());
    model
}

/// e_k − z*, standardised.
fn centred_vectors() -> Vec<f64> {
    let standardised = |(at, &e): (usize, &f32)| {
        (f64::from(e) - f64::from(MOMENTS[0][at % DIM])) / f64::from(MOMENTS[1][at % DIM]) - TARGET
    };
    vectors().iter().enumerate().map(standardised).collect()
}

fn normal(gpu: &Gpu, shape: &[usize], stream: u32) -> Tensor {
    ops::normal(
        gpu,
        shape,
        Stream {
            seed: 9,
            step: 0,
            stream,
            first: 0,
        },
    )
}

fn close(a: &[f32], b: &[f64], bound: f64, what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let worst = a
        .iter()
        .zip(b)
        .map(|(a, b)| (f64::from(*a) - b).abs())
        .fold(0.0, f64::max);
    assert!(worst <= bound, "{what}: off by {worst}");
}

/// Random weights everywhere, so that nothing is multiplied by zero; the bias is kept.
fn shake(gpu: &Gpu, model: &mut Diffusion) {
    let mut at = 0;
    model.visit(&mut |path, tensor| {
        at += 1;
        if path != "codes.bias" {
            *tensor = ops::affine(&normal(gpu, tensor.shape().dims(), at), 0.3, 0.0).leaf();
        }
    });
}

/// An untrained network predicts nothing: the distribution is Bayes' rule with the bias as an
/// independent prior for each position.
#[test]
fn an_untrained_prior_is_bayes_rule() {
    let gpu = gpu();
    for spread in [[0.0; DIM], [0.3, 0.05, 0.8]] {
        let model = prior(&gpu, &config(), spread);
        let z = normal(&gpu, &[2, GRID, GRID, DIM], 1);
        let codes: Vec<u32> = (0..(2 * CELLS) as u32)
            .map(|i| STREAM.below(i, CODES as u32))
            .collect();
        let target = Codes::from_slice(&gpu, &codes, [2, GRID, GRID]);
        for t in [1, 7, 40] {
            let mut eps = Vec::new();
            let mut nats = Vec::new();
            for (at, z) in z.to_vec().chunks_exact(DIM).enumerate() {
                let (noise, law) = exact(&model, spread, z, at % CELLS, t);
                eps.extend(noise);
                nats.push(-law[codes[at] as usize]);
            }
            let found = model.law(&z, t, &Ask::default(), |law| {
                law.cross_entropy(&target).to_vec()
            });
            let scale = nats.iter().copied().fold(1.0, f64::max);
            close(
                &found.expect("it predicts codes"),
                &nats,
                1e-5 * scale,
                &format!("nats at t = {t}, spread {spread:?}"),
            );
            close(
                &model.eps(&z, t, None).to_vec(),
                &eps,
                2e-4,
                &format!("ε at t = {t}, spread {spread:?}"),
            );
        }
    }
}

/// ε of the posterior mean of z_0, and the log posterior of the codes, at position `at`.
fn exact(
    model: &Diffusion,
    spread: [f32; DIM],
    z: &[f32],
    at: usize,
    t: usize,
) -> (Vec<f64>, Vec<f64>) {
    let marginal = model.bridge.forward(t);
    let alpha_bar = model.bridge.alpha_bar(t);
    let variance = |c: usize| marginal.noise.powi(2) + alpha_bar * f64::from(spread[c]);
    let z: Vec<f64> = z.iter().map(|&z| f64::from(z) - TARGET).collect();
    let e = centred_vectors();
    let b = bias();
    let score = |k: usize| {
        let squares = (0..DIM)
            .map(|c| (z[c] - marginal.signal * e[DIM * k + c]).powi(2) / variance(c))
            .sum::<f64>();
        f64::from(b[CODES * at + k]) - 0.5 * squares
    };
    let scores: Vec<f64> = (0..CODES).map(score).collect();
    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|s| (s - top).exp()).sum();
    let law: Vec<f64> = scores.iter().map(|s| s - top - sum.ln()).collect();
    let eps = |c: usize| {
        let mean: f64 = (0..CODES).map(|k| law[k].exp() * e[DIM * k + c]).sum();
        let gain = marginal.signal * f64::from(spread[c]) / variance(c);
        let z0 = mean + gain * (z[c] - marginal.signal * mean);
        (z[c] - marginal.signal * z0) / marginal.noise
    };
    ((0..DIM).map(eps).collect(), law)
}

#[test]
fn sharpening_and_guidance_act_on_the_logits() {
    let gpu = gpu();
    let mut config = config();
    config.classes = 2;
    let mut model = prior(&gpu, &config, [0.0; DIM]);
    shake(&gpu, &mut model);
    let z = normal(&gpu, &[2, GRID, GRID, DIM], 1);
    let scores = |ask: &Ask| {
        model
            .law(&z, 9, ask, |law| law.scores().to_vec())
            .expect("it predicts codes")
    };
    let of = |guidance: Option<&Guidance>, sharpen: f32| {
        scores(&Ask {
            guidance,
            sharpen,
            told: None,
        })
    };
    let class = |scale: f32| Guidance {
        class: Codes::from_slice(&gpu, &[0, 1], [2]),
        scale,
    };
    let free = of(None, 1.0);
    let told = of(Some(&class(1.0)), 1.0);
    assert!(
        free.iter().zip(&told).any(|(a, b)| (a - b).abs() > 1e-2),
        "the class does nothing"
    );
    let mixed: Vec<f64> = free
        .iter()
        .zip(&told)
        .map(|(f, t)| f64::from(f + 3.0 * (t - f)))
        .collect();
    close(
        &of(Some(&class(3.0)), 1.0),
        &mixed,
        2e-3,
        "guidance of scale 3",
    );
    // A factor of 3 adds twice what a factor of 2 adds.
    let twice = of(None, 2.0);
    let thrice = of(None, 3.0);
    let line: Vec<f64> = free
        .iter()
        .zip(&twice)
        .map(|(f, t)| f64::from(f + 2.0 * (t - f)))
        .collect();
    close(&thrice, &line, 2e-3, "a factor of 3");
    assert!(
        free.iter().zip(&twice).any(|(a, b)| (a - b).abs() > 1e-2),
        "sharpening does nothing"
    );
}

fn mask(gpu: &Gpu, known: impl Fn(usize) -> bool) -> Tensor {
    let mask: Vec<f32> = (0..CELLS)
        .map(|at| if known(at) { 1.0 } else { 0.0 })
        .collect();
    Tensor::from_slice(gpu, &mask, [1, GRID, GRID, 1])
}

#[test]
fn what_is_known_replaces_the_noise() {
    let gpu = gpu();
    let mut config = config();
    config.prior.known_share = 0.5;
    let mut model = prior(&gpu, &config, [0.0; DIM]);
    shake(&gpu, &mut model);
    let [z, other, z0] = [1, 2, 3].map(|stream| normal(&gpu, &[1, GRID, GRID, DIM], stream));
    let known = |at: usize| at < 8;
    let told = Told {
        z0,
        mask: mask(&gpu, known),
    };
    let hidden = |z: &Tensor, told: Option<&Told>| {
        let eps = model
            .asked(
                z,
                20,
                &Ask {
                    told,
                    ..Ask::default()
                },
            )
            .to_vec();
        eps[8 * DIM..].to_vec()
    };
    // z, with different noise where z_0 is known.
    let mixed = Told {
        z0: other,
        mask: told.mask.clone(),
    }
    .put_into(&z);
    assert_eq!(
        hidden(&z, Some(&told)),
        hidden(&mixed, Some(&told)),
        "noise at known positions is seen"
    );
    assert_ne!(
        hidden(&z, None),
        hidden(&mixed, None),
        "noise elsewhere is seen without a mask"
    );
    assert_ne!(hidden(&z, Some(&told)), hidden(&z, None), "nothing is told");
}

/// Codes of images in which each row has one code and the next row the next one: k, k + 1, …
fn stripes(n: usize) -> Vec<u32> {
    let code = |at: usize| ((at / CELLS + at / GRID % GRID) % CODES) as u32;
    (0..n * CELLS).map(code).collect()
}

/// A prior trained on [`stripes`], with masks of random rows.
fn learnt(gpu: &Gpu) -> Diffusion {
    let n = 20;
    let mut config = config();
    config.prior.known_share = 0.5;
    let mut model = prior(gpu, &config, [0.0; DIM]);
    model
        .head()
        .expect("it predicts codes")
        .start_at(&[0.0; CELLS * CODES]);
    let options = Moments {
        beta1: 0.9,
        beta2: 0.99,
        eps: 1e-8,
        weight_decay: 0.0,
    };
    let adam = GroupedAdam::new(gpu, &mut model, options, |_| 0);
    let codes = Codes::from_slice(gpu, &stripes(n), [n, GRID, GRID]);
    let vectors = Tensor::from_slice(gpu, &vectors(), [CODES, DIM]);
    let z0 = model.standardise(&ops::gather(&vectors, &codes));
    for step in 0..250 {
        let stream = Stream { step, ..STREAM };
        let word = |i: usize| {
            Stream {
                stream: 3,
                ..stream
            }
            .uniform(i as u32)
        };
        let t: Vec<u32> = (0..n)
            .map(|i| {
                if word(i) < 0.4 {
                    40
                } else {
                    1 + stream.below(i as u32, 40)
                }
            })
            .collect();
        let known: Vec<f32> = (0..n * CELLS)
            .map(|at| {
                if word(at / CELLS) < 0.5 && word(n + at) < 0.5 {
                    1.0
                } else {
                    0.0
                }
            })
            .collect();
        let weight: Vec<f32> = known.iter().map(|known| 1.0 - known).collect();
        let told = [
            Tensor::from_slice(gpu, &known, [n, GRID, GRID, 1]),
            Tensor::from_slice(gpu, &weight, [n, CELLS]),
        ];
        let plan = Plan {
            t: Codes::from_slice(gpu, &t, [n]),
            told: Some(told),
        };
        let lesson = Lesson {
            z0: &z0,
            codes: Some(&codes),
            plan: &plan,
            class: None,
            stream,
        };
        let loss = model.loss(&lesson, true);
        adam.step(
            &loss.total.backward(),
            &[Group {
                lr: 1e-2,
                clip: 1.0,
            }],
            step + 1,
            0.9,
        );
    }
    model
}

/// Share of the codes that agree with the closest image of [`stripes`].
fn agreement(codes: &[u32]) -> f64 {
    let pictures = stripes(CODES);
    let best = |map: &[u32]| {
        let same = |picture: &[u32]| picture.iter().zip(map).filter(|(a, b)| a == b).count();
        pictures.chunks_exact(CELLS).map(same).max().unwrap_or(0)
    };
    codes.chunks_exact(CELLS).map(best).sum::<usize>() as f64 / codes.len() as f64
}

#[test]
fn a_prior_learns_a_law_samples_it_and_says_what_is_hidden() {
    let gpu = gpu();
    let model = learnt(&gpu);
    let vectors = Tensor::from_slice(&gpu, &vectors(), [CODES, DIM]);
    let codes_of = |z0: &Tensor| ops::nearest(&model.restore(z0), &vectors).to_vec();
    // Samples.
    let eps = |z: &Tensor, t: usize| model.eps(z, t, None);
    let variance = config().bridge.reverse_variance;
    let process = Process {
        gpu: &gpu,
        bridge: &model.bridge,
        variance,
        target: model.target(),
        eps: &eps,
    };
    let shape = Shape::from([32, GRID, GRID, DIM]);
    for (sampler, steps) in [(Sampler::Dpmpp2m, 10), (Sampler::Ancestral, 40)] {
        let z0 = process
            .sample(shape, sampler, steps, 3, &mut |_, _| {})
            .expect("the steps fit");
        let share = agreement(&codes_of(&z0));
        println!("{sampler:?}: {share:.3} of the codes agree");
        assert!(share > 0.9, "{sampler:?}: {share}");
    }
    // The distribution of what is hidden: rows 1 to 3 of image 2.
    let truth = Codes::from_slice(&gpu, &stripes(3)[2 * CELLS..], [1, GRID, GRID]);
    let z0 = gpu.no_grad(|| model.standardise(&ops::gather(&vectors, &truth)));
    let hole: Vec<bool> = (0..CELLS).map(|at| at >= GRID).collect();
    let told = Told {
        z0: z0.clone(),
        mask: mask(&gpu, |at| !hole[at]),
    };
    let noise = ops::add(
        &ops::affine(&normal(&gpu, &[1, GRID, GRID, DIM], 4), 0.85, 0.0),
        model.target(),
    );
    let ask = Ask {
        told: Some(&told),
        ..Ask::default()
    };
    let nats = model
        .law(&noise, 40, &ask, |law| law.cross_entropy(&truth).to_vec())
        .expect("it predicts codes");
    let worst = nats[GRID..].iter().copied().fold(0.0, f32::max);
    println!("hidden codes cost at most {worst:.3} nats");
    assert!(worst < 0.7, "{nats:?}");
    // Inpainting by the same network.
    let eps = |z: &Tensor, t: usize| model.asked(z, t, &ask);
    let process = Process {
        gpu: &gpu,
        bridge: &model.bridge,
        variance,
        target: model.target(),
        eps: &eps,
    };
    let z = process
        .sample(z0.shape(), Sampler::Dpmpp2m, 10, 3, &mut |_, _| {})
        .expect("the steps fit");
    let filled = codes_of(&told.put_into(&z));
    let right = filled
        .iter()
        .zip(truth.to_vec())
        .filter(|(a, b)| **a == *b)
        .count();
    assert!(
        right + 1 >= CELLS && filled[..GRID] == truth.to_vec()[..GRID],
        "{filled:?}"
    );
}

#[test]
fn squared_errors_of_the_estimate_can_be_minimised_too() {
    let gpu = gpu();
    let n = 64;
    let t = 20;
    let codes = Codes::from_slice(&gpu, &stripes(n), [n, GRID, GRID]);
    let vectors = Tensor::from_slice(&gpu, &vectors(), [CODES, DIM]);
    let mut config = config();
    let loss = |config: &GridConfig| {
        let model = prior(&gpu, config, [0.0; DIM]);
        let z0 = model.standardise(&ops::gather(&vectors, &codes));
        let plan = Plan::at(Codes::from_slice(&gpu, &vec![t as u32; n], [n]));
        let lesson = Lesson {
            z0: &z0,
            codes: Some(&codes),
            plan: &plan,
            class: None,
            stream: STREAM,
        };
        [model.loss(&lesson, true).total, model.eps_loss(&lesson)]
            .map(|loss| f64::from(loss.item()))
    };
    config.stages.prior.loss = LossWeight::Simple;
    let [simple, of_eps] = loss(&config);
    assert!(
        (simple / of_eps - 1.0).abs() < 1e-5,
        "simple is the error of ε: {simple}, {of_eps}"
    );
    config.stages.prior.loss = LossWeight::Weighted;
    let [weighted, _] = loss(&config);
    let weight = config
        .bridge
        .build()
        .expect("valid")
        .weight(t, config.bridge.reverse_variance);
    assert!(
        (weighted / (of_eps * weight) - 1.0).abs() < 1e-4,
        "{weighted}, not {}",
        of_eps * weight
    );
}
