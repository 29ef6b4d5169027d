//! A GPU compute engine with hand-written WGSL kernels, and on it the system of "Diffusion bridges vector quantized
//! variational autoencoders" (Cohen et al., ICML 2022).
//!
//! # Layers
//! A module uses only what stands to its right; `tests/layers.rs` holds it to that.
//! ```text
//! cli, main → run → models → nn → ops → tensor → gpu        bridge, config, data, error, metrics, philox: leaves
//! ```
//! * [`gpu`]: the only code that says `wgpu`: adapters, memory, recording, reading back, timing.
//! * [`tensor`]: `Tensor` (f32) and `Codes` (u32), and the tape that differentiates.
//! * [`ops`]: one file per kernel family, each the Rust side of `shaders/<stem>.wgsl`.
//! * [`nn`]: parameters, initialisation, Adam, checkpoints.
//! * [`models`]: the paper's models and samplers. No index arithmetic, no kernel names.
//! * [`run`]: what the commands do. Alone in printing, and but for profiler and tuner in looking at the clock.
//! * [`bridge`]: the Ornstein-Uhlenbeck bridge in f64. [`philox`]: random numbers. [`data`]: data sets on the host.
//!   [`metrics`]: how far samples are from data.
//! * [`kernels_test`]: the definitions of all ops in f64, their cases, and the check that compares. Of the layers only
//!   `run` may use it, for `dbvq-wgpu conformance`.
//!
//! # Invariants
//! * Tensors are contiguous, row-major, f32 (`Codes`: u32). No views, no strides; a new layout is an op.
//! * Activations are channels-last.
//! * Kernels need nothing beyond WebGPU's default limits (8 storage buffers an entry point, 256 invocations, 16 KiB of
//!   workgroup memory) and 128 bytes of immediates.
//! * No float atomics: the same adapter gives the same bits twice. (Which of several kernels makes a product may be measured
//!   there once, and is then kept.)
//! * No dispatch reads and writes one buffer through two bindings.
//! * Shader text is never edited at run time; only `#import` is resolved, by appending. Variants are `override` constants.
//! * Nothing waits for the GPU except reading back, profiler and tuner, and a submit that would be the third in flight.
//! * Randomness is Philox(seed, step, stream, index): the same bits on every vendor, so a resume is one integer.
//! * No invocation loops more than about 60,000 times: one driver silently stops there.
//!
//! # Where to start
//! Follow one training step: [`run::train`] → [`models::dbvq`] → [`ops`] → [`tensor`] → [`gpu`]. To add a kernel,
//! write `shaders/x.wgsl`, `src/ops/x.rs` and `kernels_test/ops/x.rs`, and name it in the two `mod.rs` files.

// What prints goes on where nobody reads: `say!` and `note!` of `run`.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

pub mod bridge;
pub mod cli;
pub mod config;
pub mod data;
pub mod error;
pub mod gpu;
#[path = "../kernels_test/mod.rs"]
pub mod kernels_test;
pub mod metrics;
pub mod models;
pub mod nn;
pub mod ops;
pub mod philox;
pub mod run;
pub mod tensor;
