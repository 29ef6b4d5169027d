//! Sampling from the PixelCNN: cached activations change nothing, given codes are kept, and the
//! distribution is that of the logits. Needs a GPU adapter.

use dbvq_wgpu::config::PixelCnnConfig;
use dbvq_wgpu::gpu::{Gpu, GpuOptions};
use dbvq_wgpu::models::pixelcnn::PixelCnn;
use dbvq_wgpu::models::pixelcnn::raster::{Algorithm, Given, Raster};
use dbvq_wgpu::nn::init::Init;
use dbvq_wgpu::ops;
use dbvq_wgpu::tensor::Codes;

fn gpu() -> Gpu {
    Gpu::open(GpuOptions::default())
        .expect("these tests need a GPU adapter; Mesa's lavapipe will do")
}

const CODES: usize = 7;

/// A network with random weights for three classes.
fn model(gpu: &Gpu, layers: usize, channels: usize, kernels: [usize; 2]) -> PixelCnn {
    let [first_kernel, kernel] = kernels;
    let config = PixelCnnConfig {
        layers,
        channels,
        head: 8,
        first_kernel,
        kernel,
    };
    PixelCnn::new(&mut Init::new(gpu, 3), &config, CODES, 2, 3)
}

#[test]
fn kept_activations_give_the_same_codes() {
    let gpu = gpu();
    for (layers, channels, kernels, size) in [
        (4, 8, [5, 3], [5, 4]),
        (3, 6, [3, 1], [3, 6]),
        (3, 8, [7, 5], [6, 6]),
        (1, 4, [3, 3], [2, 5]),
    ] {
        let model = model(&gpu, layers, channels, kernels);
        let cells = size[0] * size[1];
        let draw = |n: usize, way: Algorithm, known: &[bool], seed: u64| {
            let codes: Vec<u32> = (0..n * cells).map(|i| (i * 5 % CODES) as u32).collect();
            let class = Codes::from_slice(&gpu, &[0, 1, 2][..n], [n]);
            let given = known.contains(&true).then_some(Given {
                codes: &codes,
                known,
            });
            let mut seen = 0;
            let drawn = model.sample(
                &Raster {
                    size,
                    class: &class,
                    given,
                    seed,
                    way,
                },
                &mut |at| {
                    assert_eq!(at, seen, "positions come in order");
                    seen += 1;
                },
            );
            assert_eq!((drawn.len(), seen), (n * cells, cells));
            for i in (0..n * cells).filter(|i| known[i % cells]) {
                assert_eq!(drawn[i], codes[i], "what is given stays");
            }
            drawn
        };
        let nothing = vec![false; cells];
        for known in [
            nothing.clone(),
            (0..cells).map(|at| at % 3 == 1).collect(),
            (0..cells).map(|at| at < 2).collect(),
        ] {
            let cached = draw(3, Algorithm::Cached, &known, 5);
            assert_eq!(
                cached,
                draw(3, Algorithm::Naive, &known, 5),
                "{kernels:?} on {size:?}, {channels} channels"
            );
            assert_eq!(
                cached[..2 * cells],
                draw(2, Algorithm::Cached, &known, 5),
                "the first ones do not depend on the number"
            );
        }
        assert_ne!(
            draw(3, Algorithm::Cached, &nothing, 5),
            draw(3, Algorithm::Cached, &nothing, 6)
        );
    }
}

#[test]
fn codes_follow_the_logits() {
    let gpu = gpu();
    let n = 4000;
    let model = model(&gpu, 2, 8, [3, 3]);
    let class = Codes::from_slice(&gpu, &vec![1; n], [n]);
    let raster = Raster {
        size: [2, 2],
        class: &class,
        given: None,
        seed: 2,
        way: Algorithm::Cached,
    };
    let drawn = model.sample(&raster, &mut |_| {});
    // The first position sees nothing, so all samples share its distribution.
    let blank = Codes::from_slice(&gpu, &[0; 4], [1, 2, 2]);
    let logits = model
        .forward(&blank, &Codes::from_slice(&gpu, &[1], [1]))
        .reshape([4, CODES]);
    let law = ops::softmax(&logits, 1.0).to_vec()[..CODES].to_vec();
    for (code, &p) in (0..).zip(&law) {
        let hits = drawn.iter().step_by(4).filter(|&&c| c == code).count() as f64;
        let p = f64::from(p);
        let sigma = (n as f64 * p * (1.0 - p)).sqrt();
        assert!(
            (hits - n as f64 * p).abs() < 4.5 * sigma,
            "code {code}: {hits} of {n}, p = {p}"
        );
    }
}
