//! Functions of one element and arithmetic.

use super::super::super::Real;
use super::super::super::ops::definitions::{BINARY, UNARY, broadcast, gate};
use super::super::args::Args;
use super::super::plan::{Place, Plan};
use crate::ops;
use crate::tensor::{MAX_RANK, Shape};

/// `x` of any shape.
pub fn unary(args: &mut Args) -> Result<Plan, String> {
    let x = args.tensor("x")?;
    let y = args.output("y", &x.dims)?.flat();
    let of = UNARY.iter().find(|(op, ..)| *op == args.op());
    let (_, _, run, define) = *of.expect("only ops of this table are parsed here");
    Plan::new(
        vec![x.flat()],
        y,
        move |_, x| run(&x[0]),
        move |x| x[0].iter().map(|&v| define(v)).collect(),
    )
}

/// scale · x + shift.
pub fn affine(args: &mut Args) -> Result<Plan, String> {
    let x = args.tensor("x")?;
    let scale = args.number("scale", 1.0)?;
    let shift = args.number("shift", 0.0)?;
    let y = args.output("y", &x.dims)?.flat();
    Plan::new(
        vec![x.flat()],
        y,
        move |_, x| ops::affine(&x[0], scale as f32, shift as f32),
        move |x| {
            x[0].iter()
                .map(|&v| v * Real::rounded(scale) + Real::rounded(shift))
                .collect()
        },
    )
}

/// Arithmetic of `a` and `b`, which broadcast.
pub fn binary(args: &mut Args) -> Result<Plan, String> {
    let mut a = args.tensor("a")?;
    let mut b = args.tensor("b")?;
    if a.dims == b.dims {
        let y = args.output("y", &a.dims)?.flat();
        (a, b) = (a.flat(), b.flat());
        return plan(args, a, b, y);
    }
    if a.dims.len().max(b.dims.len()) > MAX_RANK {
        return Err(format!(
            "in.a {:?} and in.b {:?} differ and have over {MAX_RANK} dimensions",
            a.dims, b.dims
        ));
    }
    let Some(shape) = Shape::from(&a.dims).broadcast(&Shape::from(&b.dims)) else {
        return Err(format!(
            "in.a {:?} and in.b {:?} do not broadcast",
            a.dims, b.dims
        ));
    };
    let y = args.output("y", shape.dims())?;
    plan(args, a, b, y)
}

fn plan(args: &Args, a: Place, b: Place, y: Place) -> Result<Plan, String> {
    let of = BINARY.iter().find(|(op, ..)| *op == args.op());
    let (_, run, define) = *of.expect("only ops of this table are parsed here");
    let pairs: Vec<(usize, usize)> = broadcast(&a.dims, &b.dims).collect();
    Plan::new(
        vec![a, b],
        y,
        move |_, x| run(&x[0], &x[1]),
        move |x| {
            pairs
                .iter()
                .map(|&(i, j)| define(x[0][i], x[1][j]))
                .collect()
        },
    )
}

/// tanh(first half) · sigmoid(second half) along `axis`.
pub fn gated(args: &mut Args) -> Result<Plan, String> {
    let x = args.tensor("x")?;
    let axis = args.axis(-1, x.dims.len())?;
    let mut dims = x.dims.clone();
    if dims[axis] % 2 == 1 {
        return Err(format!(
            "tensor in.x is {dims:?}; dimension {axis} must be even"
        ));
    }
    dims[axis] /= 2;
    let c = dims[axis];
    let y = args.output("y", &dims)?.last(axis).rows();
    Plan::new(
        vec![x.last(axis).rows()],
        y,
        |_, x| ops::gated(&x[0]),
        move |x| gate(&x[0], c),
    )
}
