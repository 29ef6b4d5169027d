//! The image models: what a position sees, sizes that cannot be halved, and parameter counts of the
//! paper's sizes. Needs a GPU adapter.

use dbvq_wgpu::config::{PixelCnnConfig, UNetConfig, VqVaeConfig};
use dbvq_wgpu::gpu::{Gpu, GpuOptions};
use dbvq_wgpu::models::denoiser::Denoiser;
use dbvq_wgpu::models::first_stage::FirstStage;
use dbvq_wgpu::models::pixelcnn::PixelCnn;
use dbvq_wgpu::models::unet::{Ports, UNet};
use dbvq_wgpu::models::vqvae::VqVae;
use dbvq_wgpu::nn::Module;
use dbvq_wgpu::nn::codebook::Codebook;
use dbvq_wgpu::nn::init::Init;
use dbvq_wgpu::ops;
use dbvq_wgpu::philox::Stream;
use dbvq_wgpu::tensor::{Codes, Tensor};

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

#[test]
fn a_position_of_the_pixelcnn_sees_all_codes_before_it_and_none_after() {
    let gpu = gpu();
    let side = 5;
    let k = 6;
    let config = PixelCnnConfig {
        layers: 6,
        channels: 8,
        head: 8,
        first_kernel: 5,
        kernel: 3,
    };
    let model = PixelCnn::new(&mut Init::new(&gpu, 1), &config, k, 2, 0);
    let logits = |codes: &[u32]| {
        let class = Codes::from_slice(&gpu, &[0], [1]);
        model
            .forward(&Codes::from_slice(&gpu, codes, [1, side, side]), &class)
            .to_vec()
    };
    let codes: Vec<u32> = (0..side * side).map(|i| (i * 7 % k) as u32).collect();
    let before = logits(&codes);
    for changed in 0..side * side {
        let mut other = codes.clone();
        other[changed] = (other[changed] + 1) % k as u32;
        let after = logits(&other);
        let same = |at: usize| before[at * k..][..k] == after[at * k..][..k];
        assert!(
            (0..=changed).all(same),
            "code {changed} is seen at or before its own position"
        );
        // The last position sees the most: there is no blind spot between the stacks.
        let last = side * side - 1;
        assert!(
            changed == last || !same(last),
            "code {changed} is not seen at the end"
        );
    }
}

#[test]
fn the_unet_keeps_sizes_that_do_not_halve_and_starts_as_zero() {
    let gpu = gpu();
    let config = UNetConfig {
        base: 8,
        multipliers: vec![1, 2, 2],
        blocks: 1,
        heads: 2,
        attention: vec![1],
        dropout: 0.1,
        ..UNetConfig::default()
    };
    let mut model = UNet::new(&mut Init::new(&gpu, 1), &config, Ports::same(3), 10, 2);
    let [t, class] = [[3, 10], [1, 2]].map(|values| Codes::from_slice(&gpu, &values, [2]));
    for side in [21, 8, 5] {
        let z = normal(&gpu, &[2, side, side, 3], side as u32);
        let y = model.forward(&z, &t, None, None);
        assert_eq!(y.shape(), z.shape());
        assert!(
            y.to_vec().iter().all(|&v| v == 0.0),
            "the last convolution starts as zero"
        );
    }
    // With a nonzero last layer, every parameter gets a gradient.
    model.visit(&mut |_, tensor| {
        *tensor = normal(&gpu, tensor.shape().dims(), tensor.count() as u32).leaf()
    });
    let loss = ops::mean_all(&ops::square(&model.forward(
        &normal(&gpu, &[2, 5, 5, 3], 0),
        &t,
        Some(&class),
        Some(Stream {
            seed: 1,
            step: 1,
            stream: 0,
            first: 0,
        }),
    )));
    let grads = loss.backward();
    model.visit(&mut |path, tensor| {
        let grad = grads
            .get(tensor)
            .unwrap_or_else(|| panic!("{path} gets no gradient"))
            .to_vec();
        assert!(
            grad.iter().all(|g| g.is_finite()) && grad.iter().any(|&g| g != 0.0),
            "{path}: {:?}",
            &grad[..1]
        );
    });
}

#[test]
fn the_papers_sizes_have_the_papers_parameters() {
    let gpu = gpu();
    // "57 M" in the paper; 54.8 to 56.5 M for the sizes it gives.
    for (dim, least, most) in [(128, 54_800_000, 56_500_000), (32, 54_800_000, 56_500_000)] {
        let count = UNet::new(
            &mut Init::blank(&gpu),
            &UNetConfig::default(),
            Ports::same(dim),
            1000,
            0,
        )
        .parameters();
        assert!(
            (least..=most).contains(&count),
            "U-Net of {dim} channels: {count}"
        );
    }
    // "95.8 M" in the paper.
    let count = PixelCnn::new(
        &mut Init::blank(&gpu),
        &PixelCnnConfig::default(),
        256,
        2,
        0,
    )
    .parameters();
    assert_eq!(count, 95_752_448, "PixelCNN");
}

#[test]
fn the_autoencoder_quarters_images_and_its_decoder_mirrors_it() {
    let gpu = gpu();
    let config = VqVaeConfig {
        size: 12,
        channels: 8,
        inner: 4,
        dim: 5,
        codes: 7,
        ..VqVaeConfig::default()
    };
    let model = VqVae::new(&mut Init::new(&gpu, 1), &config);
    let images = ops::tanh(&normal(&gpu, &[3, 12, 12, 3], 1));
    let latents = model.encode(&images);
    assert_eq!(latents.dims(), [3, 3, 3, 5]);
    model.codebook.place(
        &latents,
        Stream {
            seed: 1,
            step: 0,
            stream: 2,
            first: 0,
        },
    );
    let codes = model.quantise(&latents);
    assert_eq!(model.decode(&model.look_up(&codes)).dims(), [3, 12, 12, 3]);
    // Every code vector is one of the latents that it was initialised from.
    let rows = latents.to_vec();
    let vectors = model.codebook.vectors.to_vec();
    assert!(
        vectors
            .chunks(5)
            .all(|v| rows.chunks(5).any(|row| row == v))
    );
}

#[test]
fn codes_that_nothing_falls_to_are_revived_and_the_others_stay() {
    let gpu = gpu();
    let book = Codebook::new(&gpu, [3, 2]);
    book.write(
        &[0.0, 0.0, 9.0, 9.0, 1.0, 1.0],
        &[20.0, 0.1, 20.0],
        &[0.0, 0.0, 0.9, 0.9, 20.0, 20.0],
    );
    let latents = Tensor::from_slice(&gpu, &[0.5, 0.25], [1, 2]);
    assert_eq!(
        book.revive(
            &latents,
            Stream {
                seed: 1,
                step: 0,
                stream: 0,
                first: 0
            }
        ),
        1
    );
    assert_eq!(book.vectors.to_vec(), [0.0, 0.0, 0.5, 0.25, 1.0, 1.0]);
    assert_eq!(book.counts.to_vec(), [20.0, 1.0, 20.0]);
    assert_eq!(
        book.revive(
            &latents,
            Stream {
                seed: 1,
                step: 1,
                stream: 0,
                first: 0
            }
        ),
        0
    );
}
