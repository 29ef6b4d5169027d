//! Options of the image models: each does what it says, and a test fails if it does not. Needs a
//! GPU adapter.

use dbvq_wgpu::bridge::{ReverseVariance, Spacing, Target};
use dbvq_wgpu::config::{
    CodebookRule, Distance, GridConfig, GumbelConfig, LossWeight, Output, Quantiser, VqVaeConfig,
};
use dbvq_wgpu::gpu::{Gpu, GpuOptions};
use dbvq_wgpu::models::diffusion::Diffusion;
use dbvq_wgpu::models::first_stage::FirstStage;
use dbvq_wgpu::models::lesson::{Guidance, Lesson, Plan};
use dbvq_wgpu::models::sampler::{Process, Sampler};
use dbvq_wgpu::models::vqvae::VqVae;
use dbvq_wgpu::nn::Module;
use dbvq_wgpu::nn::codebook::unit;
use dbvq_wgpu::nn::init::Init;
use dbvq_wgpu::nn::optim::{Group, GroupedAdam, Moments};
use dbvq_wgpu::ops;
use dbvq_wgpu::philox::Stream;
use dbvq_wgpu::tensor::{Codes, Shape, Tensor};

const DIM: usize = 3;
const STREAM: Stream = Stream {
    seed: 5,
    step: 0,
    stream: 0,
    first: 0,
};

fn gpu() -> Gpu {
    Gpu::open(GpuOptions::default())
        .expect("these tests need a GPU adapter; Mesa's lavapipe will do")
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

/// A tiny prior, with z* ≠ 0 and v ≠ 1 so that forgetting either shows.
fn diffusion_config(prediction: Output, classes: usize) -> GridConfig {
    let mut config = GridConfig {
        classes,
        ..GridConfig::default()
    };
    config.vqvae.dim = DIM;
    config.unet.base = 8;
    config.unet.multipliers = vec![1, 2];
    config.unet.blocks = 1;
    config.unet.prediction = prediction;
    config.bridge.steps = 40;
    config.bridge.spacing = Spacing::Linear {
        beta_start: 1e-4,
        beta_end: 0.4,
    };
    config.bridge.target = Target::Scalar(0.5);
    config.bridge.eta = 1.2;
    config
}

fn diffusion(gpu: &Gpu, config: &GridConfig) -> Diffusion {
    Diffusion::new(&mut Init::new(gpu, 1), config).expect("a valid configuration")
}

fn levels(gpu: &Gpu, t: usize, n: usize) -> Codes {
    Codes::from_slice(gpu, &vec![t as u32; n], [n])
}

fn loss(model: &Diffusion, z0: &Tensor, t: Codes, class: Option<&Codes>, stream: Stream) -> Tensor {
    model
        .loss(
            &Lesson {
                z0,
                codes: None,
                plan: &Plan::at(t),
                class,
                stream,
            },
            true,
        )
        .total
}

fn close(a: &[f32], b: &[f32], bound: f32, what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let worst = a
        .iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(worst <= bound, "{what}: off by {worst}");
}

/// For data N(m, v) with m − z* = V / velocity(t).z0, the exact velocity is constant at level t. A
/// network that outputs that constant must give the exact posterior mean of the noise as ε.
#[test]
fn v_prediction_becomes_the_exact_noise_of_a_gaussian() {
    let gpu = gpu();
    let config = diffusion_config(Output::Velocity, 0);
    let mut model = diffusion(&gpu, &config);
    let output = [0.7, 0.0, -0.4];
    model.visit(&mut |path, tensor| {
        if path == "conv_out.bias" {
            *tensor = Tensor::from_slice(&gpu, &output, [DIM]);
        }
    });
    let z = normal(&gpu, &[2, 4, 4, DIM], 1);
    for t in [1, 7, 40] {
        let bridge = &model.bridge;
        let v = model.bridge.stationary_variance();
        let marginal = bridge.forward(t);
        let shift = bridge.velocity(t).z0;
        let exact: Vec<f32> = z
            .to_vec()
            .iter()
            .enumerate()
            .map(|(i, &z)| {
                let mean = f64::from(output[i % DIM]) / shift;
                (marginal.noise * (f64::from(z) - 0.5 - marginal.signal * mean) / v) as f32
            })
            .collect();
        close(
            &model.eps(&z, t, None).to_vec(),
            &exact,
            2e-6,
            "ε at a level",
        );
    }
}

#[test]
fn samplers_take_v_prediction() {
    let gpu = gpu();
    let config = diffusion_config(Output::Velocity, 0);
    // Untrained, its output is 0: the exact V of data N(z*, v), which the samplers must then
    // return.
    let model = diffusion(&gpu, &config);
    let v = model.bridge.stationary_variance();
    let eps = |z: &Tensor, t: usize| model.eps(z, t, None);
    // The forward variance is the exact one for these data.
    let bridge = &model.bridge;
    let variance = ReverseVariance::Forward;
    let process = Process {
        gpu: &gpu,
        bridge,
        variance,
        target: model.target(),
        eps: &eps,
    };
    for (sampler, steps) in [(Sampler::Ancestral, 40), (Sampler::Dpmpp2m, 10)] {
        let shape = Shape::from([64, 4, 4, DIM]);
        let z0 = process
            .sample(shape, sampler, steps, 3, &mut |_, _| {})
            .expect("it fits")
            .to_vec();
        let n = z0.len() as f64;
        let mean = z0.iter().map(|&z| f64::from(z)).sum::<f64>() / n;
        let spread = z0
            .iter()
            .map(|&z| (f64::from(z) - mean).powi(2))
            .sum::<f64>()
            / n;
        assert!(
            (mean - 0.5).abs() < 0.07 && (spread / v - 1.0).abs() < 0.15,
            "{sampler:?}: {mean} {spread} of {v}"
        );
    }
}

#[test]
fn v_prediction_is_trained_on_v() {
    let gpu = gpu();
    let n = 64;
    let t = 20;
    let far = 3.0;
    let z0 = ops::affine(&Tensor::zeros(&gpu, [n, 4, 4, DIM]), 0.0, 0.5 + far);
    let mut config = diffusion_config(Output::Velocity, 0);
    let model = diffusion(&gpu, &config);
    let alpha_bar = model.bridge.alpha_bar(t);
    let v = model.bridge.stationary_variance();
    // Its output is 0, so this is E V².
    let expected = alpha_bar + (1.0 - alpha_bar) * f64::from(far).powi(2) / v;
    let plain = f64::from(loss(&model, &z0, levels(&gpu, t, n), None, STREAM).item());
    assert!(
        (plain / expected - 1.0).abs() < 0.03,
        "{plain}, not {expected}"
    );
    // ε − ε_θ is √ᾱ times the error of V.
    config.stages.prior.loss = LossWeight::Weighted;
    let model = diffusion(&gpu, &config);
    let weighted = f64::from(loss(&model, &z0, levels(&gpu, t, n), None, STREAM).item());
    let factor = model.bridge.weight(t, config.bridge.reverse_variance) * alpha_bar;
    assert!(
        (weighted / (plain * factor) - 1.0).abs() < 1e-4,
        "{weighted}, not {}",
        plain * factor
    );
    let first = loss(&model, &z0, levels(&gpu, 1, n), None, STREAM).item();
    assert!(first.is_finite(), "the weight of t = 1: {first}");
}

/// Random weights everywhere, so that nothing is multiplied by zero.
fn shake(gpu: &Gpu, model: &mut dyn Module) {
    let mut at = 0;
    model.visit(&mut |_, tensor| {
        at += 1;
        *tensor = ops::affine(&normal(gpu, tensor.shape().dims(), at), 0.3, 0.0).leaf();
    });
}

#[test]
fn guidance_mixes_the_noise_of_the_class_and_of_no_class() {
    let gpu = gpu();
    let mut model = diffusion(&gpu, &diffusion_config(Output::Noise, 2));
    shake(&gpu, &mut model);
    let z = normal(&gpu, &[2, 4, 4, DIM], 1);
    let eps = |class: [u32; 2], scale: f32| {
        model
            .eps(
                &z,
                9,
                Some(&Guidance {
                    class: Codes::from_slice(&gpu, &class, [2]),
                    scale,
                }),
            )
            .to_vec()
    };
    let free = model.eps(&z, 9, None).to_vec();
    let told = eps([0, 1], 1.0);
    let furthest = free
        .iter()
        .zip(&told)
        .map(|(f, t)| (f - t).abs())
        .fold(0.0, f32::max);
    assert!(furthest > 1e-2, "the class does nothing: {furthest}");
    close(
        &eps([2, 2], 1.0),
        &free,
        0.0,
        "the number of classes stands for none",
    );
    close(&eps([0, 1], 0.0), &free, 0.0, "scale 0");
    let mixed: Vec<f32> = free
        .iter()
        .zip(&told)
        .map(|(f, t)| f + 3.0 * (t - f))
        .collect();
    close(&eps([0, 1], 3.0), &mixed, 2e-4, "scale 3");
    // Each sample follows its own class.
    let other = eps([0, 0], 1.0);
    let half = told.len() / 2;
    assert!(
        other[..half] == told[..half] && other[half..] != told[half..],
        "classes of other samples"
    );
}

#[test]
fn a_conditional_prior_learns_what_its_classes_are() {
    let gpu = gpu();
    let n = 16;
    let mut model = diffusion(&gpu, &diffusion_config(Output::Velocity, 2));
    let options = Moments {
        beta1: 0.9,
        beta2: 0.99,
        eps: 1e-8,
        weight_decay: 0.0,
    };
    let adam = GroupedAdam::new(&gpu, &mut model, options, |_| 0);
    // Class 0 lies below z*, class 1 above; a third of the labels is dropped.
    let class: Vec<u32> = (0..n as u32).map(|i| i % 2).collect();
    let z0: Vec<f32> = class
        .iter()
        .flat_map(|&c| vec![if c == 0 { -0.7 } else { 1.7 }; 16 * DIM])
        .collect();
    let z0 = Tensor::from_slice(&gpu, &z0, [n, 4, 4, DIM]);
    for step in 0..160 {
        let stream = Stream { step, ..STREAM };
        let told: Vec<u32> = class
            .iter()
            .enumerate()
            .map(|(i, &c)| if i % 3 == 0 { 2 } else { c })
            .collect();
        let t: Vec<u32> = (0..n as u32).map(|i| 1 + stream.below(i, 40)).collect();
        let codes = |values: &[u32]| Codes::from_slice(&gpu, values, [n]);
        let loss = loss(&model, &z0, codes(&t), Some(&codes(&told)), stream);
        adam.step(
            &loss.backward(),
            &[Group {
                lr: 1e-2,
                clip: 1.0,
            }],
            step + 1,
            0.9,
        );
    }
    let bridge = &model.bridge;
    let variance = ReverseVariance::Bridge;
    let mean = |class: u32| {
        let guidance = Guidance {
            class: Codes::from_slice(&gpu, &[class; 8], [8]),
            scale: 1.0,
        };
        let eps = |z: &Tensor, t: usize| model.eps(z, t, Some(&guidance));
        let process = Process {
            gpu: &gpu,
            bridge,
            variance,
            target: model.target(),
            eps: &eps,
        };
        let z0 = process.sample(
            Shape::from([8, 4, 4, DIM]),
            Sampler::Dpmpp2m,
            10,
            3,
            &mut |_, _| {},
        );
        let z0 = z0.expect("it fits").to_vec();
        z0.iter().sum::<f32>() / z0.len() as f32
    };
    let low = mean(0);
    let high = mean(1);
    assert!(
        low < 0.0 && high > 1.0,
        "samples of the classes lie at {low} and {high}"
    );
}

fn vqvae_config() -> VqVaeConfig {
    VqVaeConfig {
        size: 12,
        channels: 8,
        inner: 4,
        dim: 4,
        codes: 8,
        ..VqVaeConfig::default()
    }
}

/// A model whose codebook is placed on the latents of its images.
fn vqvae(gpu: &Gpu, config: &VqVaeConfig) -> (VqVae, Tensor) {
    let model = VqVae::new(&mut Init::new(gpu, 1), config);
    // Images of one colour each, with a little noise.
    let colours = ops::affine(&normal(gpu, &[8, 1, 1, 3], 1), 0.5, 0.0);
    let noise = ops::affine(&normal(gpu, &[8, 12, 12, 3], 2), 0.05, 0.0);
    let images = ops::add(&noise, &colours);
    model.codebook.place(&model.encode(&images), STREAM);
    (model, images)
}

fn length(row: &[f32]) -> f32 {
    row.iter().map(|v| v * v).sum::<f32>().sqrt()
}

#[test]
fn unit_rows_have_norm_1_and_the_gradient_of_it() {
    let gpu = gpu();
    let x = ops::affine(&normal(&gpu, &[5, 4], 1), 20.0, 0.0).leaf();
    let weight = normal(&gpu, &[5, 4], 2);
    let y = unit(&x);
    let grads = ops::sum_all(&ops::mul(&y, &weight)).backward();
    let x_rows = x.to_vec();
    let y = y.to_vec();
    let weight = weight.to_vec();
    let exact: Vec<f32> = (0..20)
        .map(|i| {
            let row = i / 4 * 4..i / 4 * 4 + 4;
            let along: f32 = y[row.clone()]
                .iter()
                .zip(&weight[row.clone()])
                .map(|(y, w)| y * w)
                .sum();
            (weight[i] - y[i] * along) / length(&x_rows[row])
        })
        .collect();
    let scaled: Vec<f32> = (0..20)
        .map(|i| x_rows[i] / length(&x_rows[i / 4 * 4..i / 4 * 4 + 4]))
        .collect();
    close(&y, &scaled, 2e-6, "values");
    close(
        &grads.get(&x).expect("a gradient").to_vec(),
        &exact,
        2e-6,
        "gradient",
    );
    assert_eq!(unit(&Tensor::zeros(&gpu, [1, 4])).to_vec(), [0.0; 4]);
}

#[test]
fn cosine_distance_compares_angles_and_decodes_unit_vectors() {
    let gpu = gpu();
    let (model, images) = vqvae(
        &gpu,
        &VqVaeConfig {
            distance: Distance::Cosine,
            ..vqvae_config()
        },
    );
    let latents = model.encode(&images);
    assert!(
        latents
            .to_vec()
            .chunks(4)
            .all(|row| (length(row) - 1.0).abs() < 1e-5),
        "latents lie on the sphere"
    );
    // A long vector at a wide angle and a short one at a narrow angle: the closer vector loses.
    let mut vectors = [-1.0, 0.0, 0.0, 0.0].repeat(8);
    vectors[..8].copy_from_slice(&[0.9, 0.9, 0.0, 0.0, 40.0, 4.0, 0.0, 0.0]);
    model.codebook.write(&vectors, &[1.0; 8], &vectors);
    let latent = |scale: f32| Tensor::from_slice(&gpu, &[scale, 0.0, 0.0, 0.0], [1, 4]);
    for scale in [0.01, 1.0, 30.0] {
        assert_eq!(
            model.quantise(&latent(scale)).to_vec(),
            [1],
            "a latent of norm {scale}"
        );
    }
    let (euclidean, _) = vqvae(&gpu, &vqvae_config());
    euclidean.codebook.write(&vectors, &[1.0; 8], &vectors);
    assert_eq!(euclidean.quantise(&latent(1.0)).to_vec(), [0]);
    let code = Codes::from_slice(&gpu, &[1], [1]);
    close(
        &model.look_up(&code).to_vec(),
        &[0.995_037, 0.099_504, 0.0, 0.0],
        1e-5,
        "what the decoder sees",
    );
    // A running mean of two directions is shorter than 1, but latents are compared with a unit
    // vector.
    model.codebook.place(&latents, STREAM);
    model
        .codebook
        .follow(&latents, &model.quantise(&latents), 0.5);
    let stored = model.codebook.vectors.to_vec();
    assert!(
        stored.chunks(4).any(|row| length(row) < 0.999),
        "means of several latents lie inside the sphere"
    );
    assert!(
        model
            .vectors()
            .to_vec()
            .chunks(4)
            .all(|row| (length(row) - 1.0).abs() < 1e-5)
    );
}

#[test]
fn relaxed_samples_harden_as_they_are_annealed_and_train_the_codebook() {
    let gpu = gpu();
    let gumbel = GumbelConfig {
        scale: 1e5,
        tau_start: 1e13,
        tau_end: 1e-3,
        anneal_steps: 50,
    };
    let gradient = VqVaeConfig {
        codebook: CodebookRule::Gradient,
        commitment: 0.0,
        ..vqvae_config()
    };
    let config = VqVaeConfig {
        quantiser: Quantiser::Gumbel,
        gumbel,
        ..gradient
    };
    let (mut model, images) = vqvae(&gpu, &config);
    shake(&gpu, &mut model);
    model.codebook.place(&model.encode(&images), STREAM);
    let reconstruction = |model: &VqVae, step: u32| {
        model.step(&images, Stream { step, ..STREAM }).losses.parts[0]
            .1
            .item()
    };
    let error = |quantised: &Tensor| ops::mse(&model.decode(quantised), &images).item();
    // The hottest mixture is the mean of all code vectors, the coldest the nearest one.
    let mean = ops::mean(&model.codebook.vectors, 0).to_vec();
    let soft = error(&Tensor::from_slice(&gpu, &mean.repeat(8 * 9), [8, 3, 3, 4]));
    let hard = error(&model.look_up(&model.quantise(&model.encode(&images))));
    assert!(
        (soft - hard).abs() > 1e-3,
        "the test has something to tell apart: {soft} {hard}"
    );
    assert!(
        (reconstruction(&model, 0) - soft).abs() < 1e-4 * soft,
        "{} at the start, not {soft}",
        reconstruction(&model, 0)
    );
    assert!(
        (reconstruction(&model, 50) - hard).abs() < 1e-4 * hard,
        "{} at the end, not {hard}",
        reconstruction(&model, 50)
    );
    // Only the reconstruction loss moves code vectors.
    let grads = model.step(&images, STREAM).losses.total.backward();
    let grad = grads
        .get(&model.codebook.vectors)
        .expect("a gradient of the code vectors")
        .to_vec();
    assert!(grad.iter().any(|&g| g != 0.0) && grad.iter().all(|g| g.is_finite()));
}

#[test]
fn relaxed_samples_are_random_by_the_step() {
    let gpu = gpu();
    let quantiser = Quantiser::Gumbel;
    let (model, images) = vqvae(
        &gpu,
        &VqVaeConfig {
            quantiser,
            codebook: CodebookRule::Gradient,
            ..vqvae_config()
        },
    );
    let loss = |step: u32| {
        model.step(&images, Stream { step, ..STREAM }).losses.parts[0]
            .1
            .item()
    };
    assert_eq!(loss(2000), loss(2000));
    assert_ne!(
        loss(2000),
        loss(2001),
        "the temperature is the same: the noise must differ"
    );
}

/// Every way to quantise trains: reconstructions from nearest codes improve, and the code vectors
/// move.
#[test]
fn every_quantiser_and_codebook_rule_trains() {
    let gpu = gpu();
    let cosine = VqVaeConfig {
        distance: Distance::Cosine,
        ..vqvae_config()
    };
    let gradient = VqVaeConfig {
        codebook: CodebookRule::Gradient,
        ..vqvae_config()
    };
    for (name, config) in [
        ("ema", vqvae_config()),
        ("gradient", gradient.clone()),
        (
            "normaliser",
            VqVaeConfig {
                normaliser: 0.05,
                ..gradient.clone()
            },
        ),
        (
            "gumbel",
            VqVaeConfig {
                quantiser: Quantiser::Gumbel,
                ..gradient
            },
        ),
        ("cosine, ema", cosine.clone()),
        (
            "cosine, gradient",
            VqVaeConfig {
                codebook: CodebookRule::Gradient,
                ..cosine
            },
        ),
    ] {
        let (mut model, images) = vqvae(&gpu, &config);
        let error = |model: &VqVae| {
            let quantised = model.look_up(&model.quantise(&model.encode(&images)));
            ops::mse(&model.decode(&quantised), &images).item()
        };
        let options = Moments {
            beta1: 0.9,
            beta2: 0.99,
            eps: 1e-8,
            weight_decay: 0.0,
        };
        let adam = GroupedAdam::new(&gpu, &mut model, options, |_| 0);
        let before = error(&model);
        let vectors = model.vectors().to_vec();
        for step in 0..40 {
            let result = model.step(&images, Stream { step, ..STREAM });
            adam.step(
                &result.losses.total.backward(),
                &[Group {
                    lr: 1e-2,
                    clip: 1.0,
                }],
                step + 1,
                0.9,
            );
            if config.codebook == CodebookRule::Ema {
                model.codebook.follow(&result.latents, &result.codes, 0.9);
            }
        }
        let after = error(&model);
        assert!(
            after < 0.8 * before,
            "{name}: {before} before, {after} after"
        );
        let moved = model
            .vectors()
            .to_vec()
            .iter()
            .zip(&vectors)
            .filter(|(a, b)| (*a - *b).abs() > 1e-2)
            .count();
        assert!(
            moved > 8,
            "{name}: {moved} of 32 numbers of the code vectors have moved"
        );
    }
}

/// The normaliser is log Σ_k exp(−‖z_e − e_k‖²), scaled by its weight.
#[test]
fn the_normaliser_is_the_partition_of_the_codes() {
    let gpu = gpu();
    let (model, images) = vqvae(
        &gpu,
        &VqVaeConfig {
            normaliser: 0.5,
            ..vqvae_config()
        },
    );
    let losses = model.step(&images, STREAM).losses;
    let latents = model.encode(&images).to_vec();
    let vectors = model.vectors().to_vec();
    let squared = |z: &[f32], e: &[f32]| {
        z.iter()
            .zip(e)
            .map(|(z, e)| f64::from(z - e).powi(2))
            .sum::<f64>()
    };
    let partition = |z: &[f32]| {
        vectors
            .chunks(4)
            .map(|e| (-squared(z, e)).exp())
            .sum::<f64>()
            .ln()
    };
    let exact = latents.chunks(4).map(partition).sum::<f64>() / (latents.len() / 4) as f64;
    let [reconstruction, commitment, normaliser] = [0, 1, 2].map(|i| losses.parts[i].1.item());
    assert!(
        (f64::from(normaliser) - exact).abs() < 1e-5,
        "{normaliser}, not {exact}"
    );
    let total = reconstruction + 0.25 * commitment + 0.5 * normaliser;
    assert!(
        (losses.total.item() - total).abs() < 1e-5,
        "{} is not {total}",
        losses.total.item()
    );
}
