//! Normalisation.

use super::super::super::Real;
use super::super::super::ops::definitions;
use super::super::args::Args;
use super::super::plan::{Place, Plan};
use crate::ops;

/// PyTorch's default ε.
const EPS: f64 = 1e-5;

/// `x` [n, c, ..] and `y` in the engine's order, and the sizes n, positions, c.
fn channels(args: &mut Args) -> Result<(Place, [usize; 3], Place), String> {
    let x = args.tensor("x")?;
    let (n, c) = match x.dims[..] {
        [n, c, ..] => (n, c),
        _ => {
            return Err(format!(
                "tensor in.x is {:?}; it must be [n, c, ..]",
                x.dims
            ));
        }
    };
    let sizes = [n, x.order.len() / (n * c), c];
    let y = args.output("y", &x.dims)?.channels_last().shaped(&sizes);
    Ok((x.channels_last().shaped(&sizes), sizes, y))
}

/// `x` [n, c, ..], `gamma` and `beta` [c]; followed by SiLU if asked for.
pub fn group_norm(args: &mut Args) -> Result<Plan, String> {
    let (x, [n, hw, c], y) = channels(args)?;
    let gamma = args.of_dims("gamma", &[c])?;
    let beta = args.of_dims("beta", &[c])?;
    let groups = args.size("groups", 1, None)?;
    let eps = args.number("eps", EPS)?;
    let silu = args.flag("silu", false)?;
    if !c.is_multiple_of(groups) {
        return Err(format!(
            "param `groups` is {groups}, which does not divide {c} channels"
        ));
    }
    Plan::new(
        vec![x, gamma, beta],
        y,
        move |_, x| {
            let norm = if silu {
                ops::group_norm_silu
            } else {
                ops::group_norm
            };
            norm(&x[0], &x[1], &x[2], groups, eps as f32)
        },
        move |x| {
            let y = definitions::group_norm(x, [n, hw, c, groups], eps);
            let top = |v: Real| if silu { v * v.sigmoid() } else { v };
            y.into_iter().map(top).collect()
        },
    )
}

/// Layer normalisation over the last dimension.
pub fn layer_norm(args: &mut Args) -> Result<Plan, String> {
    let x = args.tensor("x")?;
    let y = args.output("y", &x.dims)?.rows();
    let x = x.rows();
    let [rows, c] = [x.dims[0], x.dims[1]];
    let gamma = args.of_dims("gamma", &[c])?;
    let beta = args.of_dims("beta", &[c])?;
    let eps = args.number("eps", EPS)?;
    Plan::new(
        vec![x, gamma, beta],
        y,
        move |_, x| ops::layer_norm(&x[0], &x[1], &x[2], eps as f32),
        move |x| definitions::group_norm(x, [rows, 1, c, 1], eps),
    )
}

/// `x` [n, c, ..], normalised with given `mean` and `var` [c].
pub fn batch_norm(args: &mut Args) -> Result<Plan, String> {
    let (x, [_, _, c], y) = channels(args)?;
    let gamma = args.of_dims("gamma", &[c])?;
    let beta = args.of_dims("beta", &[c])?;
    let mean = args.of_dims("mean", &[c])?;
    let var = args.of_dims("var", &[c])?;
    let eps = args.number("eps", EPS)?;
    Plan::new(
        vec![x, gamma, beta, mean.constant(), var.constant()],
        y,
        move |_, x| ops::batch_norm(&x[0], &x[1], &x[2], &x[3], &x[4], eps as f32),
        move |x| definitions::batch_norm(x, c, eps),
    )
}
