//! Softmax and losses.

use super::super::super::Real;
use super::super::super::ops::definitions::{self, centred};
use super::super::args::Args;
use super::super::plan::{Place, Plan};
use crate::ops;
use crate::tensor::{Codes, Tensor};

/// Softmax or its logarithm along `axis`.
pub fn softmax(args: &mut Args) -> Result<Plan, String> {
    let x = args.tensor("x")?;
    let axis = args.axis(-1, x.dims.len())?;
    let y = args.output("y", &x.dims)?.last(axis).rows();
    let x = x.last(axis).rows();
    let k = x.dims[1];
    let log = args.op() == "log_softmax";
    Plan::new(
        vec![x],
        y,
        move |_, x| {
            if log {
                ops::log_softmax(&x[0], 1.0)
            } else {
                ops::softmax(&x[0], 1.0)
            }
        },
        move |x| normalised(&x[0], k, Real::constant(1.0), log),
    )
}

fn normalised(x: &[Real], k: usize, scale: Real, log: bool) -> Vec<Real> {
    let finish = |(logit, sum): (Real, Real)| {
        if log {
            logit - sum
        } else {
            (logit - sum).exp()
        }
    };
    x.chunks(k)
        .flat_map(|row| centred(row, scale).into_iter().map(finish))
        .collect()
}

/// softmax((logits − log(−log uniform))/tau) along the last dimension.
pub fn gumbel_softmax(args: &mut Args) -> Result<Plan, String> {
    let logits = args.tensor("logits")?;
    let uniform = args.of_dims("uniform", &logits.dims)?.rows().constant();
    let tau = args.number("tau", 1.0)?;
    let y = args.output("y", &logits.dims)?.rows();
    let logits = logits.rows();
    let k = logits.dims[1];
    let negative_log = |x: &Tensor| ops::affine(&ops::log(x), -1.0, 0.0);
    Plan::new(
        vec![logits, uniform],
        y,
        move |_, x| ops::gumbel_softmax(&x[0], &negative_log(&negative_log(&x[1])), tau as f32),
        move |x| {
            let noisy: Vec<Real> = x[0]
                .iter()
                .zip(&x[1])
                .map(|(&l, &u)| l + -(-u.ln()).ln())
                .collect();
            normalised(&noisy, k, Real::rounded(1.0 / tau), false)
        },
    )
}

/// How row losses are reduced to one.
#[derive(Clone, Copy, PartialEq)]
enum Reduction {
    Mean,
    Sum,
    None,
}

/// Inputs of the row losses: a score per class, the class, and optionally a weight per row.
struct Rows {
    inputs: Vec<Place>,
    loss: Place,
    target: Vec<u32>,
    k: usize,
    reduction: Reduction,
}

impl Rows {
    fn read(args: &mut Args, name: &'static str) -> Result<Rows, String> {
        let (scores, [n, k]) = args.ranked(name)?;
        let (dims, target) = args.codes("target", k)?;
        if dims != [n] {
            return Err(format!("tensor in.target is {dims:?}; it must be [{n}]"));
        }
        let weight = args.maybe_of_dims("weight", &[n])?.map(Place::constant);
        let reduction = match args.word("reduction", &["mean", "sum", "none"])? {
            "mean" => Reduction::Mean,
            "sum" => Reduction::Sum,
            _ => Reduction::None,
        };
        let loss = args.output("loss", &[if reduction == Reduction::None { n } else { 1 }])?;
        let mut inputs = vec![scores];
        inputs.extend(weight);
        Ok(Rows {
            inputs,
            loss,
            target,
            k,
            reduction,
        })
    }

    /// The plan, given the loss of each row on the GPU and in f64.
    fn plan(
        self,
        run: impl Fn(&Tensor, &Codes) -> Tensor + 'static,
        define: impl Fn(&[Real], usize) -> Real + 'static,
    ) -> Result<Plan, String> {
        let Rows {
            inputs,
            loss,
            target,
            k,
            reduction,
        } = self;
        let codes = target.clone();
        let n = target.len();
        let on_gpu = move |gpu: &_, x: &[Tensor]| {
            let mut rows = run(&x[0], &Codes::from_slice(gpu, &codes, [n]));
            rows = x
                .get(1)
                .map_or(rows.clone(), |weight| ops::mul(&rows, weight));
            match (reduction, x.get(1)) {
                (Reduction::None, _) => rows,
                (Reduction::Mean, Some(weight)) => {
                    ops::div(&ops::sum_all(&rows), &ops::sum_all(weight)).reshape([1])
                }
                (Reduction::Mean, None) => ops::mean_all(&rows).reshape([1]),
                (Reduction::Sum, _) => ops::sum_all(&rows).reshape([1]),
            }
        };
        let in_f64 = move |x: &[Vec<Real>]| {
            let rows = x[0]
                .chunks(k)
                .zip(&target)
                .map(|(row, &target)| define(row, target as usize));
            let rows: Vec<Real> = match x.get(1) {
                Some(weight) => rows.zip(weight).map(|(loss, &w)| loss * w).collect(),
                None => rows.collect(),
            };
            let sum = |terms: &[Real]| Real::sum(terms.iter().copied());
            match (reduction, x.get(1)) {
                (Reduction::None, _) => rows,
                (Reduction::Mean, Some(weight)) => vec![sum(&rows) / sum(weight)],
                (Reduction::Mean, None) => vec![sum(&rows) * Real::rounded(1.0 / n as f64)],
                (Reduction::Sum, _) => vec![sum(&rows)],
            }
        };
        Plan::new(inputs, loss, on_gpu, in_f64)
    }
}

/// −log softmax(logits)[target] of each row.
pub fn cross_entropy(args: &mut Args) -> Result<Plan, String> {
    Rows::read(args, "logits")?.plan(ops::cross_entropy, |row, target| {
        let (logit, sum) = centred(row, Real::constant(1.0))[target];
        sum - logit
    })
}

/// −x[target] of each row, where x are log probabilities.
pub fn nll_loss(args: &mut Args) -> Result<Plan, String> {
    let rows = Rows::read(args, "x")?;
    let k = rows.k;
    let n = rows.target.len();
    // Indices into the flattened rows, whose entries serve as a table.
    let places: Vec<u32> = rows
        .target
        .iter()
        .enumerate()
        .map(|(row, &t)| (row * k) as u32 + t)
        .collect();
    let picked = move |x: &Tensor, codes: &Codes| {
        let codes = Codes::from_slice(codes.gpu(), &places, [n]);
        ops::affine(
            &ops::gather(&x.reshape([n * k, 1]), &codes).reshape([n]),
            -1.0,
            0.0,
        )
    };
    rows.plan(picked, |row, target| -row[target])
}

/// Mean of (a − b)².
pub fn mse(args: &mut Args) -> Result<Plan, String> {
    let a = args.tensor("a")?;
    let b = args.of_dims("b", &a.dims)?;
    let y = args.output("y", &[1])?;
    Plan::new(
        vec![a.flat(), b.flat()],
        y,
        |_, x| ops::mse(&x[0], &x[1]).reshape([1]),
        |x| vec![Real::sum(definitions::mse(x))],
    )
}

/// KL(softmax(p) || softmax(q)) along the last dimension, which is removed.
pub fn kl_divergence(args: &mut Args) -> Result<Plan, String> {
    let p = args.tensor("p")?;
    let q = args.of_dims("q", &p.dims)?.rows();
    let kept = p.dims[..p.dims.len().saturating_sub(1)].to_vec();
    let y = args.output("y", &kept)?.flat();
    let p = p.rows();
    let k = p.dims[1];
    Plan::new(
        vec![p, q],
        y,
        |_, x| ops::kl_divergence(&x[0], &x[1]),
        move |x| {
            x[0].chunks(k)
                .zip(x[1].chunks(k))
                .map(|(p, q)| definitions::divergence(p, q))
                .collect()
        },
    )
}
