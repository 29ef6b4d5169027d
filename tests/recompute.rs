//! Parts of a network that the backward pass recomputes: the same gradients with less memory. Needs
//! a GPU adapter.

use dbvq_wgpu::config::{Activations, PixelCnnConfig, UNetConfig};
use dbvq_wgpu::gpu::{Gpu, GpuOptions};
use dbvq_wgpu::models::denoiser::Denoiser;
use dbvq_wgpu::models::pixelcnn::PixelCnn;
use dbvq_wgpu::models::unet::{Ports, UNet};
use dbvq_wgpu::nn::Module;
use dbvq_wgpu::nn::init::Init;
use dbvq_wgpu::nn::layers::Conv2d;
use dbvq_wgpu::ops::{self, Half, Kept};
use dbvq_wgpu::philox::Stream;
use dbvq_wgpu::tensor::{Codes, Tensor};

/// Three blocks; each takes the block before it and the first one.
const BLOCKS: usize = 3;

#[derive(Clone, Copy, PartialEq)]
enum Keep {
    All,
    Inputs,
    InputsAsHalf,
}

/// Loss, gradients of all weights, and the GPU memory used.
fn trained(keep: Keep) -> (f32, Vec<Vec<f32>>, u64) {
    let gpu = Gpu::open(GpuOptions::default())
        .expect("an adapter; `cargo xtask test` installs a software one");
    let mut init = Init::new(&gpu, 1);
    let mut convs: Vec<Conv2d> = (0..=BLOCKS)
        .map(|_| Conv2d::same(&mut init, [16, 16], [3, 3]))
        .collect();
    for conv in &mut convs {
        conv.visit(&mut |_, tensor| *tensor = tensor.leaf());
    }
    let x = ops::normal(
        &gpu,
        [2, 24, 24, 16],
        Stream {
            seed: 1,
            step: 0,
            stream: 1,
            first: 0,
        },
    );
    let first = convs[0].forward(&x);
    let kept = |x: &Tensor| {
        if keep == Keep::InputsAsHalf {
            Kept::half(x.clone())
        } else {
            Kept::exact(x.clone())
        }
    };
    let first = kept(&first);
    let mut y = first.value().clone();
    for (i, conv) in convs[1..].iter().enumerate() {
        let conv = conv.clone();
        let block = move |[x, first]: [Tensor; 2]| {
            let stream = Stream {
                seed: 2,
                step: 0,
                stream: i as u32,
                first: 0,
            };
            let h = ops::dropout(
                &ops::silu(&ops::square(&conv.forward(&ops::silu(&x)))),
                0.1,
                stream,
            );
            ops::add(&h, &ops::tanh(&first))
        };
        y = match keep {
            Keep::All => block([y, first.value().clone()]),
            _ => ops::recompute([&kept(&y), &first], block),
        };
    }
    drop(first);
    let loss = ops::mean_all(&ops::square(&y));
    drop(y);
    let grads = loss.backward();
    let mut all = Vec::new();
    for conv in &mut convs {
        conv.visit(&mut |_, weight| {
            all.push(
                grads
                    .get(weight)
                    .expect("every weight has a gradient")
                    .to_vec(),
            )
        });
    }
    (loss.item(), all, gpu.counters().peak_bytes)
}

#[test]
fn recomputed_parts_give_the_same_bits_in_less_memory() {
    let plain = trained(Keep::All);
    let recomputed = trained(Keep::Inputs);
    assert!(plain.0 == recomputed.0 && plain.1 == recomputed.1);
    assert!(
        recomputed.2 * 4 < plain.2 * 3,
        "{} KiB against {} KiB",
        recomputed.2 >> 10,
        plain.2 >> 10
    );
}

#[test]
fn inputs_kept_as_half_change_gradients_by_little() {
    let plain = trained(Keep::All);
    let half = trained(Keep::InputsAsHalf);
    assert_eq!(plain.0, half.0, "the first pass sees the inputs themselves");
    let squares = |values: &dyn Fn(usize, usize) -> f32| -> f64 {
        let all = plain
            .1
            .iter()
            .enumerate()
            .flat_map(|(i, g)| (0..g.len()).map(move |j| (i, j)));
        all.map(|(i, j)| f64::from(values(i, j)).powi(2)).sum()
    };
    let differs =
        (squares(&|i, j| plain.1[i][j] - half.1[i][j]) / squares(&|i, j| plain.1[i][j])).sqrt();
    assert!(differs > 0.0 && differs < 2e-3, "relative error {differs}");
}

#[test]
fn without_a_gradient_the_part_just_runs() {
    let gpu = Gpu::open(GpuOptions::default()).expect("an adapter");
    let x = Tensor::from_slice(&gpu, &[1.0, 2.0, 3.0], [3]);
    let y = ops::recompute([&Kept::half(x.clone())], |[x]| ops::square(&x));
    assert!(!y.wants_grad() && y.to_vec() == [1.0, 4.0, 9.0]);
    assert_eq!(Half::pack(&x).unpack().to_vec(), [1.0, 2.0, 3.0]);
}

/// Loss and gradients of a model whose activations are kept by this rule.
fn of_model<M: Module>(mut model: M, loss: impl Fn(&M) -> Tensor) -> (f32, Vec<Vec<f32>>) {
    model.visit(&mut |_, tensor| *tensor = tensor.leaf());
    let loss = loss(&model);
    let grads = loss.backward();
    let mut all = Vec::new();
    model.visit(&mut |_, weight| all.extend(grads.get(weight).map(Tensor::to_vec)));
    (loss.item(), all)
}

#[test]
fn the_models_train_the_same_whatever_is_kept() {
    let gpu = Gpu::open(GpuOptions::default()).expect("an adapter");
    let stream = Stream {
        seed: 3,
        step: 1,
        stream: 0,
        first: 0,
    };
    let config = UNetConfig {
        base: 8,
        multipliers: vec![1, 2],
        blocks: 1,
        dropout: 0.2,
        ..UNetConfig::default()
    };
    let z = ops::normal(&gpu, [2, 5, 5, 3], stream);
    let t = Codes::from_slice(&gpu, &[4, 9], [2]);
    let unet = |activations| {
        let mut model = UNet::new(&mut Init::new(&gpu, 1), &config, Ports::same(3), 10, 0);
        model.activations = activations;
        // The last layers start at 0 and would mask everything before them.
        model.visit(&mut |_, tensor| {
            *tensor = ops::add(
                tensor,
                &ops::affine(&ops::normal(&gpu, tensor.shape(), stream), 0.1, 0.0),
            )
        });
        of_model(model, |model| {
            ops::mean_all(&ops::square(&model.forward(&z, &t, None, Some(stream))))
        })
    };
    let pixelcnn = |activations| {
        let config = PixelCnnConfig {
            layers: 3,
            channels: 8,
            head: 8,
            first_kernel: 5,
            kernel: 3,
        };
        let mut model = PixelCnn::new(&mut Init::new(&gpu, 1), &config, 7, 2, 0);
        model.activations = activations;
        let codes = Codes::from_slice(&gpu, &[0, 3, 6, 1, 2, 2, 5, 0, 4, 1, 6, 3], [1, 4, 3]);
        let class = Codes::from_slice(&gpu, &[0], [1]);
        of_model(model, |model| {
            let logits = model.forward(&codes, &class).reshape([12, 7]);
            ops::mean_all(&ops::cross_entropy(&logits, &codes.reshape([12])))
        })
    };
    for model in [
        &unet as &dyn Fn(Activations) -> (f32, Vec<Vec<f32>>),
        &pixelcnn,
    ] {
        let plain = model(Activations::Keep);
        let again = model(Activations::Recompute);
        let half = model(Activations::RecomputeF16);
        assert!(plain.1.iter().flatten().any(|&g| g != 0.0));
        assert!(plain.0 == again.0 && plain.0 == half.0);
        // Where a tensor feeds two parts, its gradients may be summed in another order.
        let worst = |other: &[Vec<f32>]| {
            let pairs = plain.1.iter().zip(other).map(|(a, b)| {
                let largest = a.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
                a.iter()
                    .zip(b)
                    .fold(0.0f32, |m, (x, y)| m.max((x - y).abs() / largest))
            });
            pairs.fold(0.0, f32::max)
        };
        assert_eq!(plain.1.len(), again.1.len());
        assert!(worst(&again.1) < 1e-5, "{}", worst(&again.1));
        assert!(
            worst(&half.1) > 0.0 && worst(&half.1) < 2e-2,
            "{}",
            worst(&half.1)
        );
    }
}
