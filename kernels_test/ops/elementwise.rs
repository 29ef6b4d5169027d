//! Functions of one element, arithmetic with broadcasting.

use super::{Case, Input, Real};
use crate::ops;
use crate::tensor::Tensor;

/// A function of one element: its op, the interval of its cases, the op on the GPU and in f64.
pub(crate) type Unary = (
    &'static str,
    (f32, f32),
    fn(&Tensor) -> Tensor,
    fn(Real) -> Real,
);

pub(crate) const UNARY: [Unary; 11] = [
    (
        "affine",
        (-2.0, 2.0),
        |x| ops::affine(x, 1.5, -0.25),
        |x| x * Real::constant(1.5) - Real::constant(0.25),
    ),
    ("exp", (-4.0, 4.0), ops::exp, Real::exp),
    ("log", (1e-3, 9.0), ops::log, Real::ln),
    ("square", (-3.0, 3.0), ops::square, |x| x * x),
    ("silu", (-30.0, 30.0), ops::silu, |x| x * x.sigmoid()),
    ("gelu", (-5.0, 5.0), ops::gelu, gelu),
    ("relu", (-2.0, 2.0), ops::relu, Real::relu),
    ("elu", (-3.0, 3.0), ops::elu, |x| {
        if x.value > 0.0 {
            x
        } else {
            x.exp() - Real::constant(1.0)
        }
    }),
    ("tanh", (-3.0, 3.0), ops::tanh, Real::tanh),
    ("tanh", (-200.0, 200.0), ops::tanh, Real::tanh),
    ("sigmoid", (-40.0, 40.0), ops::sigmoid, Real::sigmoid),
];

/// Arithmetic: its op, on the GPU and in f64.
pub(crate) type Binary = (
    &'static str,
    fn(&Tensor, &Tensor) -> Tensor,
    fn(Real, Real) -> Real,
);

pub(crate) const BINARY: [Binary; 4] = [
    ("add", ops::add, |a, b| a + b),
    ("sub", ops::sub, |a, b| a - b),
    ("mul", ops::mul, |a, b| a * b),
    ("div", ops::div, |a, b| a / b),
];

pub fn cases(list: &mut Vec<Case>) {
    for of in UNARY {
        unary(list, of);
    }
    for of in BINARY {
        binary(list, of);
    }
    // The kink itself, as zeros of either sign, with other numbers at all remainders modulo four:
    // the derivative there is 0.
    for count in [1, 4, 7, 260] {
        let numbers = (0..count)
            .map(|i| [0.0, -0.0, 1.5, 0.0, -2.0][i % 5])
            .collect();
        list.push(Case::new(
            "relu",
            format!("zeros [{count}]"),
            vec![Input {
                wants_grad: true,
                ..Input::given(&[count], numbers)
            }],
            |_, x| ops::relu(&x[0]),
            |x| x[0].iter().map(|&v| v.relu()).collect(),
        ));
    }
    // Four gradients accumulate at x: `accumulate.wgsl`, in place and not.
    for count in [1, 3, 255, 256, 257, 4099] {
        list.push(Case::new(
            "accumulate",
            format!("[{count}]"),
            vec![Input::normal(&[count])],
            |_, x| ops::add(&ops::mul(&x[0], &x[0]), &ops::add(&x[0], &x[0])),
            |x| x[0].iter().map(|&v| v * v + (v + v)).collect(),
        ));
    }
}

fn gelu(x: Real) -> Real {
    let half = Real::constant(0.5);
    x * (half + half * (Real::rounded(std::f64::consts::FRAC_1_SQRT_2) * x).erf())
}

fn unary(list: &mut Vec<Case>, (op, (low, high), run, define): Unary) {
    for count in [1, 3, 255, 256, 257, 4099] {
        list.push(Case::new(
            op,
            format!("{low}..{high} [{count}]"),
            vec![Input::uniform(&[count], low, high)],
            move |_, x| run(&x[0]),
            move |x| x[0].iter().map(|&v| define(v)).collect(),
        ));
    }
}

/// Pairs of shapes: equal, trailing, leading, inner, both sides, scalar.
const SHAPES: [(&[usize], &[usize]); 9] = [
    (&[5, 7], &[5, 7]),
    (&[21, 21, 3], &[3]),
    (&[3, 5, 4], &[3, 1, 4]),
    (&[3, 1, 4], &[1, 5, 1]),
    (&[2, 3, 4, 5], &[3, 1, 5]),
    (&[1], &[37]),
    (&[6, 1], &[6, 129]),
    (&[6, 129], &[6, 1]),
    (&[], &[2, 2]),
];

fn binary(list: &mut Vec<Case>, (op, run, define): Binary) {
    for (a, b) in SHAPES {
        list.push(Case::new(
            op,
            format!("{a:?} {b:?}"),
            vec![Input::normal(a), Input::uniform(b, 0.5, 2.0)],
            move |_, x| run(&x[0], &x[1]),
            move |x| {
                broadcast(a, b)
                    .map(|(i, j)| define(x[0][i], x[1][j]))
                    .collect()
            },
        ));
    }
}

/// Positions in `a` and `b` of every element of their broadcast.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> impl Iterator<Item = (usize, usize)> {
    let rank = a.len().max(b.len());
    let pad = |s: &[usize]| [vec![1; rank - s.len()], s.to_vec()].concat();
    let a = pad(a);
    let b = pad(b);
    let sizes: Vec<usize> = (0..rank).map(|i| a[i].max(b[i])).collect();
    let at = move |sizes_x: &[usize], index: &[usize]| {
        index.iter().zip(sizes_x).fold(0, |at, (&i, &size)| {
            at * size + if size == 1 { 0 } else { i }
        })
    };
    (0..sizes.iter().product()).map(move |flat: usize| {
        let mut rest = flat;
        let mut index = vec![0; rank];
        for i in (0..rank).rev() {
            index[i] = rest % sizes[i];
            rest /= sizes[i];
        }
        (at(&a, &index), at(&b, &index))
    })
}
