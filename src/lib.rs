//! A GPU compute engine with hand-written WGSL kernels, and on it the system of "Diffusion bridges
//! vector quantized variational autoencoders" (Cohen et al., ICML 2022).
//!
//! # Layers
//! A module uses only modules to its right; `tests/layers.rs` enforces it.
//! ```text
//! main → commands → conformance → evaluate → experiment → models → nn → ops → tensor → gpu
//! leaves: report, bridge, config, data, metrics, philox, number, error
//! ```
//! * [`gpu`]: the only code that uses `wgpu`: adapters, memory, recording, readback, timing.
//! * [`tensor`]: `Tensor` (f32) and `Codes` (u32), and the autodiff tape.
//! * [`ops`]: one file per kernel family, each the Rust side of `shaders/<stem>.wgsl`.
//! * [`nn`]: parameters, initialisation, Adam, checkpoints.
//! * [`models`]: the paper's models and samplers. No index arithmetic, no kernel names.
//! * [`experiment`]: a run: its directory, the training loop, the stages, sampling from a trained
//!   run.
//! * [`evaluate`]: one file per metric of a trained run; [`metrics`] has the formulas.
//! * [`conformance`]: runs [`kernels_test`] on every adapter in supervised processes and reports on
//!   it.
//! * [`commands`]: the flags and the action of each command.
//! * [`report`]: console lines, tables, plots and files. [`bridge`]: the Ornstein-Uhlenbeck bridge
//!   in f64. [`philox`]: random numbers. [`data`]: data sets on the host.
//! * [`kernels_test`]: the f64 reference of every op, its test cases and the comparison.
//!
//! # Invariants
//! * Tensors are contiguous, row-major, f32 (`Codes`: u32). No views, no strides; a new layout is
//!   an op.
//! * Activations are channels-last.
//! * Kernels need nothing beyond WebGPU's default limits (8 storage buffers an entry point, 256
//!   invocations, 16 KiB of workgroup memory) and 128 bytes of immediates.
//! * No float atomics: the same adapter gives the same bits twice. (Which of several kernels
//!   computes a product may be chosen once per adapter by timing, and is then kept.)
//! * No dispatch reads and writes one buffer through two bindings.
//! * Shader text is never edited at run time; only `#import` is resolved, by appending. Variants
//!   are `override` constants.
//! * Nothing waits for the GPU except readback, the profiler, the tuner, and a submit that would be
//!   the third in flight.
//! * Randomness is Philox(seed, step, stream, index): the same bits on every vendor, so resuming
//!   takes one integer.
//! * No invocation loops more than about 60,000 times: one driver silently stops there.
//!
//! # Where to start
//! Follow one training step: [`experiment::train`] → [`models::toy`] → [`ops`] → [`tensor`] →
//! [`gpu`]. To add a kernel, write `shaders/x.wgsl`, `src/ops/x.rs` and `kernels_test/ops/x.rs`,
//! and name it in the two `mod.rs` files.

// `say!` and `note!` of `report::console` do not panic if nobody reads.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

// First, for its macros.
#[macro_use]
pub mod report;

pub mod bridge;
pub mod commands;
pub mod config;
pub mod conformance;
pub mod data;
pub mod error;
pub mod evaluate;
pub mod experiment;
pub mod gpu;
#[path = "../kernels_test/mod.rs"]
pub mod kernels_test;
pub mod metrics;
pub mod models;
pub mod nn;
pub mod number;
pub mod ops;
pub mod philox;
pub mod tensor;
