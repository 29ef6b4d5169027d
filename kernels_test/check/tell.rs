//! Describes a case with wrong numbers: which element, how many, from which inputs, by which
//! kernels.

use super::super::slopes::Traced;
use super::super::wrong::{Tally, Wrong, bits, exact, place};
use super::{Expectation, Real, Results, cotangent};
use crate::gpu::Launch;
use crate::kernels_test::outcome::{Evidence, Outcome, Verdict};
use crate::number::thousands;

/// Most elements of an input, and most kernels, that a message lists.
const NAMED: usize = 3;
const KERNELS: usize = 6;

/// Describes the worst element of `what`, a tensor of shape `dims`.
pub fn wrong(
    what: &str,
    values: &[f32],
    expected: &[Real],
    dims: &[usize],
    wrong: Wrong,
) -> String {
    let at = wrong.element;
    let want = expected[wrong.element];
    let place = place(at, dims);
    let extent = wrong.extent();
    format!(
        "{what}{place}: got {}, expected {} ± {:.3e}; {extent}",
        bits(values[at]),
        exact(want.value),
        want.bound
    )
}

/// Describes how two runs differ.
pub fn differing(what: &str, one: &[f32], other: &[f32], kernels: &[Launch]) -> String {
    let differ = |(_, (a, b)): &(usize, (&f32, &f32))| a.to_bits() != b.to_bits();
    let mut places = one.iter().zip(other).enumerate().filter(differ);
    let count = places.clone().count();
    let first = places.next().map_or(String::new(), |(at, (a, b))| {
        format!(
            ": {what} element {at} is {}, then {}; {} of {} elements differ",
            bits(*a),
            bits(*b),
            thousands(count),
            thousands(one.len())
        )
    });
    format!("two runs gave different bits{first}{}", by(kernels))
}

/// The outcome of a wrong output.
pub(super) fn output(expectation: &Expectation, results: &Results, worst: Wrong) -> Outcome {
    let (what, element) = if results.codes {
        codes(results, expectation, worst)
    } else {
        let what = wrong(
            "output ",
            &results.values,
            &expectation.forward,
            &results.dims,
            worst,
        );
        (what, worst.element)
    };
    let traced = traced(expectation);
    let from = sources(
        &names(expectation),
        &expectation.numbers,
        &traced.sources(0, element),
    );
    let detail = format!("{what}{from}{}", by(&results.kernels[0]));
    Outcome {
        forward: worst.share.min(f64::MAX),
        ..failed(expectation, results, detail)
    }
}

/// Describes the worst code; codes are compared by 16-bit halves. Also returns the index of its
/// first half.
fn codes(results: &Results, expectation: &Expectation, worst: Wrong) -> (String, usize) {
    let pairs = results.values.chunks(2).zip(expectation.forward.chunks(2));
    let is_wrong = |(got, want): &(&[f32], &[Real])| {
        got.iter()
            .zip(*want)
            .any(|(&g, w)| (f64::from(g) - w.value).abs() > w.bound)
    };
    let count = pairs.clone().filter(is_wrong).count();
    let element = worst.element / 2;
    let code = |high: f64, low: f64| (high * 65_536.0 + low) as u64;
    let got = &results.values[2 * element..];
    let want = &expectation.forward[2 * element..];
    let got = code(got[0].into(), got[1].into());
    let want = code(want[0].value, want[1].value);
    let place = place(element, &results.dims);
    let all = thousands(pairs.len());
    (
        format!(
            "{place}: got code {got}, expected {want}; {} of {all} codes wrong",
            thousands(count)
        ),
        2 * element,
    )
}

/// The outcome of a gradient that is wrong along a direction; `what` says how far.
pub(super) fn gradient(
    expectation: &Expectation,
    results: &Results,
    input: usize,
    what: &str,
) -> Outcome {
    let got = results
        .grads
        .as_ref()
        .map_or(&[][..], |grads| &grads[input]);
    let mut detail = format!("gradient of input {input}: {what}");
    let weights: Vec<f64> = (0..results.values.len() as u32)
        .map(|i| f64::from(cotangent(i, expectation.of_f16)))
        .collect();
    if let Some(slopes) = traced(expectation).gradients(0, &weights) {
        let mut tally = Tally::default();
        got.iter()
            .zip(&slopes[input])
            .for_each(|(&g, s)| tally.add((f64::from(g) - s.value).abs(), s.bound, s.bound));
        if let Some(worst) = tally.worst() {
            let at = worst.element;
            let slope = slopes[input][worst.element];
            let place = place(at, &expectation.case.inputs[input].dims);
            let expected = format!("{} ± {:.3e}", exact(slope.value), slope.bound);
            detail += &format!(
                "; worst {place}: got {}, expected {expected}; {}",
                bits(got[at]),
                worst.extent()
            );
            let value = expectation.numbers[input][at];
            detail += &format!("; there the input is {}", bits(value));
        }
    }
    detail += &by(&results.kernels[1]);
    failed(expectation, results, detail)
}

fn names(expectation: &Expectation) -> Vec<String> {
    (0..expectation.numbers.len())
        .map(|i| format!("input {i}"))
        .collect()
}

fn traced(expectation: &Expectation) -> Traced {
    let real = |&x: &f32| Real::constant(f64::from(x));
    let inputs: Vec<Vec<Real>> = expectation
        .numbers
        .iter()
        .map(|input| input.iter().map(real).collect())
        .collect();
    Traced::of(&inputs, |x| vec![(expectation.case.define)(x)])
}

/// Lists the inputs that an element is computed from, as far as the definition can be traced.
pub fn sources(names: &[String], numbers: &[Vec<f32>], sources: &[Vec<usize>]) -> String {
    let of = |((name, numbers), elements): ((&String, &Vec<f32>), &Vec<usize>)| {
        let named = elements
            .iter()
            .take(NAMED)
            .map(|&at| format!("[{at}] = {}", bits(numbers[at])));
        let named: Vec<String> = named.collect();
        let more = match elements.len() {
            n if n > NAMED => format!(" and {} more", thousands(n - NAMED)),
            _ => String::new(),
        };
        (!named.is_empty()).then(|| format!("{name} {}{more}", named.join(", ")))
    };
    let all: Vec<String> = names
        .iter()
        .zip(numbers)
        .zip(sources)
        .filter_map(of)
        .collect();
    if all.is_empty() {
        String::new()
    } else {
        format!("; made from {}", all.join("; "))
    }
}

/// Lists the kernels that ran.
pub fn by(kernels: &[Launch]) -> String {
    let mut labels: Vec<String> = kernels.iter().map(Launch::label).collect();
    let more = labels.len().saturating_sub(KERNELS);
    labels.truncate(KERNELS);
    let more = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    if labels.is_empty() {
        String::new()
    } else {
        format!("; kernels: {}{more}", labels.join(", "))
    }
}

/// The outcome, with all numbers as evidence.
fn failed(expectation: &Expectation, results: &Results, detail: String) -> Outcome {
    let wide = |numbers: &[f32]| numbers.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
    let mut tensors = Vec::new();
    for (i, (input, numbers)) in expectation
        .case
        .inputs
        .iter()
        .zip(&expectation.numbers)
        .enumerate()
    {
        tensors.push((format!("in.{i}"), input.dims.clone(), wide(numbers)));
    }
    let flat = vec![results.values.len()];
    let dims = if results.codes {
        flat
    } else {
        results.dims.clone()
    };
    let of = |f: fn(&Real) -> f64| expectation.forward.iter().map(f).collect::<Vec<f64>>();
    tensors.push(("out.got".into(), dims.clone(), wide(&results.values)));
    tensors.push(("out.expected".into(), dims.clone(), of(|y| y.value)));
    tensors.push(("out.bound".into(), dims.clone(), of(|y| y.bound)));
    if let Some(grads) = &results.grads {
        let weights: Vec<f64> = (0..results.values.len() as u32)
            .map(|i| f64::from(cotangent(i, expectation.of_f16)))
            .collect();
        let slopes = traced(expectation).gradients(0, &weights);
        tensors.push(("cot".into(), dims, weights));
        for (i, grad) in grads
            .iter()
            .enumerate()
            .filter(|(_, grad)| !grad.is_empty())
        {
            let dims = &expectation.case.inputs[i].dims;
            tensors.push((format!("grad.{i}.got"), dims.clone(), wide(grad)));
            if let Some(slopes) = &slopes {
                tensors.push((
                    format!("grad.{i}.expected"),
                    dims.clone(),
                    slopes[i].iter().map(|s| s.value).collect(),
                ));
                tensors.push((
                    format!("grad.{i}.bound"),
                    dims.clone(),
                    slopes[i].iter().map(|s| s.bound).collect(),
                ));
            }
        }
    }
    let kernels = results.kernels.concat();
    let evidence = Some(Box::new(Evidence { tensors, kernels }));
    Outcome {
        evidence,
        ..Outcome::failed(Verdict::Fail, detail)
    }
}
