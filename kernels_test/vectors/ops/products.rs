//! Matrix products, attention, and the nearest code.

use super::super::super::Real;
use super::super::super::ops::definitions;
use super::super::args::Args;
use super::super::plan::{Place, Plan};
use crate::ops::{self, Attention, Trans};

/// [batch, rows, columns]; a matrix has a batch of one.
fn matrices(args: &mut Args, name: &'static str) -> Result<(Place, [usize; 3], bool), String> {
    let place = args.tensor(name)?;
    match place.dims[..] {
        [rows, columns] => Ok((place.shaped(&[1, rows, columns]), [1, rows, columns], true)),
        [batch, rows, columns] => Ok((place, [batch, rows, columns], false)),
        _ => Err(format!(
            "tensor in.{name} is {:?}; it must be [batch, rows, columns]",
            place.dims
        )),
    }
}

/// The product of `a` and `b`, with the last two dimensions swapped where the parameters say so.
pub fn matmul(args: &mut Args) -> Result<Plan, String> {
    let (a, [batch, a1, a2], flat) = matrices(args, "a")?;
    let (b, [batch_b, b1, b2], _) = matrices(args, "b")?;
    let trans = Trans {
        a: args.flag("trans_a", false)?,
        b: args.flag("trans_b", false)?,
    };
    let (m, k) = if trans.a { (a2, a1) } else { (a1, a2) };
    let (k_b, n) = if trans.b { (b2, b1) } else { (b1, b2) };
    if batch != batch_b || k != k_b {
        return Err(format!(
            "in.a {:?} and in.b {:?} do not multiply with {trans:?}",
            a.file_dims, b.file_dims
        ));
    }
    let y = args
        .output("y", &[batch, m, n][usize::from(flat)..])?
        .shaped(&[batch, m, n]);
    Plan::new(
        vec![a, b],
        y,
        move |_, x| ops::matmul(&x[0], &x[1], trans),
        move |x| definitions::product(x, [batch, m, k, n], trans),
    )
}

/// `x` [.., i], `w` [o, i], `b` [o].
pub fn linear(args: &mut Args) -> Result<Plan, String> {
    let x = args.tensor("x")?;
    let (weight, [o, i]) = args.ranked("w")?;
    let bias = args.maybe_of_dims("b", &[o])?;
    let mut dims = x.dims.clone();
    if dims.pop() != Some(i) {
        return Err(format!(
            "tensor in.x is {:?}; its last dimension must be {i}, as in.w has it",
            x.dims
        ));
    }
    dims.push(o);
    let y = args.output("y", &dims)?.rows();
    let x = x.rows();
    let rows = x.dims[0];
    let mut inputs = vec![x, weight];
    inputs.extend(bias);
    Plan::new(
        inputs,
        y,
        |_, x| ops::linear(&x[0], &x[1], x.get(2)),
        move |x| {
            let y = definitions::product(x, [1, rows, i, o], Trans { a: false, b: true });
            y.into_iter()
                .enumerate()
                .map(|(at, v)| x.get(2).map_or(v, |b| v + b[at % o]))
                .collect()
        },
    )
}

/// `q` [n, heads, len_q, d], `k` and `v` [n, heads, len_k, d].
pub fn attention(args: &mut Args) -> Result<Plan, String> {
    let (q, [n, heads, len_q, d]) = args.ranked("q")?;
    let (k, [_, _, len_k, _]) = args.ranked("k")?;
    let dims = [n, heads, len_k, d];
    let k = if k.dims == dims {
        k
    } else {
        args.of_dims("k", &dims)?
    };
    let v = args.of_dims("v", &dims)?;
    let causal = args.flag("causal", false)?;
    let scale = args.maybe_number("scale")?;
    let y = args
        .output("y", &[n, heads, len_q, d])?
        .permuted(&[0, 2, 1, 3]);
    let options = Attention {
        causal,
        scale: scale.map(|s| s as f32),
    };
    Plan::new(
        [q, k, v].map(|place| place.permuted(&[0, 2, 1, 3])).into(),
        y,
        move |_, x| ops::attention(&x[0], &x[1], &x[2], options),
        move |x| {
            definitions::attention(
                x,
                [n, len_q, len_k, heads, d],
                causal,
                scale.map(Real::rounded),
            )
        },
    )
}

/// The nearest code of `codebook` [k, d] to each row of `x` [m, d].
pub fn nearest_code(args: &mut Args) -> Result<Plan, String> {
    let x = args.tensor("x")?;
    let (codebook, [_, d]) = args.ranked("codebook")?;
    let mut dims = x.dims.clone();
    if dims.pop() != Some(d) {
        return Err(format!(
            "tensor in.x is {:?}; its last dimension must be {d}, as in.codebook has it",
            x.dims
        ));
    }
    let codes = args.output("codes", &dims)?.flat();
    Plan::new(
        vec![x.rows().constant(), codebook.constant()],
        codes,
        |_, x| ops::nearest(&x[0], &x[1]),
        move |x| {
            x[0].chunks(d)
                .flat_map(|z| definitions::nearest(z, &x[1]))
                .collect()
        },
    )
}
