//! `presets NAME --summary` agrees with what trainings do. The last test needs a GPU adapter.

mod common;
#[path = "common/pictures.rs"]
mod pictures;

use assert_cmd::assert::OutputAssertExt;
use common::program;
use dbvq_wgpu::gpu::Gpu;
use dbvq_wgpu::nn::init::Init;
use dbvq_wgpu::ops::{self, Attention, Conv};
use dbvq_wgpu::tensor::Tensor;

fn rehearsal() -> Gpu {
    Gpu::rehearsal(None, u64::MAX).expect("a rehearsal needs no adapter")
}

/// Multiplications and additions that `f` records.
fn flops(gpu: &Gpu, f: impl FnOnce()) -> u64 {
    let before = gpu.counters().flops;
    f();
    gpu.counters().flops - before
}

#[test]
fn arithmetic_is_counted_as_by_hand() {
    let gpu = rehearsal();
    let tensor = |dims: &[usize]| Tensor::zeros(&gpu, dims).leaf();
    let x = tensor(&[2, 6, 6, 3]);
    let w = tensor(&[3, 3, 3, 8]);
    let conv = Conv {
        stride: 2,
        padding: [1, 1],
        ..Conv::default()
    };
    let forward = 2 * (2 * 3 * 3) * 8 * (3 * 3 * 3);
    let mut y = None;
    assert_eq!(
        flops(&gpu, || y = Some(ops::conv2d(&x, &w, None, conv))),
        forward
    );
    let sum = ops::mean_all(&y.expect("it ran"));
    assert_eq!(
        flops(&gpu, || drop(sum.backward())),
        2 * forward,
        "dx and dw"
    );
    let product = flops(&gpu, || {
        drop(ops::linear(&tensor(&[4, 5]), &tensor(&[7, 5]), None))
    });
    assert_eq!(product, 2 * 4 * 5 * 7);
    let heads = || tensor(&[2, 9, 2, 8]);
    let attention = flops(&gpu, || {
        drop(ops::attention(
            &heads(),
            &heads(),
            &heads(),
            Attention::default(),
        ))
    });
    assert_eq!(
        attention,
        2 * (2 * (2 * 2) * 9 * 9 * 8),
        "q kᵀ, and its softmax times v"
    );
}

#[test]
fn a_rehearsal_holds_memory_like_a_device_but_computes_nothing() {
    let gpu = Gpu::rehearsal(None, 1 << 20).expect("a rehearsal needs no adapter");
    let x = Init::new(&gpu, 1).normal(&[1000], 1.0);
    assert_eq!(ops::silu(&x).to_vec(), vec![0.0; 1000]);
    assert_eq!(
        gpu.counters().live_bytes,
        4096,
        "a size class of 1000 floats"
    );
    let many = dbvq_wgpu::gpu::catch(|| {
        let many: Vec<Tensor> = (0..300).map(|_| Tensor::zeros(&gpu, [1000])).collect();
        gpu.submit();
        Ok(many)
    });
    assert_eq!(many.expect_err("over the limit").exit_code(), 6);
    let counters = gpu.counters();
    assert!(
        counters.peak_bytes <= 1 << 20 && counters.dispatches == 1 && counters.submits == 0,
        "{counters:?}"
    );
}

#[test]
fn the_paper_sized_preset_is_summarised() {
    let output = program()
        .args(["presets", "cifar10-paper", "--summary"])
        .output()
        .expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for words in [
        "cifar10-paper, stage vqvae, batch 128",
        "encoder.conv_in",
        "128×16×16×64",
        "stage prior",
        "down.0.blocks.0.conv1",
        "stage pixelcnn",
        "95,7",
        "MiB of GPU memory",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(
        text.lines().all(|line| line.chars().count() <= 100),
        "{text}"
    );
    let total = |stage: &str| {
        let part = text
            .split("stage ")
            .find(|part| part.starts_with(stage))
            .expect("the stage");
        let line = part
            .lines()
            .find(|line| line.contains(" parameters; "))
            .expect("a total");
        line.split(' ')
            .next()
            .expect("a number")
            .replace(',', "")
            .parse::<u64>()
            .expect("a number")
    };
    assert!(
        (54_800_000..56_500_000).contains(&total("prior"))
            && (95_700_000..95_800_000).contains(&total("pixelcnn"))
    );
    program()
        .args(["presets", "toy", "--summary"])
        .assert()
        .success();
    program().args(["presets", "--summary"]).assert().code(2);
}

#[test]
fn the_estimate_of_memory_is_what_a_training_takes() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = pictures::folder(&dir.path().join("data"), 12);
    let mut training = pictures::train("vqvae", &data, &dir.path().join("run"), 5);
    training
        .args([
            "--set",
            "stages.evaluate_every=0",
            "--set",
            "stages.vqvae.batch=512",
        ])
        .env("DBVQ_PROFILE", "1");
    let output = training.output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let number = |before: &str| {
        let words = said
            .split(before)
            .next()
            .unwrap_or_default()
            .split_whitespace();
        words
            .last()
            .and_then(|word| word.parse::<f64>().ok())
            .unwrap_or_else(|| panic!("{before}: {said}"))
    };
    let estimate = number(" MiB of GPU memory");
    let real = number(" KiB of GPU memory") / 1024.0;
    assert!(
        real <= estimate && estimate <= 1.1 * real + 1.0,
        "{estimate} MiB for {real}: {said}"
    );
}
