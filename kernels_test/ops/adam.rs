//! Optimiser steps: several Adam steps in a row over an arena, clipping, running averages.

use super::{Case, Input, Real};
use crate::ops::{self, AdamStep};
use crate::tensor::Tensor;

const STEP: AdamStep = AdamStep {
    lr: 1e-2,
    beta1: 0.9,
    beta2: 0.99,
    eps: 1e-8,
    weight_decay: 1e-2,
    step: 0,
    ema: 0.999,
};

/// Limit on the gradient norm, which clips all but the smallest arenas.
const LIMIT: f32 = 2.0;

pub fn cases(list: &mut Vec<Case>) {
    for count in [4, 60, 64, 68, 1032] {
        for (which, name) in ["weights", "first moment", "second moment", "average"]
            .into_iter()
            .enumerate()
        {
            // Gradients of three steps, then the weights.
            list.push(Case::new(
                "adam",
                format!("[{count}] {name}"),
                vec![
                    Input::normal(&[3, count]).constant(),
                    Input::normal(&[count]).constant(),
                ],
                move |gpu, x| adam(gpu, x, which),
                move |x| {
                    let exact = |v: f32| Real::constant(f64::from(v));
                    let numbers = [
                        STEP.lr,
                        STEP.beta1,
                        STEP.beta2,
                        STEP.eps,
                        STEP.weight_decay,
                        STEP.ema,
                    ]
                    .map(exact);
                    let limited = |norm: Real| {
                        if norm.value > f64::from(LIMIT) {
                            exact(LIMIT) / norm
                        } else {
                            Real::constant(1.0)
                        }
                    };
                    let start = [
                        x[1].clone(),
                        vec![Real::default(); count],
                        vec![Real::default(); count],
                    ];
                    define(&x[0], start, numbers, 0, limited)[which].clone()
                },
            ));
        }
        list.push(Case::new(
            "ema",
            format!("[{count}]"),
            vec![
                Input::normal(&[count]).constant(),
                Input::normal(&[count]).constant(),
            ],
            |_, x| ops::ema(&x[0], &x[1], 0.75),
            |x| {
                x[0].iter()
                    .zip(&x[1])
                    .map(|(&a, &b)| Real::constant(0.75) * a + Real::constant(0.25) * b)
                    .collect()
            },
        ));
    }
    // The second has a gradient that is copied by a dispatch of its own.
    for (name, sizes) in [
        ("nine gradients", &[1, 3, 64, 65, 7, 130, 2, 31, 100][..]),
        ("a large one", &[5, 20_001, 64]),
    ] {
        let length = sizes
            .iter()
            .map(|&n: &usize| n.next_multiple_of(64))
            .sum::<usize>()
            + 64;
        list.push(Case::new(
            "collect",
            name,
            sizes
                .iter()
                .map(|&n| Input::normal(&[n]).constant())
                .collect(),
            move |gpu, x| {
                let arena = Tensor::zeros(gpu, [length]);
                let mut start = 0;
                let mut places = Vec::new();
                for grad in x {
                    places.push((start, grad.clone()));
                    start += grad.count().next_multiple_of(64);
                }
                ops::collect(gpu, &arena, &places);
                arena
            },
            move |x| {
                let mut arena: Vec<Real> = Vec::new();
                for grad in x {
                    arena.extend(grad);
                    arena.resize(arena.len().next_multiple_of(64), Real::default());
                }
                arena.resize(length, Real::default());
                arena
            },
        ));
    }
    // Nine gradients of odd sizes take two dispatches; the norm is over two arenas.
    let sizes: Vec<usize> = vec![1, 3, 64, 65, 7, 130, 2, 31, 1000];
    for limit in [0.0, 1.0, 1e6] {
        let inputs = sizes
            .iter()
            .map(|&n| Input::normal(&[n]).constant())
            .collect();
        list.push(Case::new(
            "clip",
            format!("limit {limit}"),
            inputs,
            move |gpu, x| clip(gpu, x, limit),
            move |x| {
                let norm = Real::sum(x.iter().flatten().map(|&v| v * v)).sqrt();
                let over = limit > 0.0 && norm.value > f64::from(limit);
                vec![
                    norm,
                    if over {
                        Real::constant(f64::from(limit)) / norm
                    } else {
                        Real::constant(1.0)
                    },
                ]
            },
        ));
    }
}

fn adam(gpu: &crate::gpu::Gpu, x: &[Tensor], which: usize) -> Tensor {
    let count = x[1].count();
    let all = x[0].to_vec();
    let copy = || Tensor::from_slice(gpu, &x[1].to_vec(), [count]);
    let state = [
        copy(),
        Tensor::zeros(gpu, [count]),
        Tensor::zeros(gpu, [count]),
        copy(),
    ];
    for step in 1..=3 {
        let grad = Tensor::from_slice(gpu, &all[(step - 1) * count..step * count], [count]);
        let clip = ops::clip(gpu, std::slice::from_ref(&grad), LIMIT);
        ops::adam(
            &grad,
            &clip,
            state.each_ref(),
            AdamStep {
                step: step as u32,
                ..STEP
            },
        );
    }
    state[which].clone()
}

/// Weights, both moments and the average after the steps whose gradients are concatenated in
/// `grads`, following `done` earlier steps. `numbers` are lr, β₁, β₂, ε, weight decay and the
/// average's decay; `factor` maps the norm of a step's gradient to its clipping factor.
pub(crate) fn define(
    grads: &[Real],
    [mut w, mut m, mut v]: [Vec<Real>; 3],
    [lr, beta1, beta2, eps, decay, ema]: [Real; 6],
    done: i32,
    factor: impl Fn(Real) -> Real,
) -> [Vec<Real>; 4] {
    let one = Real::constant(1.0);
    let count = w.len();
    let mut average = w.clone();
    for (grad, step) in grads.chunks(count).zip(done + 1..) {
        let clip = factor(Real::sum(grad.iter().map(|&v| v * v)).sqrt());
        let correct1 = correction(beta1, step);
        let correct2 = correction(beta2, step);
        for (i, &g) in grad.iter().enumerate() {
            let g = g * clip;
            m[i] = beta1 * m[i] + (one - beta1) * g;
            v[i] = beta2 * v[i] + (one - beta2) * g * g;
            // The root has no derivative at 0, and none is needed.
            let second = v[i] * correct2;
            let root = if second.value == 0.0 {
                second
            } else {
                second.sqrt()
            };
            w[i] = w[i] - lr * ((m[i] * correct1) / (root + eps) + decay * w[i]);
            average[i] = ema * average[i] + (one - ema) * w[i];
        }
    }
    [w, m, v, average]
}

/// 1/(1 − βᵗ), which the host computes in f64 from a β in f32.
fn correction(beta: Real, step: i32) -> Real {
    let power = beta.value.powi(step);
    let value = 1.0 / (1.0 - power);
    let carried = f64::from(step) * beta.value.powi(step - 1) * value * value;
    let rounding = Real::rounded(value);
    Real {
        bound: rounding.bound + carried * beta.bound,
        likely: rounding.likely + carried * beta.likely,
        ..rounding
    }
}

fn clip(gpu: &crate::gpu::Gpu, x: &[Tensor], limit: f32) -> Tensor {
    let arenas = [Tensor::zeros(gpu, [4096]), Tensor::zeros(gpu, [1500])];
    let mut start = 0;
    let mut first = Vec::new();
    for grad in &x[..8] {
        first.push((start, grad.clone()));
        start += grad.count().next_multiple_of(64);
    }
    ops::collect(gpu, &arenas[0], &first);
    ops::collect(gpu, &arenas[1], &[(64, x[8].clone())]);
    ops::clip(gpu, &arenas, limit).0
}
