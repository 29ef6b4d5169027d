//! Compares one vector on one adapter: the GPU, the definition in f64 and the file, each against
//! the others.

mod told;

use super::super::check::spoiled;
use super::super::slopes::{CARRIED, DOUBLE, Slope, Traced, UNITS};
use super::super::wrong::{Tally, Wrong, place as in_place};
use super::super::{Outcome, Output, Real, Shares, U, Verdict, guarded};
use super::Vector;
use super::file::Numbers;
use super::plan::{Place, Plan};
use crate::gpu::Gpu;
use crate::kernels_test::outcome::Fault;
use crate::philox::Stream;
use crate::tensor::Tensor;

/// A vector with everything that does not depend on the adapter: the results of its definition, and
/// whether they agree with the file.
pub struct Prepared {
    plan: Plan,
    inputs: Vec<Vec<f64>>,
    expected: Vec<Vec<Real>>,
    /// For each output, the file's values if it has them.
    outputs: Vec<Option<File>>,
    gradient: Option<Gradient>,
    /// How the file and the definition disagree, if they do.
    disagreement: Option<String>,
}

/// The gradients to compare.
struct Gradient {
    /// The output whose weighted sum they are of, and its weights.
    output: usize,
    weights: Vec<f64>,
    /// For each input, the file's gradient and the definition's.
    inputs: Vec<Option<(File, Sides)>>,
}

/// How a gradient is compared.
enum Sides {
    /// Element by element.
    Each(Vec<Slope>),
    /// Along one random direction, where elementwise takes too much: the direction, then the
    /// derivative, Σ|terms|, and what errors of the results carry into it.
    Along(Vec<f64>, [f64; 3]),
}

/// A tensor of the file, in the engine's order.
pub(super) struct File {
    pub values: Vec<f64>,
    pub single: bool,
}

impl File {
    fn new(place: &Place, numbers: &Numbers, codes: bool) -> Result<File, String> {
        match numbers {
            Numbers::Float { values, single } if !codes => Ok(File {
                values: place.take(values),
                single: *single,
            }),
            Numbers::Index(all) if codes => Ok(File {
                values: place.take(all).into_iter().flat_map(halves).collect(),
                single: false,
            }),
            _ if codes => Err(format!(
                "tensor out.{} must be of indices, I64 or U32",
                place.name
            )),
            _ => Err(format!(
                "tensor out.{} is of indices; it must be F32 or F64",
                place.name
            )),
        }
    }

    /// A tensor of numbers, if the file has it.
    fn find(vector: &Vector, part: &str, place: &Place) -> Option<File> {
        let array = vector.tensors.get(&format!("{part}.{}", place.name))?;
        File::new(place, &array.numbers, false).ok()
    }
}

/// A code as two halves that f32 holds exactly.
fn halves(code: u32) -> [f64; 2] {
    Real::code(code).map(|half| half.value)
}

impl Prepared {
    /// Runs the definition once and compares it with the file.
    ///
    /// # Errors
    /// If the file does not fit its op.
    pub fn of(vector: &Vector) -> Result<Prepared, String> {
        let plan = vector.plan()?;
        let inputs: Vec<Vec<f64>> = plan
            .inputs
            .iter()
            .map(|place| File::find(vector, "in", place).map_or(Vec::new(), |file| file.values))
            .collect();
        let has_gradient = plan
            .inputs
            .iter()
            .any(|place| vector.tensors.contains_key(&format!("grad.{}", place.name)));
        let (expected, traced) = if has_gradient {
            let mut traced = Traced::of(&reals(&inputs, |_, _| 0.0), |x| (plan.define)(x));
            (std::mem::take(&mut traced.results), Some(traced))
        } else {
            ((plan.define)(&reals(&inputs, |_, _| 0.0)), None)
        };
        let mut outputs = Vec::new();
        for (place, expected) in plan.outputs.iter().zip(&expected) {
            let array = vector.tensors.get(&format!("out.{}", place.name));
            // Each code is two halves.
            let codes = expected.len() != place.order.len();
            outputs.push(
                array
                    .map(|array| File::new(place, &array.numbers, codes))
                    .transpose()?,
            );
        }
        let mut prepared = Prepared {
            plan,
            inputs,
            expected,
            outputs,
            gradient: None,
            disagreement: None,
        };
        prepared.gradient = traced.and_then(|traced| prepared.gradient(vector, &traced));
        prepared.disagreement = prepared.agree().err();
        Ok(prepared)
    }

    fn gradient(&self, vector: &Vector, traced: &Traced) -> Option<Gradient> {
        let of = |(i, place)| Some((i, File::find(vector, "cot", place)?.values));
        let (output, weights) = self.plan.outputs.iter().enumerate().find_map(of)?;
        let nodes: Vec<u32> = self.expected[output].iter().map(|y| y.node).collect();
        let mut slopes = traced.gradients_from(&nodes, &weights);
        let side = |(i, place): (usize, &Place)| {
            let file = File::find(vector, "grad", place)?;
            let sides = match &mut slopes {
                Some(slopes) => Sides::Each(std::mem::take(&mut slopes[i])),
                None => self.along(i, output, &weights),
            };
            Some((file, sides))
        };
        let inputs = self.plan.inputs.iter().enumerate().map(side).collect();
        Some(Gradient {
            output,
            weights,
            inputs,
        })
    }

    /// The derivative along a random direction of one input.
    fn along(&self, input: usize, output: usize, weights: &[f64]) -> Sides {
        let stream = Stream {
            seed: 20_220_717,
            step: input as u32,
            stream: 7,
            first: 0,
        };
        let direction: Vec<f64> = (0..self.inputs[input].len() as u32)
            .map(|j| stream.normal(j))
            .collect();
        let results = (self.plan.define)(&reals(&self.inputs, |i, j| {
            if i == input { direction[j] } else { 0.0 }
        }));
        let mut sums = [0.0; 3];
        for (y, w) in results[output].iter().zip(weights) {
            let term = w * y.tangent;
            sums[0] += term;
            sums[1] += term.abs();
            // A result with a relative error, such as that of exp, has the same one in its
            // derivative.
            sums[2] += term.abs() * (y.bound / y.value.abs().max(f64::MIN_POSITIVE)).min(CARRIED);
        }
        Sides::Along(direction, sums)
    }

    /// Compares the definition with the file.
    fn agree(&self) -> Result<(), String> {
        for ((place, expected), file) in self
            .plan
            .outputs
            .iter()
            .zip(&self.expected)
            .zip(&self.outputs)
        {
            if let Some(file) = file {
                output_agrees(place, expected, file)?;
            }
        }
        let inputs = self
            .gradient
            .iter()
            .flat_map(|gradient| self.plan.inputs.iter().zip(&gradient.inputs));
        for (place, given) in inputs {
            match given {
                Some((file, Sides::Each(slopes))) => gradient_agrees(place, slopes, file)?,
                Some((file, Sides::Along(direction, [value, size, carried]))) => {
                    let (given, size) = along(&file.values, direction, *size);
                    let bound = UNITS * U * size + carried;
                    let allowed = if file.single {
                        bound + 0.5 * U * given.abs()
                    } else {
                        DOUBLE * size
                    };
                    if !within((value - given).abs(), allowed) {
                        let name = place.name;
                        return Err(format!(
                            "grad.{name} along a random direction: the file has {given:.9e}, the definition {value:.9e} ± \
                             {allowed:.3e}"
                        ));
                    }
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Compares `gpu`, which should be opened with `poison`, with the definition and the file.
    pub fn check(&self, gpu: &Gpu) -> Outcome {
        match &self.disagreement {
            Some(what) => {
                let what = format!(
                    "{what}; the file or its op's definition is wrong, not the adapter, which was not asked"
                );
                Outcome {
                    fault: Fault::File,
                    ..Outcome::failed(Verdict::Fail, what)
                }
            }
            None => guarded(|| self.compare(gpu)),
        }
    }

    fn compare(&self, gpu: &Gpu) -> Result<Outcome, String> {
        let ((tensors, results), forward_kernels) = gpu.launches(|| self.run(gpu));
        let mut forward = Shares::default();
        let mut got_all = Vec::new();
        for (i, place) in self.plan.outputs.iter().enumerate() {
            let got: Vec<f64> = match &results[i] {
                Output::Tensor(tensor) => spoiled(tensor.to_vec())
                    .into_iter()
                    .map(f64::from)
                    .collect(),
                Output::Codes(codes) => codes.to_vec().into_iter().flat_map(halves).collect(),
            };
            if let Some(file) = &self.outputs[i] {
                let wrong = match compare_output(&got, &self.expected[i], file) {
                    Ok(Ok(shares)) => {
                        forward = forward.worst(shares);
                        None
                    }
                    Ok(Err(wrong)) => Some(wrong),
                    Err(what) => return Err(format!("out.{}: {what}", place.name)),
                };
                if let Some(wrong) = wrong {
                    return Ok(self.wrong_output(i, &got, wrong, forward_kernels));
                }
            }
            got_all.push(got);
        }
        let mut worst = None;
        if let Some(gradient) = &self.gradient {
            let Output::Tensor(result) = &results[gradient.output] else {
                unreachable!("weights are of numbers")
            };
            let single: Vec<f32> = gradient.weights.iter().map(|&w| w as f32).collect();
            let (grads, kernels) = gpu.launches(|| {
                result.backward_from(Tensor::from_slice(gpu, &single, result.shape()))
            });
            for (i, place) in self.plan.inputs.iter().enumerate() {
                let Some((file, sides)) = &gradient.inputs[i] else {
                    continue;
                };
                let got = grads.get(&tensors[i]).map(Tensor::to_vec);
                let got =
                    got.ok_or_else(|| format!("grad.{}: the op gave no gradient", place.name))?;
                match compare_gradient(&got, sides, file) {
                    Ok(shares) => worst = Some(shares.worst(worst.unwrap_or_default())),
                    Err(wrong) => return Ok(self.wrong_gradient(i, &got, sides, wrong, kernels)),
                }
            }
        }
        gpu.check_guards()?;
        Ok(Outcome::of(forward, worst))
    }

    fn run(&self, gpu: &Gpu) -> (Vec<Tensor>, Vec<Output>) {
        let wanted = |i: usize| {
            self.gradient
                .as_ref()
                .is_some_and(|gradient| gradient.inputs[i].is_some())
        };
        let tensor = |(i, (place, x)): (usize, (&Place, &Vec<f64>))| {
            let tensor = Tensor::from_slice(gpu, &singles(x), &place.dims);
            if wanted(i) { tensor.leaf() } else { tensor }
        };
        let tensors: Vec<Tensor> = self
            .plan
            .inputs
            .iter()
            .zip(&self.inputs)
            .enumerate()
            .map(tensor)
            .collect();
        let results = (self.plan.run)(gpu, &tensors);
        (tensors, results)
    }
}

/// Numbers as the GPU gets them, rounded to f32.
fn singles(numbers: &[f64]) -> Vec<f32> {
    numbers.iter().map(|&x| x as f32).collect()
}

/// Inputs of the definition, with their component of `direction` (input, element).
fn reals(inputs: &[Vec<f64>], direction: impl Fn(usize, usize) -> f64) -> Vec<Vec<Real>> {
    let real = |i: usize, (j, &x): (usize, &f64)| {
        let rounding = Real::within(x, (f64::from(x as f32) - x).abs());
        Real {
            tangent: direction(i, j),
            ..rounding
        }
    };
    inputs
        .iter()
        .enumerate()
        .map(|(i, x)| x.iter().enumerate().map(|e| real(i, e)).collect())
        .collect()
}

/// A gradient's derivative along a direction, and `size` plus the sizes of its terms.
fn along(gradient: &[f64], direction: &[f64], size: f64) -> (f64, f64) {
    let terms = gradient.iter().zip(direction).map(|(g, d)| g * d);
    (terms.clone().sum(), size + terms.map(f64::abs).sum::<f64>())
}

/// False if the error is NaN or the bound is not finite.
fn within(error: f64, bound: f64) -> bool {
    bound.is_finite() && error <= bound + crate::kernels_test::shares::FLOOR
}

/// How close a result of the definition and the file must be. The bound contains n u Σ|terms| and
/// the like, so that bound/u is the size of what was summed.
fn allowance(want: &Real, given: f64, single: bool) -> f64 {
    if single {
        want.bound + 0.5 * U * given.abs()
    } else {
        DOUBLE * want.bound / U + 1e-12 * want.value.abs()
    }
}

/// How close a gradient element of the definition and the file must be.
fn slope_allowance(slope: &Slope, given: f64, single: bool) -> f64 {
    if single {
        slope.bound + 0.5 * U * given.abs()
    } else {
        slope.double
    }
}

pub(super) fn output_agrees(place: &Place, expected: &[Real], file: &File) -> Result<(), String> {
    if file.values.len() != expected.len() {
        return Err(format!(
            "out.{}: {} numbers, where the definition has {}",
            place.name,
            file.values.len(),
            expected.len()
        ));
    }
    bounded("out", place, expected.iter().map(|want| want.bound))?;
    let mut tally = Tally::default();
    for (want, &given) in expected.iter().zip(&file.values) {
        let allowed = allowance(want, given, file.single);
        tally.add((want.value - given).abs(), allowed, allowed);
    }
    let per = expected.len() / place.order.len();
    tally.end().map(|_| ()).map_err(|wrong| {
        let want = &expected[wrong.element];
        let given = file.values[wrong.element];
        let element = in_place(place.order[wrong.element / per], &place.file_dims);
        disagreement(
            "out",
            place,
            &element,
            given,
            want.value,
            allowance(want, given, file.single),
            wrong,
        )
    })
}

/// An error if any bound is not finite: nothing could be compared.
fn bounded(part: &str, place: &Place, bounds: impl Iterator<Item = f64>) -> Result<(), String> {
    let unbounded = bounds.enumerate().find(|(_, bound)| !bound.is_finite());
    let Some((element, _)) = unbounded else {
        return Ok(());
    };
    let name = place.name;
    Err(format!(
        "{part}.{name} has no finite bound from number {element} on, since rounding in f32 may make 0 of what is divided by; give \
         the op other numbers"
    ))
}

fn gradient_agrees(place: &Place, slopes: &[Slope], file: &File) -> Result<(), String> {
    bounded("grad", place, slopes.iter().map(|slope| slope.bound))?;
    let mut tally = Tally::default();
    for (slope, &given) in slopes.iter().zip(&file.values) {
        let allowed = slope_allowance(slope, given, file.single);
        tally.add((slope.value - given).abs(), allowed, allowed);
    }
    tally.end().map(|_| ()).map_err(|wrong| {
        let slope = &slopes[wrong.element];
        let given = file.values[wrong.element];
        let element = in_place(place.order[wrong.element], &place.file_dims);
        disagreement(
            "grad",
            place,
            &element,
            given,
            slope.value,
            slope_allowance(slope, given, file.single),
            wrong,
        )
    })
}

fn disagreement(
    part: &str,
    place: &Place,
    element: &str,
    given: f64,
    want: f64,
    allowed: f64,
    wrong: Wrong,
) -> String {
    let name = place.name;
    format!(
        "{part}.{name} {element}: the file has {given:.12e}, the definition {want:.12e} ± {allowed:.3e}; {}",
        wrong.extent()
    )
}

/// Compares the GPU's result with the definition and the file.
///
/// # Errors
/// If their lengths differ.
pub(super) fn compare_output(
    got: &[f64],
    expected: &[Real],
    file: &File,
) -> Result<Result<Shares, Wrong>, String> {
    if got.len() != expected.len() || got.len() != file.values.len() {
        return Err(format!(
            "{} results, {} in the file",
            got.len(),
            file.values.len()
        ));
    }
    let mut tally = Tally::default();
    for ((&got, want), &given) in got.iter().zip(expected).zip(&file.values) {
        let both = want.bound + allowance(want, given, file.single);
        add(
            &mut tally,
            [got, want.value, given],
            [want.bound, both],
            want.likely,
        );
    }
    Ok(tally.end())
}

/// Adds the worse of the GPU's distances to the definition and to the file.
fn add(tally: &mut Tally, [got, value, given]: [f64; 3], [bound, both]: [f64; 2], likely: f64) {
    let one = (got - value).abs();
    let other = (got - given).abs();
    if one.is_nan() || other.is_nan() || one * both >= other * bound {
        tally.add(one, bound, likely);
    } else {
        // `both` also allows for the distance between the definition and the file.
        tally.add(other, both, likely);
    }
}

/// Compares the GPU's gradient with the definition and the file.
fn compare_gradient(got: &[f32], sides: &Sides, file: &File) -> Result<Shares, Wrong> {
    let mut tally = Tally::default();
    match sides {
        Sides::Each(slopes) => {
            for ((&got, slope), &given) in got.iter().zip(slopes).zip(&file.values) {
                let both = slope.bound + slope_allowance(slope, given, file.single);
                add(
                    &mut tally,
                    [got.into(), slope.value, given],
                    [slope.bound, both],
                    slope.bound,
                );
            }
        }
        Sides::Along(direction, [value, size, carried]) => {
            let wide: Vec<f64> = got.iter().map(|&g| g.into()).collect();
            let (got, size) = along(&wide, direction, *size);
            let (given, _) = along(&file.values, direction, 0.0);
            let bound = UNITS * U * size + carried;
            let both = bound
                + if file.single {
                    bound + 0.5 * U * given.abs()
                } else {
                    DOUBLE * size
                };
            add(&mut tally, [got, *value, given], [bound, both], bound);
        }
    }
    tally.end()
}
