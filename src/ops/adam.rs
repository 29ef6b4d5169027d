//! Optimiser steps on arenas: flat buffers that hold many tensors one after another.

use bytemuck::{Pod, Zeroable};

use super::{grid, squared_norm};
use crate::gpu::{Buffer, Gpu, Shader, variants};
use crate::tensor::Tensor;

pub(super) static VARIANTS: [Shader; 2] = variants!("adam");

/// Gradients that one `collect` dispatch copies: 8 storage buffers minus the arena's.
const SOURCES: usize = 7;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Collect {
    ends: [u32; SOURCES],
    starts: [u32; SOURCES],
    total: u32,
}

/// Gradients with at least so many elements are copied on their own: a kernel that selects among
/// several would cost more than one copy.
const LARGE: usize = 1 << 14;

/// Copies each gradient to its offset (in elements) in the flat `arena`.
pub fn collect(gpu: &Gpu, arena: &Tensor, grads: &[(usize, Tensor)]) {
    let (large, small): (Vec<_>, Vec<_>) =
        grads.iter().partition(|(_, grad)| grad.count() >= LARGE);
    for (start, grad) in large {
        gpu.copy(grad.buffer(), arena.buffer(), 4 * *start as u64);
    }
    for group in small.chunks(SOURCES) {
        let mut params = Collect {
            ends: [u32::MAX; SOURCES],
            starts: [0; SOURCES],
            total: 0,
        };
        for (i, (start, grad)) in group.iter().enumerate() {
            params.total += grad.count() as u32;
            (params.ends[i], params.starts[i]) = (params.total, *start as u32);
        }
        let mut buffers: Vec<&Buffer> = group.iter().map(|(_, g)| g.buffer()).collect();
        let first = buffers[0];
        buffers.resize(SOURCES, first);
        buffers.push(arena.buffer());
        gpu.dispatch(
            &VARIANTS[0],
            "collect",
            &[],
            &buffers,
            &params,
            grid(params.total as usize, 64),
        );
    }
}

/// The global norm of the gradients and the factor that clips it: a tensor `[2]` = (‖g‖, factor).
pub struct Clip(pub Tensor);

/// Global norm over all gradient `arenas`; the factor is min(1, limit/‖g‖), or 1 if `limit` is 0.
pub fn clip(gpu: &Gpu, arenas: &[Tensor], limit: f32) -> Clip {
    #[repr(C)]
    #[derive(Clone, Copy, Pod, Zeroable)]
    struct ClipParams {
        parts: u32,
        limit: f32,
    }
    let squares = Tensor::uninit(gpu, [arenas.len()]);
    let parts: Vec<(usize, Tensor)> = arenas
        .iter()
        .enumerate()
        .map(|(i, g)| (i, squared_norm(g).reshape([1])))
        .collect();
    collect(gpu, &squares, &parts);
    let result = Tensor::uninit(gpu, [2]);
    let params = ClipParams {
        parts: arenas.len() as u32,
        limit,
    };
    gpu.dispatch(
        &VARIANTS[0],
        "clip",
        &[],
        &[squares.buffer(), result.buffer()],
        &params,
        [1, 1, 1],
    );
    Clip(result)
}

/// Parameters of one Adam step.
#[derive(Clone, Copy, Debug)]
pub struct AdamStep {
    /// Learning rate of this step.
    pub lr: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the square root of the second moment.
    pub eps: f32,
    /// Decoupled weight decay (AdamW).
    pub weight_decay: f32,
    /// Number of this step, from 1, for the bias correction.
    pub step: u32,
    /// Decay of the exponential moving average of the weights.
    pub ema: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct AdamParams {
    count: u32,
    lr: f32,
    beta1: f32,
    beta2: f32,
    eps: f32,
    decay: f32,
    correction1: f32,
    correction2: f32,
    ema: f32,
}

/// One Adam step, in place, on flat tensors of equal size: weights, first and second moments,
/// moving average of the weights.
///
/// # Panics
/// If sizes differ or are not multiples of four.
#[track_caller]
pub fn adam(
    grad: &Tensor,
    clip: &Clip,
    [weight, first, second, average]: [&Tensor; 4],
    step: AdamStep,
) {
    let count = weight.count();
    let same = [grad, first, second, average]
        .iter()
        .all(|t| t.count() == count);
    assert!(
        same,
        "adam: arenas of different sizes, weights {:?} and gradients {:?}",
        weight.shape(),
        grad.shape()
    );
    assert_eq!(
        count % 4,
        0,
        "adam: {:?} is not of whole vec4s",
        weight.shape()
    );
    let power = |beta: f32| (1.0 / (1.0 - f64::from(beta).powi(step.step as i32))) as f32;
    let elements = count / 4;
    let params = AdamParams {
        count: elements as u32,
        lr: step.lr,
        beta1: step.beta1,
        beta2: step.beta2,
        eps: step.eps,
        decay: step.weight_decay,
        correction1: power(step.beta1),
        correction2: power(step.beta2),
        ema: step.ema,
    };
    let buffers = [grad, &clip.0, weight, first, second, average].map(Tensor::buffer);
    grad.gpu().dispatch(
        grad.gpu().form(&VARIANTS),
        "adam",
        &[],
        &buffers,
        &params,
        grid(elements, 64),
    );
}

/// decay · a + (1 − decay) · b; has no gradient.
///
/// # Panics
/// If shapes differ.
#[track_caller]
pub fn ema(a: &Tensor, b: &Tensor, decay: f32) -> Tensor {
    #[repr(C)]
    #[derive(Clone, Copy, Pod, Zeroable)]
    struct EmaParams {
        count: u32,
        decay: f32,
    }
    assert_eq!(a.shape(), b.shape(), "ema: shapes of both sides");
    let y = Tensor::uninit(a.gpu(), a.shape());
    let params = EmaParams {
        count: a.count() as u32,
        decay,
    };
    a.gpu().dispatch(
        &VARIANTS[0],
        "ema",
        &[],
        &[a.buffer(), b.buffer(), y.buffer()],
        &params,
        grid(a.count(), 64),
    );
    y
}
