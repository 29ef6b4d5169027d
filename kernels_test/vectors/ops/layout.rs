//! Rows by index, reductions, and tensors concatenated, sliced and transposed.

use super::super::super::Real;
use super::super::super::ops::definitions;
use super::super::args::Args;
use super::super::plan::{Plan, permuted};
use crate::ops;
use crate::tensor::{Codes, Tensor};

/// Rows of `table` [k, d] by `codes` of any shape.
pub fn embedding(args: &mut Args) -> Result<Plan, String> {
    let (table, [k, d]) = args.ranked("table")?;
    let (dims, codes) = args.codes("codes", k)?;
    let y = args.output("y", &[&dims[..], &[d]].concat())?.flat();
    let rows: Vec<usize> = codes.iter().map(|&code| code as usize).collect();
    Plan::new(
        vec![table],
        y,
        move |gpu, x| {
            let y = ops::gather(&x[0], &Codes::from_slice(gpu, &codes, [codes.len()]));
            let count = y.count();
            y.reshape([count])
        },
        move |x| definitions::table_rows(&x[0], rows.iter().copied(), d),
    )
}

/// Sums of the rows of `x` [.., d] by `codes` [..], `entries` of them.
pub fn scatter_add(args: &mut Args) -> Result<Plan, String> {
    let x = args.tensor("x")?;
    let entries = args.size("entries", 1, None)?;
    let (dims, codes) = args.codes("codes", entries)?;
    if x.dims.len() != dims.len() + 1 || x.dims[..dims.len()] != dims {
        return Err(format!(
            "tensor in.x is {:?}; it must be in.codes' {dims:?} and one more dimension",
            x.dims
        ));
    }
    let x = x.rows().constant();
    let d = x.dims[1];
    let y = args.output("y", &[entries, d])?;
    let places: Vec<usize> = codes.iter().map(|&code| code as usize).collect();
    Plan::new(
        vec![x],
        y,
        move |gpu, x| {
            ops::scatter_add(
                &x[0],
                &Codes::from_slice(gpu, &codes, [codes.len()]),
                entries,
            )
        },
        move |x| definitions::sums_by_code(x, entries, d, |row| places[row]),
    )
}

/// Index of the first minimum along `axis`, which is removed.
pub fn argmin(args: &mut Args) -> Result<Plan, String> {
    let x = args.tensor("x")?;
    let axis = args.axis(-1, x.dims.len())?;
    let kept: Vec<usize> = (0..x.dims.len())
        .filter(|&i| i != axis)
        .map(|i| x.dims[i])
        .collect();
    let codes = args.output("codes", &kept)?.flat();
    let x = x.last(axis).rows().constant();
    let k = x.dims[1];
    Plan::new(
        vec![x],
        codes,
        |_, x| ops::argmin(&x[0]),
        move |x| {
            let least = |row: &[Real]| definitions::first_least(row.iter().map(|v| v.value));
            x[0].chunks(k)
                .flat_map(|row| Real::code(least(row)))
                .collect()
        },
    )
}

/// Concatenates `a` and `b` along `axis`.
pub fn concat(args: &mut Args) -> Result<Plan, String> {
    let a = args.tensor("a")?;
    let b = args.tensor("b")?;
    let axis = args.axis(None, a.dims.len())?;
    let mut dims = a.dims.clone();
    if let Some(size) = b.dims.get(axis) {
        dims[axis] = *size;
    }
    let b = if b.dims == dims {
        b
    } else {
        args.of_dims("b", &dims)?
    };
    dims[axis] += a.dims[axis];
    let y = args.output("y", &dims)?.last(axis).rows();
    let a = a.last(axis).rows();
    let b = b.last(axis).rows();
    let c1 = a.dims[1];
    let c2 = b.dims[1];
    Plan::new(
        vec![a, b],
        y,
        |_, x| ops::concat(&x[0], &x[1]),
        move |x| {
            x[0].chunks(c1)
                .zip(x[1].chunks(c2))
                .flat_map(|(a, b)| [a, b].concat())
                .collect()
        },
    )
}

/// `length` entries from `start` along `axis`.
pub fn narrow(args: &mut Args) -> Result<Plan, String> {
    let x = args.tensor("x")?;
    let axis = args.axis(None, x.dims.len())?;
    let start = args.size("start", 0, 0)?;
    let length = args.size("length", 1, None)?;
    let mut dims = x.dims.clone();
    if start + length > dims[axis] {
        return Err(format!(
            "params `start` {start} and `length` {length} reach beyond dimension {axis} of {dims:?}"
        ));
    }
    dims[axis] = length;
    let y = args.output("y", &dims)?.last(axis).rows();
    let x = x.last(axis).rows();
    let c = x.dims[1];
    Plan::new(
        vec![x],
        y,
        move |_, x| ops::narrow(&x[0], start, length),
        move |x| {
            x[0].chunks(c)
                .flat_map(|row| row[start..start + length].to_vec())
                .collect()
        },
    )
}

/// Moves dimension `perm[i]` of x to position i.
pub fn transpose(args: &mut Args) -> Result<Plan, String> {
    let x = args.tensor("x")?;
    let perm = args.sizes("perm")?;
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..x.dims.len()) {
        return Err(format!(
            "param `perm` is {perm:?}; it must name each of {} dimensions once",
            x.dims.len()
        ));
    }
    let dims = x.dims.clone();
    let y = args
        .output("y", &perm.iter().map(|&i| dims[i]).collect::<Vec<_>>())?
        .flat();
    let order = permuted(&dims, &perm);
    Plan::new(
        vec![x.flat()],
        y,
        move |_, x| turned(&x[0], &dims, &perm),
        move |x| order.iter().map(|&at| x[0][at]).collect(),
    )
}

/// Permutes with an op that swaps two neighbouring blocks of dimensions: brings each dimension in
/// turn to its place by rotating all dimensions from that place on.
fn turned(x: &Tensor, dims: &[usize], perm: &[usize]) -> Tensor {
    let mut now: Vec<usize> = (0..dims.len()).collect();
    let mut y = x.clone();
    let count = x.count();
    for (i, axis) in perm.iter().enumerate() {
        let at = now.iter().position(|a| a == axis).unwrap_or(i);
        if at != i {
            let size = |part: &[usize]| part.iter().map(|&a| dims[a]).product::<usize>();
            let blocks = [size(&now[..i]), size(&now[i..at]), size(&now[at..])];
            y = ops::transpose(&y.reshape(blocks)).reshape([count]);
            now[i..].rotate_left(at - i);
        }
    }
    // A result of its own even if nothing moved.
    if y.shape() == x.shape() && perm.is_sorted() {
        ops::affine(&y, 1.0, 0.0)
    } else {
        y
    }
}

/// The sum, the mean or the sum of squares over dimensions, which are removed.
pub fn reduce(args: &mut Args) -> Result<Plan, String> {
    let x = args.tensor("x")?;
    let axes = args.axes(x.dims.len())?;
    let kept: Vec<usize> = (0..x.dims.len()).filter(|i| !axes.contains(i)).collect();
    let size = |part: &[usize]| part.iter().map(|&i| x.dims[i]).product::<usize>();
    let y = args
        .output("y", &kept.iter().map(|&i| x.dims[i]).collect::<Vec<_>>())?
        .flat();
    let together = axes.windows(2).all(|w| w[0] + 1 == w[1]);
    let (before, after) = match (together, axes.first()) {
        (true, Some(&first)) => kept.split_at(first),
        _ => (&kept[..], &[][..]),
    };
    let sizes = [size(before), size(&axes), size(after)];
    let perm = [before, &axes, after].concat();
    let x = x.permuted(&perm).shaped(&sizes);
    let mean = args.op() == "mean";
    let square = args.op() == "sum_square";
    Plan::new(
        vec![x],
        y,
        move |_, x| match (mean, square) {
            (true, _) => ops::mean(&x[0], 1),
            (_, true) => ops::sum(&ops::square(&x[0]), 1),
            _ => ops::sum(&x[0], 1),
        },
        move |x| {
            let squares: Vec<Real> = x[0]
                .iter()
                .map(|&v| if square { v * v } else { v })
                .collect();
            let scale = if mean {
                Real::rounded(1.0 / sizes[1] as f64)
            } else {
                Real::constant(1.0)
            };
            let scaled = |sum: Real| if mean { sum * scale } else { sum };
            definitions::sums(&squares, sizes)
                .into_iter()
                .map(scaled)
                .collect()
        },
    )
}
