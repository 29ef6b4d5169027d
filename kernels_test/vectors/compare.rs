//! One vector on one adapter: the GPU, the definition in f64 and the file, each against the others.

use super::super::check::{FLOOR, GRADIENT_UNITS};
use super::super::{Outcome, Output, Real, Shares, U};
use super::Vector;
use super::file::Numbers;
use super::plan::{Place, Plan};
use crate::gpu::Gpu;
use crate::philox::Stream;
use crate::tensor::Tensor;

/// Agreement of two computations in f64, relative to the sizes of the summed terms.
const DOUBLE: f64 = 1e-9;
/// Entries of the Jacobian up to which every one is computed; above, the gradient is checked along one direction.
const ENTRIES: usize = 40_000_000;

/// How the vector goes on `gpu`.
pub fn check(vector: &Vector, gpu: &Gpu) -> Result<Outcome, String> {
    let plan = vector.plan()?;
    let side = Side::new(vector, &plan);
    let expected = side.define(&plan, |_, _| 0.0);
    let (tensors, results) = side.run(&plan, gpu);
    let mut forward = Shares::default();
    for (i, place) in plan.outputs.iter().enumerate() {
        let Some(array) = vector.tensors.get(&format!("out.{}", place.name)) else { continue };
        let got: Vec<f64> = match &results[i] {
            Output::Tensor(tensor) => tensor.to_vec().into_iter().map(f64::from).collect(),
            Output::Codes(codes) => codes.to_vec().into_iter().flat_map(halves).collect(),
        };
        let file = File::new(place, &array.numbers, matches!(results[i], Output::Codes(_)))?;
        forward = forward.worst(compare_output(place, &got, &expected[i], &file)?);
    }
    let gradient = match side.weights(&plan) {
        Some((output, weights)) => {
            let Output::Tensor(result) = &results[output] else { unreachable!("weights are of numbers") };
            let single: Vec<f32> = weights.iter().map(|&w| w as f32).collect();
            let grads = result.backward_from(Tensor::from_slice(gpu, &single, result.shape()));
            let of = |i: usize| grads.get(&tensors[i]).map(Tensor::to_vec);
            Some(compare_gradients(&side, &plan, output, &weights, of)?)
        }
        None => None,
    };
    gpu.check_guards()?;
    Ok(Outcome::of(forward, gradient))
}

/// A result in the file, in the engine's order.
pub(super) struct File {
    pub values: Vec<f64>,
    pub single: bool,
}

impl File {
    fn new(place: &Place, numbers: &Numbers, codes: bool) -> Result<File, String> {
        match numbers {
            Numbers::Float { values, single } if !codes => Ok(File { values: place.take(values), single: *single }),
            Numbers::Index(all) if codes => {
                Ok(File { values: place.take(all).into_iter().flat_map(halves).collect(), single: false })
            }
            _ if codes => Err(format!("tensor out.{} must be of indices, I64 or U32", place.name)),
            _ => Err(format!("tensor out.{} is of indices; it must be F32 or F64", place.name)),
        }
    }
}

/// A code as f32 holds it exactly.
fn halves(code: u32) -> [f64; 2] {
    Real::code(code).map(|half| half.value)
}

/// `one` and `other` apart by what share of `bound`.
fn apart(at: &str, [one, other]: [(&str, f64); 2], bound: f64) -> Result<f64, String> {
    let share = (one.1 - other.1).abs() / (bound + FLOOR);
    if share <= 1.0 {
        return Ok(share);
    }
    Err(format!(
        "{at}: {} {:.9e}, {} {:.9e} ± {bound:.3e}; apart by {share:.3} of the bound",
        one.0, one.1, other.0, other.1
    ))
}

pub(super) fn compare_output(place: &Place, got: &[f64], expected: &[Real], file: &File) -> Result<Shares, String> {
    if got.len() != expected.len() || got.len() != file.values.len() {
        return Err(format!("out.{}: {} results, {} in the file", place.name, got.len(), file.values.len()));
    }
    let halves = got.len() / place.order.len();
    let mut worst = Shares::default();
    for (i, ((&got, want), &given)) in got.iter().zip(expected).zip(&file.values).enumerate() {
        let at = format!("out.{} element {}", place.name, place.order[i / halves]);
        if !got.is_finite() || !want.value.is_finite() || !want.bound.is_finite() {
            return Err(format!("{at}: the GPU has {got}, the definition {} ± {}", want.value, want.bound));
        }
        // The bound holds n u Σ|terms| and the like, so that bound/u is the size of what was summed.
        let definition = match file.single {
            false => DOUBLE * want.bound / U + 1e-12 * want.value.abs(),
            true => want.bound + 0.5 * U * given.abs(),
        };
        apart(&at, [("the definition has", want.value), ("the file", given)], definition)?;
        let bound = apart(&at, [("the GPU has", got), ("the definition", want.value)], want.bound)?;
        let to_file = apart(&at, [("the GPU has", got), ("the file", given)], want.bound + definition)?;
        let likely = (got - want.value).abs() / (want.likely + FLOOR);
        worst = worst.worst(Shares { bound: bound.max(to_file), likely });
    }
    Ok(worst)
}

/// Numbers of the file that go in.
struct Side<'a> {
    vector: &'a Vector,
    inputs: Vec<Vec<f64>>,
}

impl<'a> Side<'a> {
    fn new(vector: &'a Vector, plan: &Plan) -> Side<'a> {
        let inputs =
            plan.inputs.iter().map(|place| Self::numbers(vector, "in", place).map_or(Vec::new(), |f| f.values));
        Side { vector, inputs: inputs.collect() }
    }

    fn numbers(vector: &Vector, part: &str, place: &Place) -> Option<File> {
        let array = vector.tensors.get(&format!("{part}.{}", place.name))?;
        File::new(place, &array.numbers, false).ok()
    }

    /// The definition with the derivative along `direction` (input, element).
    fn define(&self, plan: &Plan, direction: impl Fn(usize, usize) -> f64) -> Vec<Vec<Real>> {
        let real = |i: usize, (j, &x): (usize, &f64)| {
            // The GPU gets the number rounded to f32.
            let rounding = Real::within(x, (f64::from(x as f32) - x).abs());
            Real { tangent: direction(i, j), ..rounding }
        };
        let reals: Vec<Vec<Real>> =
            self.inputs.iter().enumerate().map(|(i, x)| x.iter().enumerate().map(|e| real(i, e)).collect()).collect();
        (plan.define)(&reals)
    }

    fn run(&self, plan: &Plan, gpu: &Gpu) -> (Vec<Tensor>, Vec<Output>) {
        let tensor = |(place, x): (&Place, &Vec<f64>)| {
            let single: Vec<f32> = x.iter().map(|&x| x as f32).collect();
            let tensor = Tensor::from_slice(gpu, &single, &place.dims);
            if self.grad(place).is_some() { tensor.leaf() } else { tensor }
        };
        let tensors: Vec<Tensor> = plan.inputs.iter().zip(&self.inputs).map(tensor).collect();
        let results = (plan.run)(gpu, &tensors);
        (tensors, results)
    }

    fn grad(&self, place: &Place) -> Option<File> {
        Self::numbers(self.vector, "grad", place)
    }

    /// The output that a gradient is of, and its weights; none if the file has no gradient.
    fn weights(&self, plan: &Plan) -> Option<(usize, Vec<f64>)> {
        plan.inputs.iter().find(|place| self.grad(place).is_some())?;
        let weights = |(i, place)| Some((i, Self::numbers(self.vector, "cot", place)?.values));
        plan.outputs.iter().enumerate().find_map(weights)
    }
}

fn compare_gradients(
    side: &Side,
    plan: &Plan,
    output: usize,
    weights: &[f64],
    of: impl Fn(usize) -> Option<Vec<f32>>,
) -> Result<Shares, String> {
    let mut worst = Shares::default();
    for (i, place) in plan.inputs.iter().enumerate() {
        let Some(file) = side.grad(place) else { continue };
        let got = of(i).ok_or_else(|| format!("grad.{}: the op gave no gradient", place.name))?;
        let got: Vec<f64> = got.into_iter().map(f64::from).collect();
        if let Some(j) = got.iter().position(|g| !g.is_finite()) {
            return Err(format!("grad.{} element {}: the GPU has {}", place.name, place.order[j], got[j]));
        }
        let share = match got.len() * weights.len() <= ENTRIES {
            true => every_entry(side, plan, (i, output), weights, (&got, &file))?,
            false => one_direction(side, plan, (i, output), weights, (&got, &file))?,
        };
        worst = worst.worst(share);
    }
    Ok(worst)
}

/// Σ cot · derivative along a direction: its value, Σ|terms|, and what errors of the results carry into it.
fn derivative(expected: &[Real], weights: &[f64]) -> [f64; 3] {
    let mut sums = [0.0; 3];
    for (e, w) in expected.iter().zip(weights) {
        let term = w * e.tangent;
        sums[0] += term;
        sums[1] += term.abs();
        // A result off by a part of itself, as one of exp is, is off by that part in its derivative.
        sums[2] += term.abs() * (e.bound / e.value.abs().max(f64::MIN_POSITIVE)).min(1e-5);
    }
    sums
}

/// Each element of the gradient against its column of the Jacobian.
fn every_entry(
    side: &Side,
    plan: &Plan,
    (input, output): (usize, usize),
    weights: &[f64],
    (got, file): (&[f64], &File),
) -> Result<Shares, String> {
    let column = |j: usize| {
        let expected = side.define(plan, |i, k| if (i, k) == (input, j) { 1.0 } else { 0.0 });
        derivative(&expected[output], weights)
    };
    let columns: Vec<[f64; 3]> = (0..got.len()).map(column).collect();
    // What elements share, such as the mean under a normalisation, has the size of an average element.
    let shared = columns.iter().map(|c| c[1]).sum::<f64>() / columns.len() as f64;
    let place = &plan.inputs[input];
    let mut worst = Shares::default();
    for (j, [value, size, carried]) in columns.into_iter().enumerate() {
        let at = format!("grad.{} element {}", place.name, place.order[j]);
        let bound = GRADIENT_UNITS * U * (size + shared) + carried;
        let double = (!file.single).then_some(DOUBLE * (size + shared));
        worst = worst.worst(triangle(&at, [got[j], value, file.values[j]], bound, double)?);
    }
    Ok(worst)
}

/// The gradient times one random direction.
fn one_direction(
    side: &Side,
    plan: &Plan,
    (input, output): (usize, usize),
    weights: &[f64],
    (got, file): (&[f64], &File),
) -> Result<Shares, String> {
    let stream = Stream { seed: 20_220_717, step: input as u32, stream: 7, first: 0 };
    let direction: Vec<f64> = (0..got.len() as u32).map(|j| stream.normal(j)).collect();
    let expected = side.define(plan, |i, j| if i == input { direction[j] } else { 0.0 });
    let [value, size, carried] = derivative(&expected[output], weights);
    let along = |grad: &[f64]| grad.iter().zip(&direction).map(|(g, d)| g * d).sum::<f64>();
    let size = size + got.iter().zip(&direction).map(|(g, d)| (g * d).abs()).sum::<f64>();
    let at = format!("grad.{} along a random direction", plan.inputs[input].name);
    let bound = GRADIENT_UNITS * U * size + carried;
    triangle(&at, [along(got), value, along(&file.values)], bound, (!file.single).then_some(DOUBLE * size))
}

/// The GPU, the definition and the file against each other; `double` is how near the last two must be if both are in f64.
pub(super) fn triangle(
    at: &str,
    [got, value, given]: [f64; 3],
    bound: f64,
    double: Option<f64>,
) -> Result<Shares, String> {
    let definition = double.unwrap_or(bound + 0.5 * U * given.abs());
    apart(at, [("the definition has", value), ("the file", given)], definition)?;
    let one = apart(at, [("the GPU has", got), ("the definition", value)], bound)?;
    let other = apart(at, [("the GPU has", got), ("the file", given)], bound + definition)?;
    Ok(Shares { bound: one.max(other), likely: one.max(other) })
}
