//! The engine from the viewpoint of ops and users: memory, the tape, steady state, and a failing
//! device.

use std::panic::{AssertUnwindSafe, catch_unwind};

use dbvq_wgpu::error::Error;
use dbvq_wgpu::gpu::{Gpu, GpuOptions, Prefer};
use dbvq_wgpu::nn::Module;
use dbvq_wgpu::nn::init::Init;
use dbvq_wgpu::nn::optim::{Group, GroupedAdam, Moments};
use dbvq_wgpu::ops::{self, Trans};
use dbvq_wgpu::tensor::Tensor;

fn gpu() -> Gpu {
    Gpu::open(GpuOptions::default())
        .expect("an adapter; `cargo xtask test` installs a software one")
}

/// The `Error` that the engine panics with.
fn raised<R>(f: impl FnOnce() -> R) -> Error {
    let payload = catch_unwind(AssertUnwindSafe(f))
        .err()
        .expect("the engine should have failed");
    *payload
        .downcast::<Error>()
        .expect("the payload is an Error")
}

#[test]
fn a_lost_device_is_one_error() {
    let gpu = gpu();
    let x = Tensor::from_slice(&gpu, &[1.0, 2.0], [2]);
    gpu.destroy();
    let error = raised(|| ops::silu(&x).to_vec());
    assert_eq!(error.exit_code(), 5, "{error}");
}

#[test]
fn memory_over_the_limit_is_one_error() {
    let gpu = Gpu::open(GpuOptions {
        memory_limit: Some(1 << 20),
        ..GpuOptions::default()
    })
    .expect("an adapter");
    let error = raised(|| Tensor::zeros(&gpu, [1 << 20]).to_vec());
    assert!(
        error.exit_code() == 6 && error.to_string().contains("limit 1 MiB"),
        "{error}"
    );
    // Free memory is returned to the driver before giving up.
    drop(Tensor::zeros(&gpu, [200_000]));
    assert_eq!(Tensor::zeros(&gpu, [220_000]).count(), 220_000);
}

#[test]
fn an_upload_does_not_overtake_recorded_work() {
    let gpu = gpu();
    let a = Tensor::from_slice(&gpu, &[1.0; 64], [64]);
    let y = ops::affine(&a, 2.0, 0.0);
    drop(a);
    let b = Tensor::from_slice(&gpu, &[7.0; 64], [64]);
    assert_eq!((y.to_vec(), b.to_vec()), (vec![2.0; 64], vec![7.0; 64]));
}

#[test]
fn what_waits_for_its_pipeline_keeps_its_turn() {
    // Nothing is compiled yet: dispatches wait while others, whose kernels are ready sooner, and
    // zeros follow.
    let gpu = gpu();
    let x = Tensor::from_slice(&gpu, &[1.0; 64], [64]);
    let y = ops::affine(&x, 2.0, 0.0);
    drop(x);
    // Reuses the memory of x.
    let zeros = Tensor::zeros(&gpu, [64]);
    let sum = ops::add(&y, &zeros);
    drop((y, zeros));
    let last = ops::affine(&sum, 3.0, 1.0);
    assert_eq!(
        (sum.to_vec(), last.to_vec()),
        (vec![2.0; 64], vec![7.0; 64])
    );
}

#[test]
fn results_under_the_profiler_are_the_same() {
    // The profiler's timestamp read-back comes in the middle of every other read-back.
    let gpu = Gpu::open(GpuOptions {
        profile: true,
        ..GpuOptions::default()
    })
    .expect("an adapter");
    let x = Tensor::from_slice(&gpu, &[1.0, 2.0, 3.0], [3]);
    assert_eq!(ops::affine(&x, 2.0, 0.0).to_vec(), [2.0, 4.0, 6.0]);
    assert_eq!(ops::affine(&x, 3.0, 0.0).to_vec(), [3.0, 6.0, 9.0]);
    assert_eq!(
        gpu.profile().expect("profiling")["elementwise/unary_each"].count,
        2
    );
}

#[test]
fn gradients_meet() {
    let gpu = gpu();
    let x = Tensor::from_slice(&gpu, &[1.0, -2.0, 3.0], [3]).leaf();
    // Both operands of the sum get the same tensor as gradient, and x is used four times.
    let y = ops::add(&ops::mul(&x, &x), &ops::add(&x, &x));
    let loss = ops::sum_all(&y);
    let grads = loss.backward();
    assert_eq!(
        grads.get(&x).expect("x is a leaf").to_vec(),
        [4.0, -2.0, 8.0]
    );
    assert!(
        catch_unwind(AssertUnwindSafe(|| loss.backward())).is_err(),
        "the tape is gone after one pass"
    );
    assert!(!gpu.no_grad(|| ops::silu(&x)).wants_grad());
}

#[test]
fn products_of_more_blocks_than_a_grid_has_room_for() {
    let gpu = gpu();
    // Row i is twice i % 1000, in blocks of 32 rows: one block more than 65,535.
    let rows = 65_536 * 32;
    let x: Vec<f32> = (0..4 * rows).map(|i| (i / 4 % 1000) as f32).collect();
    let y = ops::matmul(
        &Tensor::from_slice(&gpu, &x, [1, rows, 4]),
        &Tensor::from_slice(&gpu, &[0.5; 64], [1, 4, 16]),
        Trans::default(),
    );
    assert!(
        y.to_vec()
            .iter()
            .enumerate()
            .all(|(at, &found)| found == 2.0 * (at / 16 % 1000) as f32)
    );
}

#[test]
fn a_shape_mistake_names_both_shapes() {
    let gpu = gpu();
    let a = Tensor::zeros(&gpu, [2, 3]);
    let b = Tensor::zeros(&gpu, [4]);
    let panic = catch_unwind(AssertUnwindSafe(|| ops::add(&a, &b))).expect_err("shapes do not fit");
    let text = panic.downcast_ref::<String>().expect("a message");
    assert!(text.contains("[2, 3]") && text.contains("[4]"), "{text}");
}

#[test]
fn what_a_kernel_cannot_do_is_refused_by_name() {
    // On CPUs these channels would be padded to whole vec4s, and a vec4 kernel can handle more.
    let gpu = Gpu::open(GpuOptions {
        prefer: Prefer::Portable,
        ..GpuOptions::default()
    })
    .expect("an adapter");
    let refusal = |op: &dyn Fn() -> Tensor| {
        let panic = catch_unwind(AssertUnwindSafe(op)).expect_err("it should be refused");
        panic.downcast_ref::<String>().expect("a message").clone()
    };
    let image = Tensor::zeros(&gpu, [1, 1, 1, 1300]);
    let kernel = Tensor::zeros(&gpu, [7, 7, 1300, 1]);
    let conv = ops::Conv {
        padding: [3, 3],
        ..ops::Conv::default()
    };
    let text = refusal(&|| ops::conv2d(&image, &kernel, None, conv));
    assert!(
        text.contains("49 taps of 1300 channels") && text.contains("over 60000"),
        "{text}"
    );
    // The loop rounds of the gradient count too, if there is one.
    let image = Tensor::zeros(&gpu, [1, 1, 1, 1]);
    let kernel = kernel.reshape([7, 7, 1, 1300]);
    assert_eq!(ops::conv2d(&image, &kernel, None, conv).count(), 1300);
    let text = refusal(&|| ops::conv2d(&image.leaf(), &kernel, None, conv));
    assert!(text.contains("49 taps of 1300 channels"), "{text}");

    let even = Tensor::zeros(&gpu, [2, 2, 1, 1]);
    let masked = ops::Conv {
        padding: [1, 1],
        mask: Some(ops::Mask::A),
        ..ops::Conv::default()
    };
    let text = refusal(&|| ops::conv2d(&image, &even, None, masked));
    assert!(text.contains("a mask needs a centre"), "{text}");
    let more = ops::ConvTranspose {
        output_padding: [1, 0],
        ..ops::ConvTranspose::default()
    };
    let text = refusal(&|| ops::conv_transpose2d(&image, &even, None, more));
    assert!(text.contains("output_padding: [1, 0]"), "{text}");
    let pool = ops::Pool {
        padding: [2, 0],
        ..ops::Pool::default()
    };
    let text = refusal(&|| ops::max_pool2d(&image, pool));
    assert!(text.contains("padding: [2, 0]"), "{text}");
}

struct Line {
    weight: Tensor,
    bias: Tensor,
}

impl Module for Line {
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor)) {
        f("weight", &mut self.weight);
        f("bias", &mut self.bias);
    }
}

#[test]
fn a_training_step_creates_nothing_in_steady_state() {
    let gpu = gpu();
    let mut init = Init::new(&gpu, 1);
    let mut line = Line {
        weight: init.normal(&[3, 5], 0.1),
        bias: init.zeros(&[3]),
    };
    let options = Moments {
        beta1: 0.9,
        beta2: 0.99,
        eps: 1e-8,
        weight_decay: 0.0,
    };
    let adam = GroupedAdam::new(&gpu, &mut line, options, |_| 0);
    let numbers: Vec<f32> = (0..40).map(|i| (i as f32 * 0.7).sin()).collect();
    let mut losses = Vec::new();
    let mut step = |i: u32| {
        let x = Tensor::from_slice(&gpu, &numbers, [8, 5]);
        let goal = Tensor::from_slice(&gpu, &numbers[..24], [8, 3]);
        let loss = ops::mse(
            &ops::silu(&ops::linear(&x, &line.weight, Some(&line.bias))),
            &goal,
        );
        adam.step(
            &loss.backward(),
            &[Group {
                lr: 0.05,
                clip: 1.0,
            }],
            i,
            0.9,
        );
        losses.push(loss.item());
    };
    (1..=5).for_each(&mut step);
    let before = gpu.counters();
    (6..=25).for_each(&mut step);
    let after = gpu.counters();
    assert_eq!(
        (
            before.buffers,
            before.bind_groups,
            before.pipelines,
            before.bytes
        ),
        (
            after.buffers,
            after.bind_groups,
            after.pipelines,
            after.bytes
        )
    );
    assert!(losses[24] < 0.85 * losses[0], "{losses:?}");
}

#[test]
fn kept_pipelines_are_read_back_and_damaged_ones_are_not() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let open = || {
        let options = GpuOptions {
            cache_dir: Some(dir.path().to_path_buf()),
            ..GpuOptions::default()
        };
        Gpu::open(options).expect("an adapter")
    };
    let run = |gpu: &Gpu| ops::silu(&Tensor::from_slice(gpu, &[1.0], [1])).item();
    let gpu = open();
    let value = run(&gpu);
    gpu.save_caches().expect("a writable directory");
    let files: Vec<_> = std::fs::read_dir(dir.path())
        .expect("readable")
        .flatten()
        .map(|e| e.path())
        .collect();
    assert_eq!(
        files.len(),
        usize::from(gpu.facts().features.pipeline_cache)
    );
    assert_eq!(run(&open()), value);
    for file in files {
        let mut bytes = std::fs::read(&file).expect("readable");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes).expect("writable");
        assert_eq!(run(&open()), value);
    }
}
