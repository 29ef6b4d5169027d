//! The engine as a library: kernels from outside run checked, the surface works as its examples
//! show, and operators broadcast.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use dbvq_wgpu::prelude::*;

fn gpu() -> Gpu {
    Gpu::open_default().expect("these tests need a GPU adapter; Mesa's lavapipe will do")
}

/// The message of `f`'s panic.
fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).err().expect("a panic");
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string))
        .expect("a panic with a message")
}

/// Reads and writes far outside of its bindings.
const WILD: &str = "
    @group(0) @binding(0) var<storage, read> x: array<f32>;
    @group(0) @binding(1) var<storage, read_write> y: array<f32>;
    var<immediate> offset: u32;
    @compute @workgroup_size(64)
    fn wild(@builtin(global_invocation_id) id: vec3<u32>) {
        y[id.x + offset] = x[id.x + offset] + 1.0;
        if id.x < arrayLength(&y) {
            y[id.x] = f32(arrayLength(&x));
        }
    }";

#[test]
fn a_kernel_from_outside_stays_inside_its_tensors() {
    let gpu = gpu();
    let wild = Kernel::new(WILD);
    let before = Tensor::from_slice(&gpu, &[7.0; 64], [64]);
    let x = Tensor::from_slice(&gpu, &[1.0, 2.0, 3.0], [3]);
    // Far beyond all memory of the process, and just beyond the tensor.
    for offset in [3u32, 64, 1 << 20, u32::MAX - 64] {
        let y = wild.run(&gpu, &[&x], [5], &offset);
        assert_eq!(
            y.to_vec(),
            [3.0; 5],
            "arrayLength is the tensor's, offset {offset}"
        );
    }
    assert_eq!(before.to_vec(), [7.0; 64]);
    assert_eq!(x.to_vec(), [1.0, 2.0, 3.0]);
}

#[test]
fn a_device_without_bounds_checks_refuses_kernels_from_outside() {
    let gpu = Gpu::open(GpuOptions {
        checked: false,
        driver_checks: false,
        ..GpuOptions::default()
    })
    .expect("an adapter");
    let x = Tensor::from_slice(&gpu, &[1.0], [1]);
    let message = panic_of(|| Kernel::new(WILD).run(&gpu, &[&x], [1], &0u32));
    assert!(message.contains("driver_checks: true"), "{message}");
}

#[test]
#[expect(unsafe_code, reason = "it shows how to leave the checks out")]
fn a_trusted_kernel_runs_on_every_device() {
    let gpu = Gpu::open(GpuOptions {
        checked: false,
        driver_checks: false,
        ..GpuOptions::default()
    })
    .expect("an adapter");
    // SAFETY: it checks each index.
    let double = unsafe {
        Kernel::trusted(
            "@group(0) @binding(0) var<storage, read> x: array<f32>;
             @group(0) @binding(1) var<storage, read_write> y: array<f32>;
             @compute @workgroup_size(64)
             fn double(@builtin(global_invocation_id) id: vec3<u32>) {
                 if id.x < arrayLength(&y) { y[id.x] = 2.0 * x[id.x]; }
             }",
        )
    };
    let x = Tensor::from_slice(&gpu, &[1.5, -2.0], [2]);
    assert_eq!(double.run(&gpu, &[&x], [2], &()).to_vec(), [3.0, -4.0]);
}

#[test]
fn mistakes_with_kernels_are_told() {
    let gpu = gpu();
    let x = Tensor::from_slice(&gpu, &[1.0], [1]);
    let wild = Kernel::new(WILD);
    for (what, message) in [
        (
            "binding",
            panic_of(|| wild.run(&gpu, &[&x, &x], [1], &0u32)),
        ),
        (
            "bytes of Params",
            panic_of(|| wild.run(&gpu, &[&x], [1], &0u64)),
        ),
        (
            "Kernel::run_in",
            panic_of(|| wild.run(&gpu, &[&x], [65_536 * 64], &0u32)),
        ),
        ("unknown", panic_of(|| Kernel::new("fn f() { unknown(); }"))),
        ("one entry point", panic_of(|| Kernel::new("const a = 1;"))),
        (
            "must be written",
            panic_of(|| {
                Kernel::new(
                    "@group(0) @binding(0) var<storage, read> x: array<f32>;
                     var<workgroup> sum: f32;
                     @compute @workgroup_size(1) fn f() { sum = x[0]; }",
                )
            }),
        ),
        (
            "storage buffer",
            panic_of(|| {
                Kernel::new(
                    "@group(0) @binding(0) var<uniform> x: vec4<f32>;
                     @group(0) @binding(1) var<storage, read_write> y: array<f32>;
                     @compute @workgroup_size(1) fn f() { y[0] = x.x; }",
                )
            }),
        ),
    ] {
        assert!(message.contains(what), "{what}: {message}");
    }
    let wrong = x.leaf().reshape([1]);
    let y = wrong
        .detach()
        .with_vjp([&wrong], |dy, _| [Some(dy.reshape([1, 1]))]);
    let message = panic_of(|| y.backward());
    assert!(
        message.contains("[1, 1]") && message.contains("[1]"),
        "{message}"
    );
}

/// The same as with `panic = "abort"`: nothing unwinds.
#[test]
fn errors_are_values() {
    let options = GpuOptions {
        memory_limit: Some(1 << 20),
        ..GpuOptions::default()
    };
    let gpu = Gpu::open(options).expect("an adapter");
    let small = Tensor::from_slice(&gpu, &[1.0, 2.0], [2]);
    let large = Tensor::zeros(&gpu, [1 << 20]);
    // Nothing is computed until somebody looks.
    let sum = (&large + 1.0).sum_all();
    let error = sum.read().expect_err("4 MiB are over the limit of 1");
    assert!(matches!(error, Error::OutOfMemory(_)), "{error}");
    assert!(error.to_string().contains("limit 1 MiB"), "{error}");
    // What fits goes on; what could not be allocated does not come back.
    assert_eq!((&small * 2.0).read().expect("it fits"), [2.0, 4.0]);
    let error = large.sum_all().read().expect_err("it holds nothing");
    assert!(
        error.to_string().contains("could not be allocated"),
        "{error}"
    );

    let mut line = small_line(&gpu);
    let mut adam = Adam::new(&gpu, &mut line, AdamOptions::default());
    let loss = |x: &Tensor| line.linear.forward(x).square().mean_all();
    let rows = Tensor::zeros(&gpu, [1 << 17, 4]);
    let outcome = adam.step(&loss(&rows).backward());
    assert!(matches!(outcome, Err(Error::OutOfMemory(_))), "{outcome:?}");
    drop(rows);
    let few = Tensor::from_slice(&gpu, &[1.0; 8], [2, 4]);
    adam.step(&loss(&few).backward())
        .expect("a smaller batch fits");

    gpu.destroy();
    let outcome = loss(&few).read();
    assert!(matches!(outcome, Err(Error::DeviceLost(_))), "{outcome:?}");
}

module! {
    struct SmallLine { linear: Linear }
}

fn small_line(gpu: &Gpu) -> SmallLine {
    SmallLine {
        linear: Linear::new(&mut Init::new(gpu, 0), [4, 4]),
    }
}

#[test]
fn operators_broadcast_and_take_numbers_on_either_side() {
    let gpu = gpu();
    let column = Tensor::from_slice(&gpu, &[1.0, 2.0], [2, 1]);
    let row = Tensor::from_slice(&gpu, &[10.0, 20.0, 40.0], [3]);
    assert_eq!((&column + &row).shape().dims(), [2, 3]);
    let of = |t: Tensor| t.to_vec();
    assert_eq!(of(&column + &row), [11.0, 21.0, 41.0, 12.0, 22.0, 42.0]);
    assert_eq!(of(&row - &column), [9.0, 19.0, 39.0, 8.0, 18.0, 38.0]);
    assert_eq!(of(&column * &row), [10.0, 20.0, 40.0, 20.0, 40.0, 80.0]);
    assert_eq!(of(&row / &column), [10.0, 20.0, 40.0, 5.0, 10.0, 20.0]);
    assert_eq!(of(&row + 1.0), of(1.0 + &row));
    assert_eq!(of(50.0 - &row), [40.0, 30.0, 10.0]);
    assert_eq!(of(&row - 5.0), [5.0, 15.0, 35.0]);
    assert_eq!(of(2.0 * &row), of(&row * 2.0));
    assert_eq!(of(40.0 / &row), [4.0, 2.0, 1.0]);
    assert_eq!(of(&row / 10.0), [1.0, 2.0, 4.0]);
    assert_eq!(of(-&row), [-10.0, -20.0, -40.0]);
    let a = Tensor::from_slice(&gpu, &[1.0, 2.0, 3.0, 4.0], [2, 2]);
    let b = Tensor::from_slice(&gpu, &[1.0, 1.0], [2, 1]);
    assert_eq!(of(a.matmul(&b)), [3.0, 7.0]);
    let x = row.leaf();
    let grads = (1.0 / (&x * &x)).sum_all().backward();
    let dx = grads.get(&x).expect("the loss depends on it").to_vec();
    for (found, x) in dx.iter().zip([10.0f32, 20.0, 40.0]) {
        assert!((found + 2.0 / x.powi(3)).abs() < 1e-6, "{dx:?}");
    }
}

module! {
    struct Small { conv: Conv2d, head: Option<Linear>, scale: Tensor }
}

/// A model with a mistake: two parameters of one name.
struct Twins {
    a: Tensor,
    b: Tensor,
}

impl Module for Twins {
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor)) {
        f("w", &mut self.a);
        f("w", &mut self.b);
    }
}

fn small(gpu: &Gpu, seed: u64) -> Small {
    let mut init = Init::new(gpu, seed);
    Small {
        conv: Conv2d::same(&mut init, [2, 3], [3, 3]),
        head: Some(Linear::new(&mut init, [3, 2])),
        scale: init.normal(&[3], 1.0),
    }
}

fn values(model: &mut Small) -> Vec<(String, Vec<f32>)> {
    let mut all = Vec::new();
    model.visit(&mut |path, tensor| all.push((path.to_string(), tensor.to_vec())));
    all
}

#[test]
fn weights_come_back_and_wrong_files_are_told() {
    let gpu = gpu();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("small.safetensors");
    let mut written = small(&gpu, 1);
    written.save(&file).expect("it can be written");
    let mut read = small(&gpu, 2);
    assert_ne!(values(&mut read), values(&mut written));
    read.load(&file).expect("it was just written");
    assert_eq!(values(&mut read), values(&mut written));

    // PyTorch's layout: [o, c, h, w].
    let bytes = std::fs::read(&file).expect("it was just written");
    let found = safetensors::SafeTensors::deserialize(&bytes).expect("it was just written");
    let dims = found
        .tensor("conv.weight")
        .map(|view| view.shape().to_vec());
    assert_eq!(dims.expect("it is a parameter"), [3, 2, 3, 3]);

    // An optimiser keeps its parameters: loading goes into the same memory.
    let mut adam = Adam::new(&gpu, &mut read, AdamOptions::default());
    small(&gpu, 3).save(&file).expect("it can be written");
    read.load(&file).expect("it was just written");
    let x = Tensor::from_slice(&gpu, &[0.5; 18], [1, 3, 3, 2]);
    let loss = read.conv.forward(&x).square().mean_all();
    adam.step(&loss.backward()).expect("no device is lost");
    let moved = values(&mut read)[0].1[0];
    let loaded = values(&mut small(&gpu, 3))[0].1[0];
    assert!(
        (moved - loaded).abs() < 2e-3 && moved != loaded,
        "{moved} {loaded}"
    );

    let mut twins = Twins {
        a: Tensor::zeros(&gpu, [1]),
        b: Tensor::zeros(&gpu, [1]),
    };
    let error = twins.save(&file).expect_err("one name twice").to_string();
    assert!(
        error.contains("two parameters of the model are called w"),
        "{error}"
    );

    let mut other = small(&gpu, 1);
    other.scale = Tensor::zeros(&gpu, [4]);
    let error = other.load(&file).expect_err("of another shape").to_string();
    assert!(
        error.contains("scale is [3], the model needs [4]"),
        "{error}"
    );
    other.head = None;
    other.scale = Tensor::zeros(&gpu, [3]);
    let error = other.load(&file).expect_err("one too many").to_string();
    assert!(error.contains("head."), "{error}");
    std::fs::write(&file, b"no tensors").expect("it can be written");
    let error = read.load(&file).expect_err("damaged").to_string();
    assert!(error.contains("no safetensors file"), "{error}");
}

/// What `examples/NAME.rs` prints when it is run with these arguments, and with the features of this test.
fn example(name: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--example", name]);
    if cfg!(not(feature = "app")) {
        command.arg("--no-default-features");
    }
    command.arg("--").args(arguments);
    let output = command.output().expect("Cargo runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    text
}

#[test]
fn the_examples_do_what_they_say() {
    let line = example("01-line", &[]);
    assert!(
        line.contains("y = 2.0") || line.contains("y = 1.9"),
        "{line}"
    );
    let circle = example("02-circle", &[]);
    let point = circle.split_once("at (").expect("it prints a point").1;
    let point: Vec<f32> = point
        .trim_end_matches(['\n', ')'])
        .split(", ")
        .map(|number| number.parse().expect("a number"))
        .collect();
    assert!(
        point[0].abs() < 0.05 && (point[1] - 1.0).abs() < 0.05,
        "{circle}"
    );
    let own = example("03-own-kernel", &[]);
    assert!(own.contains("3 cases, 0 failures"), "{own}");
    // σ(x) (1 + x (1 − σ(x))).
    assert!(own.contains("[0.0723, 0.5000, 0.9277]"), "{own}");
}

/// A file of CIFAR-10's format: 40 images that shade from one colour into another.
fn shades() -> Vec<u8> {
    let mut bytes = Vec::new();
    for i in 0..40usize {
        bytes.push(0);
        for colour in 0..3 {
            for pixel in 0..32 * 32 {
                let across = (pixel % 32) * 8;
                let level = (across * (i % 3 + 1) + colour * 90 + i * 13) / 4;
                bytes.push((level % 256) as u8);
            }
        }
    }
    bytes
}

#[test]
fn the_vq_vae_of_the_examples_learns() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("data_batch_1.bin");
    std::fs::write(&file, shades()).expect("it can be written");
    let text = example("04-vqvae", &[&file.to_string_lossy(), "40"]);
    let psnr: Vec<f32> = text
        .lines()
        .filter_map(|line| {
            line.split_once("PSNR ")?
                .1
                .strip_suffix(" dB")?
                .parse()
                .ok()
        })
        .collect();
    assert!(psnr.len() == 5 && psnr[4] > psnr[0] + 3.0, "{text}");
}
