//! Softmax, log-softmax, cross-entropy over the last dimension, and the Gumbel-softmax relaxation.

use bytemuck::{Pod, Zeroable};

use super::{LOOPS, add, grid};
use crate::gpu::{Shader, variants};
use crate::tensor::{Codes, Tensor};

pub(super) static VARIANTS: [Shader; 3] = variants!("softmax", "ones");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    k: u32,
    scale: f32,
    valid_len: u32,
    period: u32,
    causal_offset: u32,
}

impl Params {
    #[track_caller]
    fn of(x: &Tensor, scale: f32) -> Params {
        let k = x.shape().last();
        // One invocation passes over a row three times.
        assert!(
            3 * k <= LOOPS,
            "softmax: {k} entries a row; there may be {}",
            LOOPS / 3
        );
        let rows = (x.count() / k) as u32;
        let k = k as u32;
        Params {
            rows,
            k,
            scale,
            valid_len: k,
            period: 1,
            causal_offset: k,
        }
    }
}

/// softmax(scale · x) over the last dimension.
///
/// # Panics
/// If a row has over 20,000 entries.
#[track_caller]
pub fn softmax(x: &Tensor, scale: f32) -> Tensor {
    normalise(x, Params::of(x, scale), false)
}

/// log softmax(scale · x) over the last dimension.
///
/// # Panics
/// If a row has over 20,000 entries.
#[track_caller]
pub fn log_softmax(x: &Tensor, scale: f32) -> Tensor {
    normalise(x, Params::of(x, scale), true)
}

/// softmax(scale · x) of each row's first `valid_len` entries, zeros after them: `x` [n, rows, k].
/// If `causal`, row i sees at most its first i + 1 entries.
#[track_caller]
pub(super) fn softmax_of_valid(x: &Tensor, scale: f32, valid_len: usize, causal: bool) -> Tensor {
    let [_, rows, _] = x.dims();
    let all = Params::of(x, scale);
    let (period, causal_offset) = if causal { (rows as u32, 1) } else { (1, all.k) };
    normalise(
        x,
        Params {
            valid_len: valid_len as u32,
            period,
            causal_offset,
            ..all
        },
        false,
    )
}

fn normalise(x: &Tensor, params: Params, log: bool) -> Tensor {
    let y = Tensor::uninit(x.gpu(), x.shape());
    let overrides = [("LOG", u32::from(log))];
    let groups = grid(params.rows as usize, 64);
    let (shader, _) = x.gpu().form_of(&VARIANTS, &[params.k as usize]);
    x.gpu().dispatch(
        shader,
        "forward",
        &overrides,
        &[x.buffer(), y.buffer()],
        &params,
        groups,
    );
    let saved = y.clone();
    y.with_vjp([x], move |dy, _| {
        let dx = Tensor::uninit(dy.gpu(), dy.shape());
        let buffers = [saved.buffer(), dy.buffer(), dx.buffer()];
        dy.gpu()
            .dispatch(shader, "backward", &overrides, &buffers, &params, groups);
        [Some(dx)]
    })
}

/// −log softmax(logits)`[target]` per row: `logits` [n, k], `target` `[n]` → `[n]`, in nats.
///
/// # Panics
/// If the numbers of rows differ, or a row has over 20,000 entries.
#[track_caller]
pub fn cross_entropy(logits: &Tensor, target: &Codes) -> Tensor {
    let [n, _] = logits.dims();
    let params = Params::of(logits, 1.0);
    assert_eq!(
        target.count(),
        n,
        "cross_entropy: logits {:?} and targets {:?}",
        logits.shape(),
        target.shape()
    );
    let loss = Tensor::uninit(logits.gpu(), [n]);
    let groups = grid(n, 64);
    let buffers = [logits.buffer(), target.buffer(), loss.buffer()];
    logits.gpu().dispatch(
        &VARIANTS[0],
        "cross_entropy",
        &[],
        &buffers,
        &params,
        groups,
    );
    let saved = logits.detach();
    let target = target.clone();
    loss.with_vjp([logits], move |dy, _| {
        let dx = Tensor::uninit(dy.gpu(), saved.shape());
        let buffers = [saved.buffer(), dy.buffer(), target.buffer(), dx.buffer()];
        dy.gpu().dispatch(
            &VARIANTS[0],
            "cross_entropy_backward",
            &[],
            &buffers,
            &params,
            groups,
        );
        [Some(dx)]
    })
}

/// A relaxed sample of softmax(logits): softmax((logits + G)/τ), where `gumbel` holds independent
/// Gumbel(0, 1) numbers G of the same shape (Jang et al. 2017). τ affects only the relaxation; the
/// distribution is that of the logits.
///
/// # Panics
/// If shapes differ.
#[track_caller]
pub fn gumbel_softmax(logits: &Tensor, gumbel: &Tensor, tau: f32) -> Tensor {
    assert_eq!(
        logits.shape(),
        gumbel.shape(),
        "gumbel_softmax: shapes of logits and noise"
    );
    softmax(&add(logits, gumbel), 1.0 / tau)
}
