//! Optimiser steps: several Adam steps in a row over an arena, clipping, running averages.

use super::{Case, Input, Real};
use crate::ops::{self, AdamStep};
use crate::tensor::Tensor;

const STEP: AdamStep =
    AdamStep { lr: 1e-2, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 1e-2, step: 0, ema: 0.999 };

/// Clips the gradients of all but the smallest arenas.
const LIMIT: f32 = 2.0;

pub fn cases(list: &mut Vec<Case>) {
    for count in [1, 63, 64, 65, 1030] {
        for (which, name) in ["weights", "first moment", "second moment", "average"].into_iter().enumerate() {
            // Gradients of three steps, then the weights.
            list.push(Case::new(
                "adam",
                format!("[{count}] {name}"),
                vec![Input::normal(&[3, count]).constant(), Input::normal(&[count]).constant()],
                move |gpu, x| adam(gpu, x, which),
                move |x| define(x, count, which),
            ));
        }
        list.push(Case::new(
            "ema",
            format!("[{count}]"),
            vec![Input::normal(&[count]).constant(), Input::normal(&[count]).constant()],
            |_, x| ops::ema(&x[0], &x[1], 0.75),
            |x| x[0].iter().zip(&x[1]).map(|(&a, &b)| Real::constant(0.75) * a + Real::constant(0.25) * b).collect(),
        ));
    }
    list.push(Case::new(
        "collect",
        "nine gradients",
        [1, 3, 64, 65, 7, 130, 2, 31, 100].iter().map(|&n| Input::normal(&[n]).constant()).collect(),
        |gpu, x| {
            let arena = Tensor::zeros(gpu, [1024]);
            let mut start = 0;
            let mut places = Vec::new();
            for grad in x {
                places.push((start, grad.clone()));
                start += grad.count().next_multiple_of(64);
            }
            ops::collect(gpu, &arena, &places);
            arena
        },
        |x| {
            let mut arena: Vec<Real> = Vec::new();
            for grad in x {
                arena.extend(grad);
                arena.resize(arena.len().next_multiple_of(64), Real::default());
            }
            arena.resize(1024, Real::default());
            arena
        },
    ));
    // Nine gradients of odd sizes take two dispatches; the norm is over two arenas.
    let sizes: Vec<usize> = vec![1, 3, 64, 65, 7, 130, 2, 31, 1000];
    for limit in [0.0, 1.0, 1e6] {
        let inputs = sizes.iter().map(|&n| Input::normal(&[n]).constant()).collect();
        list.push(Case::new(
            "clip",
            format!("limit {limit}"),
            inputs,
            move |gpu, x| clip(gpu, x, limit),
            move |x| {
                let norm = Real::sum(x.iter().flatten().map(|&v| v * v)).sqrt();
                let over = limit > 0.0 && norm.value > f64::from(limit);
                vec![norm, if over { Real::constant(f64::from(limit)) / norm } else { Real::constant(1.0) }]
            },
        ));
    }
}

fn adam(gpu: &crate::gpu::Gpu, x: &[Tensor], which: usize) -> Tensor {
    let count = x[1].count();
    let all = x[0].to_vec();
    let copy = || Tensor::from_slice(gpu, &x[1].to_vec(), [count]);
    let state = [copy(), Tensor::zeros(gpu, [count]), Tensor::zeros(gpu, [count]), copy()];
    for step in 1..=3 {
        let grad = Tensor::from_slice(gpu, &all[(step - 1) * count..step * count], [count]);
        let clip = ops::clip(gpu, std::slice::from_ref(&grad), LIMIT);
        ops::adam(&grad, &clip, state.each_ref(), AdamStep { step: step as u32, ..STEP });
    }
    state[which].clone()
}

fn define(x: &[Vec<Real>], count: usize, which: usize) -> Vec<Real> {
    let single = |v: f32| Real::constant(f64::from(v));
    let one = Real::constant(1.0);
    let (beta1, beta2) = (single(STEP.beta1), single(STEP.beta2));
    let of = |i: usize| {
        let (mut w, mut m, mut v) = (x[1][i], Real::default(), Real::default());
        let mut average = w;
        for step in 1..=3 {
            let grad = &x[0][(step - 1) * count..step * count];
            let norm = Real::sum(grad.iter().map(|&v| v * v)).sqrt();
            let over = norm.value > f64::from(LIMIT);
            let g = grad[i] * if over { single(LIMIT) / norm } else { one };
            m = beta1 * m + (one - beta1) * g;
            v = beta2 * v + (one - beta2) * g * g;
            let correct = |beta: f32| Real::rounded(1.0 / (1.0 - f64::from(beta).powi(step as i32)));
            let direction = (m * correct(STEP.beta1)) / ((v * correct(STEP.beta2)).sqrt() + single(STEP.eps));
            w = w - single(STEP.lr) * (direction + single(STEP.weight_decay) * w);
            average = single(STEP.ema) * average + (one - single(STEP.ema)) * w;
        }
        [w, m, v, average][which]
    };
    (0..count).map(of).collect()
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
