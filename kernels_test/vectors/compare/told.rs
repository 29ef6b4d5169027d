//! Describes a vector whose numbers are wrong on a GPU.

use super::super::super::check::tell;
use super::super::super::slopes::{Slope, Traced};
use super::super::super::wrong::{Wrong, bits, exact, place as in_place, times};
use super::super::super::{Outcome, Verdict};
use super::{Prepared, Sides, along, reals};
use crate::gpu::Launch;
use crate::kernels_test::outcome::Evidence;

impl Prepared {
    pub(super) fn wrong_output(
        &self,
        output: usize,
        got: &[f64],
        wrong: Wrong,
        kernels: Vec<Launch>,
    ) -> Outcome {
        let place = &self.plan.outputs[output];
        let at = wrong.element;
        let per = got.len() / place.order.len();
        let want = self.expected[output][at];
        let place_text = in_place(place.order[at / per], &place.file_dims);
        let from = self.sources(output, at);
        let detail = format!(
            "out.{} {place_text}: the GPU has {}, the definition {} ± {:.3e}; {}{from}{}",
            place.name,
            bits(got[at] as f32),
            exact(want.value),
            want.bound,
            wrong.extent(),
            tell::by(&kernels)
        );
        let expected = self.expected[output].iter();
        let made = vec![
            (
                format!("out.{}.got", place.name),
                vec![got.len()],
                got.to_vec(),
            ),
            (
                format!("out.{}.expected", place.name),
                vec![got.len()],
                expected.clone().map(|y| y.value).collect(),
            ),
            (
                format!("out.{}.bound", place.name),
                vec![got.len()],
                expected.map(|y| y.bound).collect(),
            ),
        ];
        self.failed(detail, made, kernels)
    }

    pub(super) fn wrong_gradient(
        &self,
        input: usize,
        got: &[f32],
        sides: &Sides,
        wrong: Wrong,
        kernels: Vec<Launch>,
    ) -> Outcome {
        let place = &self.plan.inputs[input];
        let at = wrong.element;
        let name = place.name;
        let mut made = vec![(
            format!("grad.{name}.got"),
            place.dims.clone(),
            got.iter().map(|&g| g.into()).collect(),
        )];
        let what = match sides {
            Sides::Each(slopes) => {
                let of = |f: fn(&Slope) -> f64| slopes.iter().map(f).collect::<Vec<f64>>();
                made.push((
                    format!("grad.{name}.expected"),
                    place.dims.clone(),
                    of(|s| s.value),
                ));
                made.push((
                    format!("grad.{name}.bound"),
                    place.dims.clone(),
                    of(|s| s.bound),
                ));
                format!(
                    "{}: the GPU has {}, the definition {} ± {:.3e}; {}; there in.{name} is {}",
                    in_place(place.order[at], &place.file_dims),
                    bits(got[at]),
                    exact(slopes[at].value),
                    slopes[at].bound,
                    wrong.extent(),
                    bits(self.inputs[input][at] as f32)
                )
            }
            Sides::Along(direction, [value, size, _]) => {
                let wide: Vec<f64> = got.iter().map(|&g| g.into()).collect();
                let (got, _) = along(&wide, direction, *size);
                format!(
                    "along a random direction: the GPU has {got:.9e}, the definition {value:.9e}; {}",
                    times(wrong.share)
                )
            }
        };
        let detail = format!("grad.{name} {what}{}", tell::by(&kernels));
        self.failed(detail, made, kernels)
    }

    /// Lists the inputs that one element of a result is computed from.
    fn sources(&self, output: usize, element: usize) -> String {
        let traced = Traced::of(&reals(&self.inputs, |_, _| 0.0), |x| (self.plan.define)(x));
        let names: Vec<String> = self
            .plan
            .inputs
            .iter()
            .map(|place| format!("in.{}", place.name))
            .collect();
        // In the file's order, which is what people see.
        let mut numbers = Vec::new();
        let mut sources = traced.sources(output, element);
        for ((place, x), elements) in self.plan.inputs.iter().zip(&self.inputs).zip(&mut sources) {
            let mut in_file = vec![0.0; x.len()];
            place
                .order
                .iter()
                .zip(x)
                .for_each(|(&at, &x)| in_file[at] = x as f32);
            elements.iter_mut().for_each(|at| *at = place.order[*at]);
            numbers.push(in_file);
        }
        tell::sources(&names, &numbers, &sources)
    }

    fn failed(
        &self,
        detail: String,
        made: Vec<(String, Vec<usize>, Vec<f64>)>,
        kernels: Vec<Launch>,
    ) -> Outcome {
        let inputs = self.plan.inputs.iter().zip(&self.inputs);
        let mut tensors: Vec<_> = inputs
            .map(|(place, x)| (format!("in.{}", place.name), place.dims.clone(), x.clone()))
            .collect();
        if let Some(gradient) = &self.gradient {
            let count = gradient.weights.len();
            tensors.push(("cot".into(), vec![count], gradient.weights.clone()));
        }
        tensors.extend(made);
        let evidence = Some(Box::new(Evidence { tensors, kernels }));
        Outcome {
            evidence,
            ..Outcome::failed(Verdict::Fail, detail)
        }
    }
}
