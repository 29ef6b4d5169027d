//! A GPU compute engine with hand-written WGSL kernels, and the models of "Diffusion bridges vector
//! quantized variational autoencoders" (Cohen et al., ICML 2022) built on it.
//!
//! # The engine as a library
//! ```
//! use dbvq_wgpu::prelude::*;
//!
//! module! { struct Mlp { a: Linear, b: Linear, c: Linear } }
//!
//! impl Mlp {
//!     fn forward(&self, x: &Tensor) -> Tensor {
//!         let h = self.a.forward(x).silu();
//!         let h = self.b.forward(&h).silu() + &h; // shapes broadcast as in NumPy
//!         self.c.forward(&h)
//!     }
//! }
//!
//! fn main() -> Result<()> {
//!     let gpu = Gpu::open_default()?; // Vulkan, Metal or DX12; a CPU driver if there is no GPU
//!     let mut init = Init::new(&gpu, 0);
//!     let mut net = Mlp {
//!         a: Linear::new(&mut init, [1, 64]),
//!         b: Linear::new(&mut init, [64, 64]),
//!         c: Linear::new(&mut init, [64, 2]),
//!     };
//!     let mut adam = Adam::new(&gpu, &mut net, AdamOptions { lr: 3e-3, ..Default::default() });
//!     let angles: Vec<f32> = (0..64).map(|i| 0.1 * i as f32 - 3.2).collect();
//!     let points: Vec<f32> = angles.iter().flat_map(|a| [a.cos(), a.sin()]).collect();
//!     let x = Tensor::from_slice(&gpu, &angles, [64, 1]);
//!     let goal = Tensor::from_slice(&gpu, &points, [64, 2]);
//!     for step in 0..500 {
//!         let loss = net.forward(&x).mse(&goal);
//!         adam.step(&loss.backward())?;
//!         if step % 100 == 0 {
//!             println!("{step} {:.5}", loss.item());
//!         }
//!     }
//!     net.save(std::env::temp_dir().join("circle.safetensors")) // with PyTorch's names and layouts
//! }
//! ```
//! [`ops::Kernel`] runs kernels of your own, and [`kernels_test::verify`] checks them.
//!
//! A [`gpu::Gpu`] and its tensors stay on the thread that opened it; several threads may each open
//! their own.
//!
//! If the device is lost or memory is exhausted, the next [`nn::adam::Adam::step`] or
//! [`tensor::Tensor::read`] returns an error. [`tensor::Tensor::to_vec`] and
//! [`tensor::Tensor::item`] unwind with that error instead; see [`gpu::catch`]. Ops return no
//! `Result`; they panic if shapes do not fit.
//!
//! # Layers
//! A module uses only modules to its right, and leaves; `tests/layers.rs` enforces this.
//! ```text
//! main → commands → conformance → evaluate → experiment → models → nn → ops → tensor → gpu
//! leaves: report, bridge, config, data, metrics, philox, number, error
//! ```
//! Without the default feature `app`, the crate is only the engine: [`nn`] and the modules to its
//! right, [`bridge`], [`philox`], [`number`], [`error`], [`prelude`] and [`kernels_test`].
//! * [`gpu`]: adapters, memory, recording, readback and timing. The only code that uses `wgpu`.
//! * [`tensor`]: `Tensor` (f32) and `Codes` (u32), and the autodiff tape.
//! * [`ops`]: the Rust side of the shaders, one file per kernel family, named like
//!   `shaders/<stem>.wgsl`.
//! * [`nn`]: parameters, initialisation, Adam, checkpoints.
//! * [`models`]: the paper's models and samplers, without index arithmetic or kernel names.
//! * [`experiment`]: a run: its directory, the training loop, the stages, and sampling after
//!   training.
//! * [`evaluate`]: one file per metric of a trained run; [`metrics`] has the formulas.
//! * [`conformance`]: runs [`kernels_test`] on every adapter in supervised processes and reports
//!   the results.
//! * [`commands`]: the flags and the action of each command.
//! * [`report`]: console lines, tables, plots and files.
//! * [`bridge`]: the Ornstein-Uhlenbeck bridge in f64.
//! * [`philox`]: random numbers.
//! * [`data`]: data sets on the host.
//! * [`kernels_test`]: the f64 reference of every op, its test cases, and the comparison.
//!
//! # Invariants
//! * Tensors are contiguous, row-major, f32 (`Codes`: u32). There are no views and no strides;
//!   changing the layout is an op.
//! * Activations are channels-last.
//! * Kernels need nothing beyond WebGPU's default limits (8 storage buffers per entry point, 256
//!   invocations per workgroup, 16 KiB of workgroup memory) and 128 bytes of immediates.
//! * Kernels use no float atomics, so repeating a computation on the same adapter gives the same
//!   bits. (Where several kernels can compute a product, timing may choose one per adapter; the
//!   choice is then kept.)
//! * No dispatch binds one buffer twice, once for reading and once for writing.
//! * Shader text is never edited at run time. Only `#import` is resolved, by appending files;
//!   variants are `override` constants.
//! * Nothing waits for the GPU except readback, the profiler, the tuner, and a submit that would be
//!   the third in flight.
//! * Random numbers are Philox(seed, step, stream, index), the same bits on every vendor. Resuming
//!   therefore needs only one integer.
//! * No invocation loops more than about 60,000 times, because one driver silently stops there.
//!
//! # Where to start
//! Follow one training step: [`experiment::train`] → [`models::toy`] → [`ops`] → [`tensor`] →
//! [`gpu`]. To add a built-in kernel, write `shaders/x.wgsl`, `src/ops/x.rs` and
//! `kernels_test/ops/x.rs`, and name it in the two `mod.rs` files.

// Print with `say!` and `note!` of `report::console`, which do not panic when the reader is gone.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

/// Runs the README's programs as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

// Declared first because the other modules use its macros.
#[cfg(feature = "app")]
#[macro_use]
#[doc(hidden)]
pub mod report;

pub mod bridge;
pub mod error;
pub mod gpu;
#[path = "../kernels_test/mod.rs"]
pub mod kernels_test;
pub mod nn;
pub mod number;
pub mod ops;
pub mod philox;
pub mod prelude;
pub mod tensor;

#[cfg(feature = "app")]
#[doc(hidden)]
pub mod commands;
#[cfg(feature = "app")]
#[doc(hidden)]
pub mod config;
#[cfg(feature = "app")]
#[doc(hidden)]
pub mod conformance;
#[cfg(feature = "app")]
#[doc(hidden)]
pub mod data;
#[cfg(feature = "app")]
#[doc(hidden)]
pub mod evaluate;
#[cfg(feature = "app")]
#[doc(hidden)]
pub mod experiment;
#[cfg(feature = "app")]
#[doc(hidden)]
pub mod metrics;
#[cfg(feature = "app")]
pub mod models;
