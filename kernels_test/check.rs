//! Runs one case on one adapter. Checks the output against the definition in f64, each input's
//! gradient along a random direction, that a second run gives the same bits, and that nothing is
//! written outside a tensor.

pub(super) mod tell;

#[cfg(test)]
mod tests;

use std::cell::{Cell, OnceCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::modes::rounds_to_f16;
use super::outcome::{Outcome, Verdict};
use super::shares::{FLOOR, Shares};
use super::slopes::{CARRIED, UNITS};
use super::wrong::{Tally, Wrong, times};
use super::{Case, Law, Output, Real, U};
use crate::error::{Error, panic_text};
use crate::gpu::{Gpu, Launch};
use crate::philox::Stream;
use crate::tensor::Tensor;

/// Inputs longer than this get a second check of their ends alone, `ENDS` elements at either side.
const LARGE: usize = 4096;
const ENDS: usize = 64;

/// Runs `run`, turning engine errors and panics into an outcome.
pub fn guarded(run: impl FnOnce() -> Result<Outcome, String>) -> Outcome {
    let payload = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => return result.unwrap_or_else(|what| Outcome::failed(Verdict::Fail, what)),
        Err(payload) => payload,
    };
    match payload.downcast::<Error>() {
        Ok(error) => match *error {
            Error::OutOfMemory(what) => Outcome::failed(Verdict::ResourceError, what),
            Error::DeviceLost(what) => Outcome::failed(Verdict::Crash, what),
            other => Outcome::failed(Verdict::Fail, other.to_string()),
        },
        Err(panic) => Outcome::failed(Verdict::Fail, format!("panic: {}", panic_text(&*panic))),
    }
}

/// Runs `case` on `gpu`, which should be opened with `poison`.
pub fn check(gpu: &Gpu, case: &Case) -> Outcome {
    Expectation::of(case).check(gpu)
}

/// A case with its inputs and the results of its definition, which are the same for every adapter.
pub struct Expectation<'a> {
    case: &'a Case,
    /// Whether inputs and cotangents are f16 numbers, so that a device that rounds to f16 has the
    /// same definition and bounds as any other.
    of_f16: bool,
    for_f16: OnceCell<Box<Expectation<'a>>>,
    numbers: Vec<Vec<f32>>,
    forward: Vec<Real>,
    /// For each input with a gradient: its index, a direction, and the result with its derivative
    /// along it. Large inputs get a second direction, over their first and last elements only.
    gradients: Vec<(usize, Vec<f64>, Vec<Real>)>,
}

impl<'a> Expectation<'a> {
    /// Evaluates the definition once per direction along which a gradient is checked, at least
    /// once.
    pub fn of(case: &'a Case) -> Expectation<'a> {
        Expectation::with(case, false)
    }

    fn with(case: &'a Case, of_f16: bool) -> Expectation<'a> {
        let rounded = |x: f32| if of_f16 { to_f16(x) } else { x };
        let numbers = |i| entries(case, i).into_iter().map(rounded).collect();
        let numbers: Vec<Vec<f32>> = (0..case.inputs.len()).map(numbers).collect();
        // One input at a time: a large one would hide errors of a small one.
        let along =
            |input: Option<usize>, kept: fn(usize, usize) -> bool| -> (Vec<f64>, Vec<Real>) {
                let mut direction = input.map_or_else(Vec::new, |i| direction(case, i));
                let count = direction.len();
                direction
                    .iter_mut()
                    .enumerate()
                    .filter(|(at, _)| !kept(*at, count))
                    .for_each(|(_, d)| *d = 0.0);
                let real = |i: usize, at: usize| {
                    let tangent = if input == Some(i) { direction[at] } else { 0.0 };
                    Real::input(f64::from(numbers[i][at]), tangent)
                };
                let reals = |i: usize| (0..numbers[i].len()).map(|at| real(i, at)).collect();
                let result = (case.define)(&(0..numbers.len()).map(reals).collect::<Vec<_>>());
                (direction, result)
            };
        let wanted = (0..case.inputs.len()).filter(|&i| case.inputs[i].wants_grad);
        let mut gradients = Vec::new();
        for i in wanted {
            let (direction, result) = along(Some(i), |_, _| true);
            gradients.push((i, direction, result));
            // A few wrong elements go unnoticed among many, and tails and corners are where kernels
            // go wrong.
            if numbers[i].len() > LARGE {
                let (direction, result) =
                    along(Some(i), |at, count| at < ENDS || at + ENDS >= count);
                gradients.push((i, direction, result));
            }
        }
        let forward = gradients.first().map_or_else(
            || along(None, |_, _| true).1,
            |(_, _, result)| result.clone(),
        );
        Expectation {
            case,
            of_f16,
            for_f16: OnceCell::new(),
            numbers,
            forward,
            gradients,
        }
    }

    /// Runs the case on `gpu`, which should be opened with `poison`.
    pub fn check(&self, gpu: &Gpu) -> Outcome {
        guarded(|| match gpu.cooperative() {
            Some(_) if rounds_to_f16(self.case.op) => self
                .for_f16
                .get_or_init(|| Box::new(Expectation::with(self.case, true)))
                .compare(gpu),
            _ => self.compare(gpu),
        })
    }

    fn compare(&self, gpu: &Gpu) -> Result<Outcome, String> {
        let first = run(gpu, self.case, &self.numbers, self.of_f16)?;
        let second = run(gpu, self.case, &self.numbers, self.of_f16)?;
        if bits(&first.values) != bits(&second.values) {
            return Err(tell::differing(
                "output",
                &first.values,
                &second.values,
                &first.kernels[0],
            ));
        }
        let forward = match judge(&first.values, &self.forward)? {
            Ok(shares) => shares,
            Err(wrong) => return Ok(tell::output(self, &first, wrong)),
        };
        let mut gradient = None;
        if let (Some(a), Some(b)) = (&first.grads, &second.grads) {
            if let Some(input) = (0..a.len()).find(|&i| bits(&a[i]) != bits(&b[i])) {
                let what = format!("gradient of input {input}");
                return Err(tell::differing(
                    &what,
                    &a[input],
                    &b[input],
                    &first.kernels[1],
                ));
            }
            for (input, direction, expected) in &self.gradients {
                match compare_gradient(&a[*input], direction, expected, self.of_f16) {
                    Ok(share) => gradient = Some(share.worst(gradient.unwrap_or_default())),
                    Err(what) => return Ok(tell::gradient(self, &first, *input, &what)),
                }
            }
        }
        gpu.check_guards()?;
        Ok(Outcome::of(forward, gradient))
    }
}

thread_local! {
    static SPOIL: Cell<bool> = const { Cell::new(false) };
}

/// Sets whether the last number of every result on this thread is made wrong, so that a test of the
/// command sees how it reports wrong numbers without a broken driver.
pub fn spoil(wrong: bool) {
    SPOIL.set(wrong);
}

/// Applies [`spoil`] to a result.
pub(super) fn spoiled(mut values: Vec<f32>) -> Vec<f32> {
    if let Some(last) = values.last_mut().filter(|_| SPOIL.get()) {
        *last += 1.0;
    }
    values
}

struct Results {
    values: Vec<f32>,
    dims: Vec<usize>,
    /// Whether `values` are halves of codes.
    codes: bool,
    /// Gradients of Σ cotangent · output for every input, empty where none is wanted.
    grads: Option<Vec<Vec<f32>>>,
    /// Kernels of the forward and the backward pass.
    kernels: [Vec<Launch>; 2],
}

fn run(gpu: &Gpu, case: &Case, numbers: &[Vec<f32>], of_f16: bool) -> Result<Results, String> {
    let tensors: Vec<Tensor> = case
        .inputs
        .iter()
        .zip(numbers)
        .map(|(input, x)| Tensor::from_slice(gpu, x, &input.dims[..]))
        .collect();
    let leaves: Vec<Tensor> = case
        .inputs
        .iter()
        .zip(tensors)
        .map(|(input, t)| if input.wants_grad { t.leaf() } else { t })
        .collect();
    let (output, forward) = gpu.launches(|| (case.run)(gpu, &leaves));
    let output = match output {
        Output::Codes(codes) => {
            let values = halves(codes.to_vec());
            let dims = codes.shape().dims().to_vec();
            return Ok(Results {
                values,
                dims,
                codes: true,
                grads: None,
                kernels: [forward, Vec::new()],
            });
        }
        Output::Tensor(tensor) => tensor,
    };
    let values = spoiled(output.to_vec());
    let dims = output.shape().dims().to_vec();
    if !case.inputs.iter().any(|i| i.wants_grad) {
        return Ok(Results {
            values,
            dims,
            codes: false,
            grads: None,
            kernels: [forward, Vec::new()],
        });
    }
    let weights: Vec<f32> = (0..values.len() as u32)
        .map(|i| cotangent(i, of_f16))
        .collect();
    let (grads, backward) =
        gpu.launches(|| output.backward_from(Tensor::from_slice(gpu, &weights, output.shape())));
    let mut all = Vec::new();
    for (i, (input, leaf)) in case.inputs.iter().zip(&leaves).enumerate() {
        all.push(match grads.get(leaf) {
            Some(grad) => grad.to_vec(),
            None if input.wants_grad => return Err(format!("input {i} got no gradient")),
            None => Vec::new(),
        });
    }
    Ok(Results {
        values,
        dims,
        codes: false,
        grads: Some(all),
        kernels: [forward, backward],
    })
}

/// Worst errors as shares of the bounds.
///
/// # Errors
/// If lengths differ, a number on either side or its bound is not finite, or an error is over its
/// bound.
pub fn compare(values: &[f32], expected: &[Real]) -> Result<Shares, String> {
    judge(values, expected)?.map_err(|wrong| tell::wrong("", values, expected, &[], wrong))
}

/// As [`compare`], but returns the worst element if one is wrong.
fn judge(values: &[f32], expected: &[Real]) -> Result<Result<Shares, Wrong>, String> {
    if values.len() != expected.len() {
        return Err(format!(
            "{} results where the definition has {}",
            values.len(),
            expected.len()
        ));
    }
    let mut tally = Tally::default();
    for (&got, want) in values.iter().zip(expected) {
        tally.add((f64::from(got) - want.value).abs(), want.bound, want.likely);
    }
    Ok(tally.end())
}

/// Compares ⟨cotangent, J direction⟩ of the definition with ⟨Jᵀ cotangent, direction⟩ of the GPU.
fn compare_gradient(
    grad: &[f32],
    direction: &[f64],
    expected: &[Real],
    of_f16: bool,
) -> Result<Shares, String> {
    let mut left = 0.0;
    let mut right = 0.0;
    let mut size = 0.0;
    let mut bound = 0.0;
    let mut likely = 0.0;
    for (i, e) in expected.iter().enumerate() {
        let weight = f64::from(cotangent(i as u32, of_f16));
        left += weight * e.tangent;
        size += (weight * e.tangent).abs();
        bound += weight.abs() * e.bound;
        likely += weight.abs() * e.likely;
    }
    for (&g, d) in grad.iter().zip(direction) {
        if !g.is_finite() {
            return Err(format!("it has {g}"));
        }
        right += f64::from(g) * d;
        size += (f64::from(g) * d).abs();
    }
    let error = (left - right).abs();
    let own = UNITS * U * size + FLOOR;
    // Errors of saved results carry over into the gradient, but by no more than their own size.
    let share = error / (own + bound.min(CARRIED * size));
    if share.is_nan() || share > 1.0 {
        return Err(format!(
            "along a random direction got {right:.9e}, expected {left:.9e}, {}",
            times(share)
        ));
    }
    Ok(Shares {
        bound: share,
        likely: error / (own + likely.min(CARRIED * size)),
    })
}

/// Codes as (high, low) halves, each of which f32 holds exactly.
fn halves(codes: Vec<u32>) -> Vec<f32> {
    codes
        .into_iter()
        .flat_map(|c| [(c >> 16) as f32, (c & 0xffff) as f32])
        .collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn stream(input: usize, purpose: u32) -> Stream {
    Stream {
        seed: 20_220_717,
        step: input as u32,
        stream: purpose,
        first: 0,
    }
}

fn cotangent(i: u32, of_f16: bool) -> f32 {
    let exact = stream(0, 2).normal(i) as f32;
    // So small that f16 would flush it to 0 if kernels did not scale tensors known to be gradients.
    if of_f16 {
        to_f16(exact) * 2.0f32.powi(-18)
    } else {
        exact
    }
}

/// The f16 nearest to `x`, with subnormals flushed to zero.
fn to_f16(x: f32) -> f32 {
    let rounded = half::f16::from_f32(x);
    if rounded.is_normal() {
        rounded.to_f32()
    } else {
        0.0
    }
}

fn entries(case: &Case, input: usize) -> Vec<f32> {
    let spec = &case.inputs[input];
    let stream = stream(input, 0);
    let count = spec.dims.iter().product::<usize>() as u32;
    match &spec.law {
        Law::Normal(scale) => (0..count)
            .map(|i| stream.normal(i) as f32 * scale)
            .collect(),
        Law::Uniform(low, high) => (0..count)
            .map(|i| low + (high - low) * stream.uniform(i))
            .collect(),
        Law::Given(numbers) => numbers.clone(),
    }
}

fn direction(case: &Case, input: usize) -> Vec<f64> {
    let spec = &case.inputs[input];
    let stream = stream(input, 1);
    let count = spec.dims.iter().product::<usize>() as u32;
    (0..count).map(|i| stream.normal(i)).collect()
}
