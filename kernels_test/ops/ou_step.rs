//! The bridge's marginal, fused reverse step and multistep update.

use super::{Case, Input, Real};
use crate::bridge::{Affine, Multistep, Step};
use crate::ops;
use crate::philox::Stream;

pub fn cases(list: &mut Vec<Case>) {
    for (n, positions, c, targets) in [(1, 1, 1, 1), (5, 5, 2, 2), (3, 21, 7, 1), (2, 441, 3, 3)] {
        let dims = [n, positions, c];
        let goal = move |x: &[Vec<Real>], input: usize, i: usize| {
            x[input][if targets == 1 { 0 } else { i % c }]
        };
        let per_sample = positions * c;
        list.push(Case::new(
            "ou_marginal",
            format!("{dims:?} target [{targets}]"),
            vec![
                Input::normal(&dims),
                Input::normal(&dims).constant(),
                Input::normal(&[targets]).constant(),
                Input::uniform(&[n, 2], 0.0, 1.0).constant(),
            ],
            |_, x| ops::marginal(&x[0], &x[1], &x[2], &x[3]),
            move |x| {
                let value = |i: usize| {
                    let goal = goal(x, 2, i);
                    let at = 2 * (i / per_sample);
                    goal + x[3][at] * (x[0][i] - goal) + x[3][at + 1] * x[1][i]
                };
                (0..n * per_sample).map(value).collect()
            },
        ));
        let step = Step {
            c0: 1.01,
            c1: -0.2,
            c2: 0.3,
            c3: -0.01,
        };
        let inputs = || {
            vec![
                Input::normal(&dims).constant(),
                Input::normal(&dims).constant(),
                Input::normal(&dims).constant(),
                Input::normal(&[targets]).constant(),
            ]
        };
        list.push(Case::new(
            "ou_step",
            format!("{dims:?} target [{targets}] noise given"),
            inputs(),
            move |_, x| ops::step_given(&x[0], &x[1], &x[2], &x[3], step),
            move |x| stepped(x, c, step, |i| x[2][i]),
        ));
        let stream = Stream {
            seed: 5,
            step: 9,
            stream: 3,
            first: 0,
        };
        list.push(Case::new(
            "ou_step",
            format!("{dims:?} target [{targets}] noise drawn"),
            inputs(),
            move |_, x| ops::step(&x[0], &x[1], &x[3], step, stream),
            move |x| stepped(x, c, step, |i| super::random::normal(stream, i as u32)),
        ));
        let c_ = Multistep {
            z: 0.7,
            now: 0.5,
            previous: -0.1,
        };
        let estimate = Affine { z: 1.3, net: -0.4 };
        list.push(Case::new(
            "dpmpp2m_step",
            format!("{dims:?} target [{targets}] estimate"),
            inputs(),
            move |_, x| ops::multistep(&x[0], &x[1], &x[2], &x[3], c_, estimate).1,
            move |x| {
                let value = |i: usize| {
                    let goal = goal(x, 3, i);
                    goal + (Real::rounded(estimate.z) * (x[0][i] - goal)
                        + Real::rounded(estimate.net) * x[1][i])
                };
                (0..n * per_sample).map(value).collect()
            },
        ));
        list.push(Case::new(
            "dpmpp2m_step",
            format!("{dims:?} target [{targets}]"),
            inputs(),
            move |_, x| ops::multistep(&x[0], &x[1], &x[2], &x[3], c_, estimate).0,
            move |x| {
                let r = Real::rounded;
                let value = |i: usize| {
                    let goal = goal(x, 3, i);
                    let zhat = r(estimate.z) * (x[0][i] - goal) + r(estimate.net) * x[1][i];
                    Real::sum([
                        goal,
                        r(c_.z) * (x[0][i] - goal),
                        r(c_.now) * zhat,
                        r(c_.previous) * (x[2][i] - goal),
                    ])
                };
                (0..n * per_sample).map(value).collect()
            },
        ));
    }
}

/// The reverse step of z, ε and the target (last in `x`), with noise ξ.
pub(crate) fn stepped(
    x: &[Vec<Real>],
    c: usize,
    step: Step,
    xi: impl Fn(usize) -> Real,
) -> Vec<Real> {
    let goal = |i: usize| x[3][if x[3].len() == 1 { 0 } else { i % c }];
    let r = Real::rounded;
    let value = |i: usize| {
        Real::sum([
            r(step.c0) * x[0][i],
            r(step.c1) * x[1][i],
            r(step.c2) * xi(i),
            r(step.c3) * goal(i),
        ])
    };
    (0..x[0].len()).map(value).collect()
}
