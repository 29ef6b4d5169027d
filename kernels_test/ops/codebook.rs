//! Distances to code vectors, and codebooks as moving averages.

use super::{Case, Input, Real};
use crate::gpu::Gpu;
use crate::ops;
use crate::tensor::{Codes, Tensor};

pub fn cases(list: &mut Vec<Case>) {
    for (rows, k, d) in [
        (1, 1, 1),
        (13, 8, 2),
        (65, 5, 3),
        (1500, 7, 4),
        (3, 1024, 128),
    ] {
        list.push(Case::new(
            "code_distances",
            format!("[{rows}, {d}] to {k}"),
            vec![Input::normal(&[rows, d]), Input::normal(&[k, d])],
            |_, x| ops::distances(&x[0], &x[1]),
            move |x| {
                (0..rows * k)
                    .map(|at| squared(x, at / k, at % k, d))
                    .collect()
            },
        ));
    }
    // The declared gradient of the straight-through estimator: the identity.
    list.push(Case::new(
        "straight_through",
        "[7, 3]",
        vec![Input::normal(&[7, 3]), Input::normal(&[7, 3]).constant()],
        |_, x| ops::straight_through(&x[0], &x[1]),
        |x| {
            x[0].iter()
                .zip(&x[1])
                .map(|(z, q)| Real {
                    tangent: z.tangent,
                    ..*q
                })
                .collect()
        },
    ));
    for (rows, k, d) in [
        (1, 1, 1),
        (13, 8, 2),
        (441, 128, 32),
        (150, 7, 130),
        (300, 5, 1),
    ] {
        for (which, name) in ["counts", "sums", "codebook"].into_iter().enumerate() {
            // Inputs are the vectors of three steps, the sums and the codebook. Counts start at
            // different values.
            let inputs =
                [&[3, rows, d][..], &[k, d], &[k, d]].map(|dims| Input::normal(dims).constant());
            list.push(Case::new(
                "codebook_ema",
                format!("[{rows}, {d}] to {k}: {name}"),
                [
                    inputs.as_slice(),
                    &[Input::uniform(&[k], 0.5, 2.0).constant()],
                ]
                .concat(),
                move |gpu, x| ema(gpu, x, [rows, k, d])[which].clone(),
                move |x| define_ema(x, [rows, k, d]).swap_remove(which),
            ));
        }
    }
    // Codes 1 to 3 are never hit: code 1's count would fall below the smallest normal number in
    // step 171.
    list.push(Case::new(
        "codebook_ema",
        "unhit codes keep their places over 200 steps",
        vec![Input::normal(&[4, 5]).constant()],
        |gpu, x| {
            let copy = || Tensor::from_slice(gpu, &x[0].to_vec(), [4, 5]);
            let counts = Tensor::from_slice(gpu, &[1.0, 1.0, 1e-20, 0.0], [4]);
            let sums = copy();
            let codebook = copy();
            let z = Tensor::zeros(gpu, [3, 5]);
            let codes = Codes::from_slice(gpu, &[0; 3], [3]);
            for _ in 0..200 {
                ops::codebook_ema(&z, &codes, &counts, &sums, &codebook, 0.6);
            }
            codebook
        },
        |x| {
            (0..20)
                .map(|at| if at < 5 { Real::default() } else { x[0][at] })
                .collect()
        },
    ));
}

const DECAY: f32 = 0.75;

/// Some codes occur twice in a row; for k > 2 the last code never occurs in steps 1 and 2.
fn code(step: usize, row: usize, k: usize) -> usize {
    let used = if step == 0 || k < 3 { k } else { k - 1 };
    (row / 2 * 7 + row / 3 + step) % used
}

/// Counts, sums and codebook after three steps.
fn ema(gpu: &Gpu, x: &[Tensor], [rows, k, d]: [usize; 3]) -> [Tensor; 3] {
    let copy = |t: &Tensor| Tensor::from_slice(gpu, &t.to_vec(), t.shape());
    let [counts, sums, codebook] = [&x[3], &x[1], &x[2]].map(copy);
    for (step, z) in x[0].to_vec().chunks(rows * d).enumerate() {
        let codes: Vec<u32> = (0..rows).map(|row| code(step, row, k) as u32).collect();
        let z = Tensor::from_slice(gpu, z, [rows, d]);
        let codes = Codes::from_slice(gpu, &codes, [rows]);
        ops::codebook_ema(&z, &codes, &counts, &sums, &codebook, DECAY);
    }
    [counts, sums, codebook]
}

fn define_ema(x: &[Vec<Real>], [rows, k, d]: [usize; 3]) -> Vec<Vec<Real>> {
    let [mut counts, mut sums, mut codebook] = [&x[3], &x[1], &x[2]].map(Clone::clone);
    let decay = Real::constant(f64::from(DECAY));
    let mix = |old: Real, new: Real| decay * old + (Real::constant(1.0) - decay) * new;
    for (step, z) in x[0].chunks(rows * d).enumerate() {
        for (entry, count) in counts.iter_mut().enumerate() {
            let hits: Vec<usize> = (0..rows)
                .filter(|&row| code(step, row, k) == entry)
                .collect();
            *count = mix(*count, Real::constant(hits.len() as f64));
            for column in 0..d {
                let at = entry * d + column;
                sums[at] = mix(
                    sums[at],
                    Real::sum(hits.iter().map(|row| z[row * d + column])),
                );
                if !hits.is_empty() {
                    codebook[at] = sums[at] / *count;
                }
            }
        }
    }
    vec![counts, sums, codebook]
}

fn squared(x: &[Vec<Real>], row: usize, code: usize, d: usize) -> Real {
    Real::sum(
        (0..d)
            .map(|i| x[0][row * d + i] - x[1][code * d + i])
            .map(|v| v * v),
    )
}
