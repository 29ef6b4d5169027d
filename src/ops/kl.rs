//! Kullback-Leibler divergence of distributions given by logits.

use bytemuck::{Pod, Zeroable};

use super::{LOOPS, grid};
use crate::gpu::{Shader, shader};
use crate::tensor::Tensor;

pub(super) static SHADER: Shader = shader!("kl");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    k: u32,
}

/// KL(P ‖ Q) = Σ P (log P − log Q) in nats, where P = softmax(`p`) and Q = softmax(`q`) over the
/// last dimension: `p`, `q` [.., k] → [..]. Never negative.
///
/// # Panics
/// If shapes differ, or a row has over 20,000 entries.
#[track_caller]
pub fn kl_divergence(p: &Tensor, q: &Tensor) -> Tensor {
    assert_eq!(p.shape(), q.shape(), "kl_divergence: shapes of the laws");
    let shape = p.shape();
    let k = p.shape().last();
    let gpu = p.gpu();
    let outer = &shape.dims()[..shape.dims().len().saturating_sub(1)];
    // One invocation passes over a row three times.
    assert!(
        3 * k <= LOOPS,
        "kl_divergence: {k} entries a row; there may be {}",
        LOOPS / 3
    );
    let params = Params {
        rows: (p.count() / k) as u32,
        k: k as u32,
    };
    let kl = Tensor::uninit(gpu, outer);
    let norms = Tensor::uninit(gpu, [params.rows as usize, 4]);
    let buffers = [p.buffer(), q.buffer(), norms.buffer(), kl.buffer()];
    gpu.dispatch(
        &SHADER,
        "forward",
        &[],
        &buffers,
        &params,
        grid(params.rows as usize, 64),
    );
    let saved_p = p.detach();
    let saved_q = q.detach();
    let saved = kl.clone();
    kl.with_vjp([p, q], move |dy, _| {
        let dp = Tensor::uninit(dy.gpu(), shape);
        let dq = Tensor::uninit(dy.gpu(), shape);
        let inputs = [
            saved_p.buffer(),
            saved_q.buffer(),
            norms.buffer(),
            saved.buffer(),
            dy.buffer(),
        ];
        let buffers = [&inputs[..], &[dp.buffer(), dq.buffer()]].concat();
        dy.gpu().dispatch(
            &SHADER,
            "backward",
            &[],
            &buffers,
            &params,
            grid(shape.count(), 64),
        );
        [Some(dp), Some(dq)]
    })
}
