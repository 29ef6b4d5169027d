//! The Ornstein-Uhlenbeck bridge on tensors: forward marginal, fused reverse step, DPM++(2M)
//! update.
//!
//! Coefficients come from [`crate::bridge`] in f64. The target z* has one entry, or one per channel
//! (the last dimension).

use bytemuck::{Pod, Zeroable};

use super::grid;
use super::random::StreamWords;
use crate::bridge::{Affine, Multistep, Step};
use crate::gpu::{Shader, shader};
use crate::philox::Stream;
use crate::tensor::Tensor;

pub(super) static SHADER: Shader = shader!("ou_step");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct MarginalParams {
    count: u32,
    per_sample: u32,
    channels: u32,
    targets: u32,
}

/// `z_t = z* + signal[n] (z_0 − z*) + noise[n] ε`: `z0`, `eps` [n, .., c]; `coefficients` [n, 2] =
/// (signal, noise) at each sample's level t; `target` `[1]` or `[c]`.
///
/// # Panics
/// If shapes do not fit.
#[track_caller]
pub fn marginal(z0: &Tensor, eps: &Tensor, target: &Tensor, coefficients: &Tensor) -> Tensor {
    check(z0, eps, target);
    let [n, two] = coefficients.dims();
    assert!(
        two == 2 && z0.shape().dims()[0] == n,
        "marginal: z0 {:?} and coefficients {:?}",
        z0.shape(),
        coefficients.shape()
    );
    let per_sample = z0.count() / n;
    let params = MarginalParams {
        count: z0.count() as u32,
        per_sample: per_sample as u32,
        channels: z0.shape().last() as u32,
        targets: target.count() as u32,
    };
    let zt = Tensor::uninit(z0.gpu(), z0.shape());
    let buffers = [
        z0.buffer(),
        eps.buffer(),
        target.buffer(),
        coefficients.buffer(),
        zt.buffer(),
    ];
    z0.gpu().dispatch(
        &SHADER,
        "marginal",
        &[],
        &buffers,
        &params,
        grid(z0.count().div_ceil(4), 64),
    );
    let saved = coefficients.detach();
    zt.with_vjp([z0], move |dy, _| {
        let dz0 = Tensor::uninit(dy.gpu(), dy.shape());
        let buffers = [dy.buffer(), saved.buffer(), dz0.buffer()];
        dy.gpu().dispatch(
            &SHADER,
            "marginal_backward",
            &[],
            &buffers,
            &params,
            grid(dz0.count().div_ceil(4), 64),
        );
        [Some(dz0)]
    })
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct StepParams {
    count: u32,
    channels: u32,
    targets: u32,
    c: [f32; 4],
    stream: StreamWords,
}

/// The fused reverse step z_s = c0 z_t + c1 ε + c2 ξ + c3 z*, with ξ ~ N(0, I) drawn in the kernel.
///
/// # Panics
/// If shapes do not fit.
#[track_caller]
pub fn step(z: &Tensor, eps: &Tensor, target: &Tensor, step: Step, stream: Stream) -> Tensor {
    fused(z, eps, None, target, step, stream)
}

/// [`step`] with the noise given, for comparison with other programs.
///
/// # Panics
/// If shapes do not fit.
#[track_caller]
pub fn step_given(z: &Tensor, eps: &Tensor, xi: &Tensor, target: &Tensor, step: Step) -> Tensor {
    check(z, xi, target);
    fused(
        z,
        eps,
        Some(xi),
        target,
        step,
        Stream {
            seed: 0,
            step: 0,
            stream: 0,
            first: 0,
        },
    )
}

#[track_caller]
fn fused(
    z: &Tensor,
    eps: &Tensor,
    xi: Option<&Tensor>,
    target: &Tensor,
    step: Step,
    stream: Stream,
) -> Tensor {
    check(z, eps, target);
    let params = StepParams {
        count: z.count() as u32,
        channels: z.shape().last() as u32,
        targets: target.count() as u32,
        c: [step.c0, step.c1, step.c2, step.c3].map(|c| c as f32),
        stream: stream.into(),
    };
    let out = Tensor::uninit(z.gpu(), z.shape());
    let buffers = [
        z.buffer(),
        eps.buffer(),
        xi.unwrap_or(eps).buffer(),
        target.buffer(),
        out.buffer(),
    ];
    let overrides = [("DRAW", u32::from(xi.is_none()))];
    z.gpu().dispatch(
        &SHADER,
        "step",
        &overrides,
        &buffers,
        &params,
        grid(z.count().div_ceil(4), 64),
    );
    out
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct MultistepParams {
    count: u32,
    channels: u32,
    targets: u32,
    c_z: f32,
    c_now: f32,
    c_prev: f32,
    zhat_z: f32,
    zhat_eps: f32,
}

/// One DPM++(2M) update: returns (z_s, ẑ_0); pass ẑ_0 as `previous` to the next step. `estimate`
/// turns (z_t, network output) into ẑ_0.
///
/// # Panics
/// If shapes do not fit.
#[track_caller]
pub fn multistep(
    z: &Tensor,
    eps: &Tensor,
    previous: &Tensor,
    target: &Tensor,
    c: Multistep,
    estimate: Affine,
) -> (Tensor, Tensor) {
    check(z, eps, target);
    check(z, previous, target);
    let params = MultistepParams {
        count: z.count() as u32,
        channels: z.shape().last() as u32,
        targets: target.count() as u32,
        c_z: c.z as f32,
        c_now: c.now as f32,
        c_prev: c.previous as f32,
        zhat_z: estimate.z as f32,
        zhat_eps: estimate.net as f32,
    };
    let out = Tensor::uninit(z.gpu(), z.shape());
    let zhat = Tensor::uninit(z.gpu(), z.shape());
    let buffers = [
        z.buffer(),
        eps.buffer(),
        target.buffer(),
        previous.buffer(),
        out.buffer(),
        zhat.buffer(),
    ];
    z.gpu().dispatch(
        &SHADER,
        "dpmpp2m",
        &[],
        &buffers,
        &params,
        grid(z.count().div_ceil(4), 64),
    );
    (out, zhat)
}

#[track_caller]
fn check(z: &Tensor, other: &Tensor, target: &Tensor) {
    assert_eq!(
        z.shape(),
        other.shape(),
        "OU step: shapes of z and of what goes with it"
    );
    let fits = target.count() == 1 || target.count() == z.shape().last();
    assert!(
        fits,
        "OU step: target {:?} for z {:?}",
        target.shape(),
        z.shape()
    );
}
