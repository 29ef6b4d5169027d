//! Running one case on one adapter: forward against f64, gradient in a random direction, equal bits on a second
//! run, and no write beside a tensor.

use super::{Case, Law, Output, Real, U};
use crate::gpu::Gpu;
use crate::philox::Stream;
use crate::tensor::Tensor;

/// Adapters may flush subnormal numbers, so nothing closer than the smallest normal one counts as an error.
const FLOOR: f64 = 1.2e-38;

/// Rounding of the gradient check, in units of u and relative to the sizes of the summed terms: an op's gradient
/// is itself a few sums and products, whose errors partly cancel in the product with a random direction.
const GRADIENT_UNITS: f64 = 64.0;

/// How a case went on an adapter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Worst error of the forward result as a share of its bound; at most 1.
    pub forward: f64,
    /// Error of the directional derivative as a share of its bound; `None` if the case has no gradient.
    pub gradient: Option<f64>,
}

/// Runs `case` on `gpu`, which should be opened with `poison`.
///
/// # Errors
/// Says what differs, where, and by how much.
pub fn check(gpu: &Gpu, case: &Case) -> Result<Outcome, String> {
    let numbers: Vec<Vec<f32>> = (0..case.inputs.len()).map(|i| entries(case, i)).collect();
    let directions: Vec<Vec<f64>> = (0..case.inputs.len()).map(|i| direction(case, i)).collect();
    let reals: Vec<Vec<Real>> = numbers.iter().zip(&directions).map(|(x, d)| with_direction(x, d)).collect();
    let expected = (case.define)(&reals);

    let first = run(gpu, case, &numbers)?;
    let second = run(gpu, case, &numbers)?;
    if bits(&first.values) != bits(&second.values) {
        return Err("two runs gave different bits".into());
    }
    let forward = compare(&first.values, &expected)?;
    let gradient = match (&first.grads, &second.grads) {
        (Some(a), Some(b)) if a.iter().map(|g| bits(g)).ne(b.iter().map(|g| bits(g))) => {
            return Err("two backward passes gave different bits".into());
        }
        (Some(grads), _) => Some(compare_gradient(grads, &directions, &expected)?),
        _ => None,
    };
    gpu.check_guards()?;
    Ok(Outcome { forward, gradient })
}

struct Results {
    values: Vec<f32>,
    /// Gradients of Σ cotangent · output for every input, zeros where none is wanted.
    grads: Option<Vec<Vec<f32>>>,
}

fn run(gpu: &Gpu, case: &Case, numbers: &[Vec<f32>]) -> Result<Results, String> {
    let tensors: Vec<Tensor> =
        case.inputs.iter().zip(numbers).map(|(input, x)| Tensor::from_slice(gpu, x, &input.dims[..])).collect();
    let leaves: Vec<Tensor> =
        case.inputs.iter().zip(tensors).map(|(input, t)| if input.wants_grad { t.leaf() } else { t }).collect();
    let output = match (case.run)(gpu, &leaves) {
        Output::Codes(codes) => {
            return Ok(Results { values: halves(codes.to_vec()), grads: None });
        }
        Output::Tensor(tensor) => tensor,
    };
    let values = output.to_vec();
    if !case.inputs.iter().any(|i| i.wants_grad) {
        return Ok(Results { values, grads: None });
    }
    let weights: Vec<f32> = (0..values.len() as u32).map(|i| cotangent(i) as f32).collect();
    let grads = output.backward_from(Tensor::from_slice(gpu, &weights, output.shape()));
    let mut all = Vec::new();
    for (i, (input, leaf)) in case.inputs.iter().zip(&leaves).enumerate() {
        all.push(match grads.get(leaf) {
            Some(grad) => grad.to_vec(),
            None if input.wants_grad => return Err(format!("input {i} got no gradient")),
            None => vec![0.0; leaf.count()],
        });
    }
    Ok(Results { values, grads: Some(all) })
}

/// Worst error as a share of the bound.
///
/// # Errors
/// If lengths differ, a number on either side or its bound is not finite, or an error is over its bound.
pub fn compare(values: &[f32], expected: &[Real]) -> Result<f64, String> {
    if values.len() != expected.len() {
        return Err(format!("{} results where the definition has {}", values.len(), expected.len()));
    }
    let mut worst: f64 = 0.0;
    for (i, (&got, want)) in values.iter().zip(expected).enumerate() {
        // By bit pattern on the host: drivers may fold a comparison with NaN.
        if !got.is_finite() || !want.value.is_finite() || !want.bound.is_finite() {
            return Err(format!("element {i}: got {got}, expected {} ± {}", want.value, want.bound));
        }
        let error = (f64::from(got) - want.value).abs();
        // The result itself is rounded to f32 once more by being stored.
        let share = error / (want.bound + FLOOR);
        if share > 1.0 {
            return Err(format!(
                "element {i}: got {got}, expected {} ± {:.3e}; the error is {share:.3} of the bound",
                want.value, want.bound
            ));
        }
        worst = worst.max(share);
    }
    Ok(worst)
}

/// ⟨cotangent, J direction⟩ of the definition against ⟨Jᵀ cotangent, direction⟩ of the GPU.
fn compare_gradient(grads: &[Vec<f32>], directions: &[Vec<f64>], expected: &[Real]) -> Result<f64, String> {
    let (mut left, mut right, mut size, mut carried) = (0.0, 0.0, 0.0, 0.0);
    for (i, e) in expected.iter().enumerate() {
        let term = f64::from(cotangent(i as u32) as f32) * e.tangent;
        left += term;
        size += term.abs();
        carried += cotangent(i as u32).abs() * e.bound;
    }
    for (grad, direction) in grads.iter().zip(directions) {
        for (&g, d) in grad.iter().zip(direction) {
            if !g.is_finite() {
                return Err(format!("gradient has {g}"));
            }
            right += f64::from(g) * d;
            size += (f64::from(g) * d).abs();
        }
    }
    let share = (left - right).abs() / (GRADIENT_UNITS * U * size + carried.min(size * 1e-5) + FLOOR);
    if share.is_nan() || share > 1.0 {
        return Err(format!(
            "gradient along a random direction: got {right:.9e}, expected {left:.9e}; {share:.3} of the bound"
        ));
    }
    Ok(share)
}

/// Codes as (high, low) halves, each of which f32 holds exactly.
fn halves(codes: Vec<u32>) -> Vec<f32> {
    codes.into_iter().flat_map(|c| [(c >> 16) as f32, (c & 0xffff) as f32]).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn with_direction(numbers: &[f32], direction: &[f64]) -> Vec<Real> {
    let real = |(&x, &d): (&f32, &f64)| Real { value: f64::from(x), tangent: d, bound: 0.0 };
    numbers.iter().zip(direction).map(real).collect()
}

fn stream(input: usize, purpose: u32) -> Stream {
    Stream { seed: 20_220_717, step: input as u32, stream: purpose }
}

fn cotangent(i: u32) -> f64 {
    stream(0, 2).normal(i)
}

fn entries(case: &Case, input: usize) -> Vec<f32> {
    let (spec, stream) = (&case.inputs[input], stream(input, 0));
    let count = spec.dims.iter().product::<usize>() as u32;
    match &spec.law {
        Law::Normal(scale) => (0..count).map(|i| stream.normal(i) as f32 * scale).collect(),
        Law::Uniform(low, high) => (0..count).map(|i| low + (high - low) * stream.uniform(i)).collect(),
        Law::Given(numbers) => numbers.clone(),
    }
}

fn direction(case: &Case, input: usize) -> Vec<f64> {
    let (spec, stream) = (&case.inputs[input], stream(input, 1));
    let count = spec.dims.iter().product::<usize>() as u32;
    (0..count).map(|i| if spec.wants_grad { stream.normal(i) } else { 0.0 }).collect()
}
