//! Kernel tuning by measurement: what is kept, what is correct, and what is left out. Needs a GPU
//! adapter.

use std::path::Path;

use dbvq_wgpu::error::Error;
use dbvq_wgpu::gpu::{Gpu, GpuOptions, Precision, Prefer, Shader};
use dbvq_wgpu::ops::{self, Attention, Conv, Trans};
use dbvq_wgpu::philox::Stream;
use dbvq_wgpu::tensor::Tensor;

fn open(prefer: Prefer, cache: Option<&Path>, stand_ins: Vec<Shader>) -> Gpu {
    let options = GpuOptions {
        prefer,
        cache_dir: cache.map(Path::to_owned),
        stand_ins,
        ..GpuOptions::default()
    };
    Gpu::open(options).expect("an adapter; `cargo xtask test` installs a software one")
}

fn normal(gpu: &Gpu, dims: &[usize], stream: u32) -> Tensor {
    ops::normal(
        gpu,
        dims,
        Stream {
            seed: 1,
            step: 0,
            stream,
            first: 0,
        },
    )
}

/// A product; a convolution and attention with their gradients.
fn numbers(gpu: &Gpu) -> Vec<Vec<f32>> {
    let product = ops::matmul(
        &normal(gpu, &[1, 36, 40], 0),
        &normal(gpu, &[1, 40, 132], 1),
        Trans::default(),
    );
    let x = normal(gpu, &[2, 5, 6, 16], 2).leaf();
    let weight = normal(gpu, &[3, 3, 16, 20], 3).leaf();
    let y = ops::conv2d(
        &x,
        &weight,
        None,
        Conv {
            padding: [1, 1],
            ..Conv::default()
        },
    );
    let grads = ops::mean_all(&ops::square(&y)).backward();
    let gradient = |of: &Tensor| grads.get(of).expect("it is a leaf").to_vec();
    let convolution = [y.to_vec(), gradient(&x), gradient(&weight)];
    let q = normal(gpu, &[2, 20, 2, 8], 4).leaf();
    let y = ops::attention(&q, &q, &q, Attention::default());
    let grads = ops::mean_all(&ops::square(&y)).backward();
    let attention = [y.to_vec(), grads.get(&q).expect("it is a leaf").to_vec()];
    [product.to_vec()]
        .into_iter()
        .chain(convolution)
        .chain(attention)
        .collect()
}

fn are_near(a: &[Vec<f32>], b: &[Vec<f32>]) {
    are_within(1e-4, a, b);
}

fn are_within(share: f32, a: &[Vec<f32>], b: &[Vec<f32>]) {
    for (a, b) in a.iter().zip(b) {
        let largest = b.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        let worst = a
            .iter()
            .zip(b)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(
            a.len() == b.len() && worst <= share * largest,
            "{worst} of {largest}"
        );
    }
}

#[test]
fn answers_are_right_and_kept() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let by_rule = numbers(&open(Prefer::Rule, None, Vec::new()));
    let first = open(Prefer::Measured, Some(folder.path()), Vec::new());
    let measured = numbers(&first);
    are_near(&measured, &by_rule);
    let (shapes, seconds, wrong) = first.measured();
    // Attention by products has its own products.
    assert!(
        shapes > 5 && wrong.is_empty(),
        "product, convolution and its gradients, attention: {shapes} in {seconds} s"
    );
    assert_eq!(
        numbers(&first),
        measured,
        "the same kernels the second time"
    );
    assert_eq!(first.measured().0, shapes);
    first.save_caches().expect("a writable directory");
    let second = open(Prefer::Measured, Some(folder.path()), Vec::new());
    assert_eq!(
        numbers(&second),
        measured,
        "the same kernels in another program"
    );
    assert_eq!(second.measured().0, 0, "nothing is measured twice");
    let files = std::fs::read_dir(folder.path())
        .expect("it is there")
        .flatten()
        .map(|entry| entry.path());
    let file = files
        .into_iter()
        .find(|file| file.extension().is_some_and(|e| e == "json"))
        .expect("the answers");
    let text = std::fs::read_to_string(&file).expect("it is readable");
    let kept: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let answers = kept["answers"].as_array().expect("a list");
    assert_eq!(answers.len(), shapes, "{text}");
    for answer in answers {
        let choice = answer["choice"].as_str().expect("a name");
        let ms = answer["ms"].as_object().expect("times");
        assert!(ms.len() >= 2 && ms.contains_key(choice), "{answer}");
    }
    std::fs::write(&file, &text[..text.len() / 2]).expect("it is writable");
    let third = open(Prefer::Measured, Some(folder.path()), Vec::new());
    are_near(&numbers(&third), &by_rule);
    assert_eq!(third.measured().0, shapes, "half a file answers nothing");
}

#[test]
fn what_has_no_room_goes_by_rule() {
    let limited = |prefer| {
        let memory_limit = Some(1 << 20);
        Gpu::open(GpuOptions {
            prefer,
            memory_limit,
            ..GpuOptions::default()
        })
        .expect("an adapter")
    };
    // Two operands of 256 KiB and a result fit, but not as many again for measuring.
    let product = |gpu: &Gpu| {
        let a = normal(gpu, &[1, 256, 256], 0);
        let b = normal(gpu, &[1, 256, 256], 1);
        ops::matmul(&a, &b, Trans::default()).to_vec()
    };
    let gpu = limited(Prefer::Measured);
    let by_rule = limited(Prefer::Rule);
    assert_eq!(product(&gpu), product(&by_rule));
    assert_eq!(gpu.measured().0, 0);
}

#[test]
#[expect(unsafe_code, reason = "it breaks a kernel on purpose")]
fn a_wrong_kernel_is_never_chosen() {
    let tiled = ops::shaders()
        .into_iter()
        .find(|s| s.name() == "matmul_tiled")
        .expect("it is listed");
    // All workgroups compute the first tile and leave out the others.
    let broken = tiled.source().replacen(
        "Place(tile.x * tile_rows(), tile.y, share.matrix, share.plane * p.m)",
        "Place(0u, 0u, 0u, 0u)",
        1,
    );
    assert_ne!(broken, tiled.source());
    // SAFETY: all its tiles lie inside the tensors.
    let broken = unsafe { tiled.with_source(broken) };
    let gpu = open(Prefer::Measured, None, vec![broken]);
    are_near(
        &numbers(&gpu),
        &numbers(&open(Prefer::Portable, None, Vec::new())),
    );
    let (_, _, wrong) = gpu.measured();
    assert!(
        wrong.len() == 5 && wrong.iter().all(|what| what.starts_with("matmul with ")),
        "{wrong:?}"
    );
}

#[test]
fn f16_is_near_or_refused() {
    let options = GpuOptions {
        precision: Precision::F16,
        prefer: Prefer::Measured,
        ..GpuOptions::default()
    };
    let has_matrices = open(Prefer::Rule, None, Vec::new())
        .facts()
        .cooperative()
        .is_some();
    match (Gpu::open(options), has_matrices) {
        (Ok(gpu), true) => {
            assert!(ops::matrices_are_right(&gpu));
            are_within(
                4e-3,
                &numbers(&gpu),
                &numbers(&open(Prefer::Portable, None, Vec::new())),
            );
            let (shapes, _, wrong) = gpu.measured();
            assert!(
                shapes > 5 && wrong.is_empty(),
                "{shapes} shapes, wrong: {wrong:?}"
            );
        }
        (Err(Error::Adapter(what)), false) => {
            assert!(what.contains("use f32 precision"), "{what}")
        }
        (opened, _) => panic!("{opened:?} on an adapter that has matrices: {has_matrices}"),
    }
}
