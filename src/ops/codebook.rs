//! Distances to code vectors, the straight-through estimator, and EMA updates of the codebook.

use bytemuck::{Pod, Zeroable};

use super::gather::Chains;
use super::grid;
use super::reduce::sum_middle;
use crate::gpu::{Shader, shader};
use crate::tensor::{Codes, Tensor};

pub(super) static SHADER: Shader = shader!("codebook");

/// Rows per part of the codebook's gradient.
const PART: usize = 1024;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    d: u32,
    k: u32,
    part: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Ema {
    k: u32,
    d: u32,
    decay: f32,
}

#[track_caller]
fn params(z: &Tensor, codebook: &Tensor) -> (Params, Vec<usize>) {
    let [k, d] = codebook.dims();
    let mut positions = z.shape().dims().to_vec();
    assert_eq!(
        positions.pop(),
        Some(d),
        "z {:?} and codebook {:?}",
        z.shape(),
        codebook.shape()
    );
    (
        Params {
            rows: (z.count() / d) as u32,
            d: d as u32,
            k: k as u32,
            part: PART as u32,
        },
        positions,
    )
}

/// ‖z − e_k‖² for every code: `z` [.., d], `codebook` [k, d] → [.., k].
///
/// # Panics
/// If the last dimensions differ.
#[track_caller]
pub fn distances(z: &Tensor, codebook: &Tensor) -> Tensor {
    let (params, mut dims) = params(z, codebook);
    let [rows, d, k] = [params.rows, params.d, params.k].map(|v| v as usize);
    dims.push(k);
    z.gpu().count_flops(2 * rows * k * d);
    let y = Tensor::uninit(z.gpu(), dims);
    let buffers = [z.buffer(), codebook.buffer(), y.buffer()];
    z.gpu().dispatch(
        &SHADER,
        "distances",
        &[],
        &buffers,
        &params,
        grid(rows * k, 64),
    );
    let saved_z = z.detach();
    let saved_codebook = codebook.detach();
    y.with_vjp([z, codebook], move |dy, [want_z, want_codebook]| {
        let dz = want_z.then(|| {
            dy.gpu().count_flops(2 * rows * k * d);
            let dz = Tensor::uninit(dy.gpu(), saved_z.shape());
            let buffers = [
                saved_z.buffer(),
                saved_codebook.buffer(),
                dy.buffer(),
                dz.buffer(),
            ];
            dy.gpu().dispatch(
                &SHADER,
                "distances_backward_z",
                &[],
                &buffers,
                &params,
                grid(rows * d, 64),
            );
            dz
        });
        let de = want_codebook.then(|| {
            dy.gpu().count_flops(2 * rows * k * d);
            let parts = rows.div_ceil(PART);
            let partial = Tensor::uninit(dy.gpu(), [parts, k * d]);
            let buffers = [
                saved_z.buffer(),
                saved_codebook.buffer(),
                dy.buffer(),
                partial.buffer(),
            ];
            let groups = [(k * d).div_ceil(64) as u32, parts as u32, 1];
            dy.gpu().dispatch(
                &SHADER,
                "distances_backward_codebook",
                &[],
                &buffers,
                &params,
                groups,
            );
            sum_middle(&partial, [1, parts, k * d], 1.0, false).reshape([k, d])
        });
        [dz, de]
    })
}

/// The values of `quantised`, with the gradient passed to `z` unchanged (van den Oord et al. 2017).
/// This gradient is declared, not derived: the nearest code has derivative zero almost everywhere.
///
/// # Panics
/// If shapes differ.
#[track_caller]
pub fn straight_through(z: &Tensor, quantised: &Tensor) -> Tensor {
    assert_eq!(
        z.shape(),
        quantised.shape(),
        "straight_through: shapes of z and of its codes"
    );
    quantised.detach().with_vjp([z], |dy, _| [Some(dy.clone())])
}

/// Moves code vectors to the moving averages of the vectors assigned to them (van den Oord et al.
/// 2017, appendix A.1), in place: counts ← γ counts + (1 − γ) n_k, sums ← γ sums + (1 − γ) m_k,
/// codebook ← sums / counts, with γ = `decay`; n_k and m_k are number and sum of the rows of `z`
/// [.., d] whose `codes` [..] is k. `counts` `[k]` starts at 1, `sums` [k, d] as a copy of
/// `codebook` [k, d]. An unused code keeps its vector to the bit. Saved references to the codebook
/// on the tape see the new values: call this after the backward pass.
///
/// # Panics
/// If shapes do not fit, or `decay` is not in [0, 1).
#[track_caller]
pub fn codebook_ema(
    z: &Tensor,
    codes: &Codes,
    counts: &Tensor,
    sums: &Tensor,
    codebook: &Tensor,
    decay: f32,
) {
    let [k, d] = codebook.dims();
    let fits = counts.dims() == [k] && sums.dims() == [k, d] && z.shape().last() == d;
    let shapes = (z.shape(), counts.shape(), sums.shape(), codebook.shape());
    assert!(fits, "codebook_ema: z, counts, sums, codebook {shapes:?}");
    assert!(
        (0.0..1.0).contains(&decay),
        "codebook_ema: a decay of {decay}"
    );
    let chains = Chains::new(codes, k);
    let batch_counts = chains.counts();
    let batch_sums = chains.sum(z);
    let buffers = [&batch_counts, &batch_sums, counts, sums, codebook].map(Tensor::buffer);
    z.gpu().dispatch(
        &SHADER,
        "ema",
        &[],
        &buffers,
        &Ema {
            k: k as u32,
            d: d as u32,
            decay,
        },
        grid(k, 1),
    );
}
