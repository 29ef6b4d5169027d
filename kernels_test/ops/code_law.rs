//! The distribution of codes given noised vectors: its mean, its cross-entropy, its scores.

use super::super::{Law, U};
use super::{Case, Input, Real};
use crate::ops::CodeLaw;
use crate::philox::Stream;
use crate::tensor::{Codes, Tensor};

/// Fewest codes after which a kernel takes a new maximum.
const TILE: usize = 64;

/// Sizes of a case, and whether there are logits.
#[derive(Clone, Copy)]
struct Sizes {
    n: usize,
    p: usize,
    k: usize,
    d: usize,
    logits: bool,
}

pub fn cases(list: &mut Vec<Case>) {
    for (n, p, k, d, logits) in [
        (1, 1, 1, 1, true),
        (3, 1, 12, 1, false),
        (2, 5, 8, 2, true),
        // Row parts that end within images.
        (4, 50, 6, 2, false),
        (3, 7, 67, 5, true),
        (2, 9, 256, 32, false),
        (5, 13, 64, 16, true),
        (1, 17, 130, 33, false),
        (2, 9, 70, 130, true),
        (1, 5, 20, 200, false),
        (1, 3, 1024, 128, true),
        (1, 2, 16_384, 2, true),
    ] {
        let sizes = Sizes { n, p, k, d, logits };
        let mark = if logits { " with logits" } else { "" };
        // Keeps a few codes likely, whatever the number of columns.
        let precision = 4.0 / (d as f32).sqrt();
        let inputs = sizes.inputs(Input::normal(&[n, p, d]), Input::normal(&[k, d]), precision);
        both(
            list,
            sizes,
            &format!("[{n}, {p}, {d}] of {k}{mark}"),
            &inputs,
        );
        scores(
            list,
            sizes,
            &format!("[{n}, {p}, {d}] of {k}{mark}"),
            &inputs,
        );
    }
    little_noise(list);
    far(list);
}

/// The mean and the cross-entropy.
fn both(list: &mut Vec<Case>, sizes: Sizes, name: &str, inputs: &[Input]) {
    list.push(Case::new(
        "code_law_mean",
        name,
        inputs.to_vec(),
        move |_, x| sizes.law(x).mean(),
        move |x| define_mean(x, sizes),
    ));
    list.push(Case::new(
        "code_law_cross_entropy",
        name,
        inputs.to_vec(),
        move |gpu, x| {
            let rows = sizes.n * sizes.p;
            let codes: Vec<u32> = (0..rows).map(|row| target(row, sizes.k) as u32).collect();
            sizes
                .law(x)
                .cross_entropy(&Codes::from_slice(gpu, &codes, [sizes.n, sizes.p]))
        },
        move |x| define_cross_entropy(x, sizes),
    ));
}

fn scores(list: &mut Vec<Case>, sizes: Sizes, name: &str, inputs: &[Input]) {
    list.push(Case::new(
        "code_law_scores",
        name,
        inputs.iter().cloned().map(Input::constant).collect(),
        move |_, x| sizes.law(x).scores(),
        move |x| {
            (0..sizes.n * sizes.p)
                .flat_map(|row| row_scores(x, sizes, row))
                .collect()
        },
    ));
}

/// π = 10⁴ and codes a few standard deviations apart, far from 0: expanding the squares would leave
/// no correct digit. All products with α are exact, so that saved scores are nearly exact too.
fn little_noise(list: &mut Vec<Case>) {
    let sizes = Sizes {
        n: 2,
        p: 9,
        k: 70,
        d: 5,
        logits: false,
    };
    let centre = |column: usize| (column as f32 - 2.0) * 1.5 + 0.25;
    let stream = |stream| Stream {
        seed: 11,
        step: 0,
        stream,
        first: 0,
    };
    let around = |count: usize, factor: f32, from: Stream| -> Vec<f32> {
        let offset = |i: usize| (from.normal(i as u32) * 0.01 * 4096.0).round() as f32 / 4096.0;
        (0..count)
            .map(|i| factor * centre(i % sizes.d) + offset(i))
            .collect()
    };
    let alpha = 0.75;
    let given = |dims: &[usize], numbers| Input {
        wants_grad: true,
        ..Input::given(dims, numbers)
    };
    let z = given(
        &[sizes.n, sizes.p, sizes.d],
        around(sizes.n * sizes.p * sizes.d, alpha, stream(0)),
    );
    let codebook = given(
        &[sizes.k, sizes.d],
        around(sizes.k * sizes.d, 1.0, stream(1)),
    );
    let mut inputs = sizes.inputs(z, codebook, 1.0);
    inputs[2] = Input::given(&[sizes.n], vec![alpha; sizes.n]);
    inputs[3] = Input::given(&[sizes.n, sizes.d], vec![1e4; sizes.n * sizes.d]);
    both(list, sizes, "little noise", &inputs);
    scores(list, sizes, "little noise", &inputs);
}

/// Scores around −10⁵.
fn far(list: &mut Vec<Case>) {
    let sizes = Sizes {
        n: 2,
        p: 11,
        k: 130,
        d: 3,
        logits: true,
    };
    let z = Input {
        law: Law::Uniform(200.0, 300.0),
        ..Input::normal(&[sizes.n, sizes.p, sizes.d])
    };
    let inputs = sizes.inputs(z, Input::normal(&[sizes.k, sizes.d]), 1.0);
    let inputs: Vec<Input> = inputs.into_iter().map(Input::constant).collect();
    both(list, sizes, "far from all codes", &inputs);
    scores(list, sizes, "far from all codes", &inputs);
}

impl Sizes {
    fn inputs(self, z: Input, codebook: Input, precision: f32) -> Vec<Input> {
        let Sizes { n, p, k, d, logits } = self;
        let signal = Input::uniform(&[n], 0.5, 1.0).constant();
        let precision = Input::uniform(&[n, d], 0.5 * precision, precision).constant();
        let law = |dims: &[usize]| Input {
            law: Law::Normal(0.5),
            ..Input::normal(dims)
        };
        let mut inputs = vec![z, codebook, signal, precision, law(&[p, k])];
        inputs.extend(logits.then(|| law(&[n, p, k])));
        inputs
    }

    fn law(self, x: &[Tensor]) -> CodeLaw<'_> {
        CodeLaw {
            z: &x[0],
            codebook: &x[1],
            signal: &x[2],
            precision: &x[3],
            bias: &x[4],
            logits: x.get(5),
        }
    }
}

fn target(row: usize, k: usize) -> usize {
    (row * 5 + k - 1) % k
}

fn row_scores(
    x: &[Vec<Real>],
    Sizes {
        p, k, d, logits, ..
    }: Sizes,
    row: usize,
) -> Vec<Real> {
    let picture = row / p;
    let z = &x[0][row * d..(row + 1) * d];
    let precision = &x[3][picture * d..(picture + 1) * d];
    let score = |(code, e): (usize, &[Real])| {
        let squares = z.iter().zip(e).zip(precision).map(|((&z, &e), &weight)| {
            let difference = z - x[2][picture] * e;
            weight * difference * difference
        });
        let bias = x[4][row % p * k + code];
        let offset = if logits {
            x[5][row * k + code] + bias
        } else {
            bias
        };
        offset - Real::constant(0.5) * Real::sum(squares)
    };
    x[1].chunks(d).enumerate().map(score).collect()
}

/// The scores of a row minus their maximum, and Σ exp of those.
fn weighed(x: &[Vec<Real>], sizes: Sizes, row: usize) -> (Vec<Real>, Real) {
    let scores = row_scores(x, sizes, row);
    // The result does not depend on it.
    let top = scores.iter().copied().fold(scores[0], Real::max).detached();
    let scores: Vec<Real> = scores.into_iter().map(|s| s - top).collect();
    let total = Real::sum(scores.iter().map(|s| s.exp()));
    (scores, total * rescaled(sizes.k))
}

/// One, with the error of meeting a larger maximum in every tile: see the attention definition.
fn rescaled(k: usize) -> Real {
    Real::within(1.0, 4.0 * U * (k.div_ceil(TILE) + 1) as f64)
}

fn define_mean(x: &[Vec<Real>], sizes: Sizes) -> Vec<Real> {
    let Sizes { n, p, k, d, .. } = sizes;
    let mean = |row| {
        let (scores, total) = weighed(x, sizes, row);
        let weights: Vec<Real> = scores.iter().map(|s| s.exp()).collect();
        let column = |c: usize| Real::sum((0..k).map(|code| weights[code] * x[1][code * d + c]));
        (0..d)
            .map(|c| column(c) * rescaled(k) / total)
            .collect::<Vec<_>>()
    };
    (0..n * p).flat_map(mean).collect()
}

fn define_cross_entropy(x: &[Vec<Real>], sizes: Sizes) -> Vec<Real> {
    let loss = |row| {
        let (scores, total) = weighed(x, sizes, row);
        total.ln() - scores[target(row, sizes.k)]
    };
    (0..sizes.n * sizes.p).map(loss).collect()
}
