//! Group and layer normalisation, channels last, and group normalisation with SiLU.

use bytemuck::{Pod, Zeroable};

use super::{LOOPS, grid};
use crate::gpu::{Gpu, Shader, shader};
use crate::tensor::Tensor;

pub(super) static SHADER: Shader = shader!("group_norm");
/// Without barriers: an element is one, two or four channels.
pub(super) static DIRECT: [Shader; 3] = [
    shader!("group_norm_direct"),
    shader!("group_norm_direct", ones: "pairs"),
    shader!("group_norm_direct", ones: "quads"),
];

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    batch: u32,
    hw: u32,
    channels: u32,
    groups: u32,
    eps: f32,
}

/// Group normalisation (Wu & He 2018): y = γ (x − μ_g) / √(σ²_g + ε) + β. `x` [n, hw, c] (all
/// positions in one dimension); `gamma`, `beta` `[c]`; `groups` divides c.
///
/// # Panics
/// If `groups` does not divide the channels, sizes do not fit, or a group is too large for one
/// workgroup.
#[track_caller]
pub fn group_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, groups: usize, eps: f32) -> Tensor {
    normalise(x, gamma, beta, groups, eps, false)
}

/// SiLU of [`group_norm`], in the same pass: y = u σ(u), u = γ (x − μ_g) / √(σ²_g + ε) + β. `x` [n,
/// hw, c]; `gamma`, `beta` `[c]`; `groups` divides c.
///
/// # Panics
/// As [`group_norm`].
#[track_caller]
pub fn group_norm_silu(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    groups: usize,
    eps: f32,
) -> Tensor {
    normalise(x, gamma, beta, groups, eps, true)
}

#[track_caller]
fn normalise(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    groups: usize,
    eps: f32,
    silu: bool,
) -> Tensor {
    let params = check(x, [gamma, beta], groups, eps);
    if params.direct(x.gpu()) {
        return normalise_direct(x, gamma, beta, params, silu);
    }
    let [n, hw, c] = x.dims();
    let overrides = [("SILU", u32::from(silu))];
    let y = Tensor::uninit(x.gpu(), [n, hw, c]);
    let stats = Tensor::uninit(x.gpu(), [n, groups, 2]);
    let buffers = [
        x.buffer(),
        gamma.buffer(),
        beta.buffer(),
        y.buffer(),
        stats.buffer(),
    ];
    x.gpu().dispatch(
        &SHADER,
        "forward",
        &overrides,
        &buffers,
        &params,
        grid(n * groups, 1),
    );
    let saved = [x.detach(), gamma.detach(), beta.detach()];
    y.with_vjp(
        [x, gamma, beta],
        move |dy, [want_x, want_gamma, want_beta]| {
            let [x, gamma, beta] = saved.each_ref().map(Tensor::buffer);
            let inputs = [x, gamma, beta, dy.buffer(), stats.buffer()];
            let dx = want_x.then(|| {
                let dx = Tensor::uninit(dy.gpu(), [n, hw, c]);
                let buffers = [&inputs[..], &[dx.buffer()]].concat();
                dy.gpu().dispatch(
                    &SHADER,
                    "backward_input",
                    &overrides,
                    &buffers,
                    &params,
                    grid(n * groups, 1),
                );
                dx
            });
            if !want_gamma && !want_beta {
                return [dx, None, None];
            }
            let dgamma = Tensor::uninit(dy.gpu(), [c]);
            let dbeta = Tensor::uninit(dy.gpu(), [c]);
            let buffers = [&inputs[..], &[dgamma.buffer(), dbeta.buffer()]].concat();
            dy.gpu().dispatch(
                &SHADER,
                "backward_affine",
                &overrides,
                &buffers,
                &params,
                [c as u32, 1, 1],
            );
            [dx, Some(dgamma), Some(dbeta)]
        },
    )
}

/// [`normalise`] by kernels without barriers, with several channels at a time where that is
/// possible and faster.
fn normalise_direct(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    params: Params,
    silu: bool,
) -> Tensor {
    let [n, hw, c] = x.dims();
    let overrides = [("SILU", u32::from(silu))];
    let slabs = params.slabs();
    let width = c / params.groups as usize;
    let lanes = x.gpu().has_lanes();
    let (shader, elements) = if lanes && width.is_multiple_of(4) {
        (&DIRECT[2], c / 4)
    } else if lanes && width.is_multiple_of(2) {
        (&DIRECT[1], c / 2)
    } else {
        (&DIRECT[0], c)
    };
    let params = Params {
        channels: elements as u32,
        ..params
    };
    let y = Tensor::uninit(x.gpu(), [n, hw, c]);
    let stats = Tensor::uninit(x.gpu(), [slabs, 2]);
    let buffers = [
        x.buffer(),
        gamma.buffer(),
        beta.buffer(),
        y.buffer(),
        stats.buffer(),
    ];
    x.gpu().dispatch(
        shader,
        "forward",
        &overrides,
        &buffers,
        &params,
        grid(slabs, 8),
    );
    let saved = [x.detach(), gamma.detach(), beta.detach()];
    y.with_vjp([x, gamma, beta], move |dy, [_, want_gamma, want_beta]| {
        let gpu = dy.gpu();
        let [x, gamma, beta] = saved.each_ref().map(Tensor::buffer);
        let dx = Tensor::uninit(gpu, [n, hw, c]);
        let parts = [(); 2].map(|()| Tensor::uninit(gpu, [n, c]));
        let [part_gamma, part_beta] = parts.each_ref().map(Tensor::buffer);
        let buffers = [
            x,
            gamma,
            beta,
            dy.buffer(),
            stats.buffer(),
            dx.buffer(),
            part_gamma,
            part_beta,
        ];
        gpu.dispatch(
            shader,
            "backward_input",
            &overrides,
            &buffers,
            &params,
            grid(slabs, 8),
        );
        if !want_gamma && !want_beta {
            return [Some(dx), None, None];
        }
        let dgamma = Tensor::uninit(gpu, [c]);
        let dbeta = Tensor::uninit(gpu, [c]);
        let buffers = [part_gamma, part_beta, dgamma.buffer(), dbeta.buffer()];
        gpu.dispatch(
            shader,
            "backward_affine",
            &[],
            &buffers,
            &params,
            grid(elements, 8),
        );
        [Some(dx), Some(dgamma), Some(dbeta)]
    })
}

impl Params {
    /// Groups of all samples.
    fn slabs(&self) -> usize {
        (self.batch * self.groups) as usize
    }

    /// Whether the kernels without barriers are preferred and applicable.
    fn direct(&self, gpu: &Gpu) -> bool {
        let width = self.channels / self.groups;
        let rounds = 3 * (self.hw * width) as usize;
        gpu.is_cpu() && rounds.max(self.batch as usize) <= LOOPS
    }
}

#[track_caller]
fn check(x: &Tensor, affine: [&Tensor; 2], groups: usize, eps: f32) -> Params {
    let [n, hw, c] = x.dims();
    assert!(
        groups > 0 && c % groups == 0,
        "group_norm: {c} channels do not split into {groups} groups"
    );
    let [gamma, beta] = affine.map(Tensor::shape);
    assert!(
        affine.iter().all(|t| t.dims() == [c]),
        "group_norm: x {:?}, gamma {gamma:?}, beta {beta:?}",
        x.shape()
    );
    // Three passes over a group plus two tree sums; one pass over the rows of a channel.
    let rounds = (3 * (hw * (c / groups)).div_ceil(64) + 12).max((n * hw).div_ceil(64) + 6);
    assert!(
        rounds <= LOOPS,
        "group_norm: x {:?} in {groups} groups takes {rounds} rounds of {LOOPS}",
        x.shape()
    );
    Params {
        batch: n as u32,
        hw: hw as u32,
        channels: c as u32,
        groups: groups as u32,
        eps,
    }
}

/// Layer normalisation over the last dimension: y = γ (x − μ) / √(σ² + ε) + β; `gamma`, `beta`
/// `[last]`.
///
/// # Panics
/// If sizes do not fit.
#[track_caller]
pub fn layer_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f32) -> Tensor {
    let shape = x.shape();
    let last = x.shape().last();
    group_norm(&x.reshape([x.count() / last, 1, last]), gamma, beta, 1, eps).reshape(shape)
}
