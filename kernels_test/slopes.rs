//! Elementwise gradients of a definition, with a bound on each one's error on a GPU.

use super::tape::{Adjoint, Tape, recorded};
use super::{Real, U};

/// Rounding error of a backward pass, in units of u times the sizes of the summed terms: an op's
/// gradient is itself a few sums and products.
pub const UNITS: f64 = 64.0;

/// Largest share of those sizes that errors of saved numbers may add.
pub const CARRIED: f64 = 1e-5;

/// An element of a gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    /// Its value in f64.
    pub value: f64,
    /// Error allowed on a GPU.
    pub bound: f64,
    /// Error allowed to another computation in f64.
    pub double: f64,
}

/// Tolerance between two computations in f64, relative to the sizes of the summed terms.
pub const DOUBLE: f64 = 1e-9;

/// Bounds on the gradient elements of one input, from what a sweep found.
///
/// Rounding is relative to the sizes of the terms summed for an element, plus their average over
/// all elements: what elements share, such as the mean under a normalisation, has the size of an
/// average one. Errors of numbers saved by the forward pass enter with the factor that the
/// derivative gives them, but at most as [`CARRIED`] of the sizes that the terms have without any
/// cancellation in their factors.
fn bounded(found: &[Adjoint]) -> Vec<Slope> {
    let shared = found.iter().map(|a| a.size).sum::<f64>() / found.len().max(1) as f64;
    let one = |a: &Adjoint| {
        let size = a.size + shared;
        let bound = UNITS * U * size + a.error.min(CARRIED * a.whole);
        // f64 rounds 2²⁹ times finer, saved numbers included.
        Slope {
            value: a.value,
            bound,
            double: DOUBLE * size + f64::EPSILON / U * a.error,
        }
    };
    found.iter().map(one).collect()
}

/// A definition run with a tape.
pub struct Traced {
    /// Its results.
    pub results: Vec<Vec<Real>>,
    /// The first node of each input.
    firsts: Vec<u32>,
    counts: Vec<usize>,
    tape: Option<Tape>,
}

impl Traced {
    /// Runs `define` on `inputs` with a tape; one run is enough for all gradients.
    pub fn of(inputs: &[Vec<Real>], define: impl FnOnce(&[Vec<Real>]) -> Vec<Vec<Real>>) -> Traced {
        let mut firsts = Vec::new();
        let counts = inputs.iter().map(Vec::len).collect();
        let (results, tape) = recorded(|| {
            let leaves: Vec<Vec<Real>> = inputs
                .iter()
                .map(|input| input.iter().map(|x| x.leaf()).collect::<Vec<_>>())
                .collect();
            firsts = leaves
                .iter()
                .map(|input| input.first().map_or(0, |x| x.node))
                .collect();
            define(&leaves)
        });
        Traced {
            results,
            firsts,
            counts,
            tape,
        }
    }

    /// The gradient of Σ weight · element of result `output` with respect to each input; `None` if
    /// the tape overflowed.
    pub fn gradients(&self, output: usize, weights: &[f64]) -> Option<Vec<Vec<Slope>>> {
        let nodes: Vec<u32> = self.results[output].iter().map(|y| y.node).collect();
        self.gradients_from(&nodes, weights)
    }

    /// As [`Traced::gradients`], for results whose nodes are known.
    pub fn gradients_from(&self, nodes: &[u32], weights: &[f64]) -> Option<Vec<Vec<Slope>>> {
        let found = self
            .tape
            .as_ref()?
            .sweep(nodes.iter().copied().zip(weights.iter().copied()));
        let of = |(&first, &count): (&u32, &usize)| {
            bounded(&found[first as usize..first as usize + count])
        };
        Some(self.firsts.iter().zip(&self.counts).map(of).collect())
    }

    /// For each input, the elements that `element` of result `output` is computed from.
    pub fn sources(&self, output: usize, element: usize) -> Vec<Vec<usize>> {
        let node = self.results[output].get(element).map_or(0, |y| y.node);
        let of = |(&first, &count): (&u32, &usize)| match &self.tape {
            Some(tape) if node != 0 => {
                let leaves = tape.reached(node, first..first + count as u32);
                leaves
                    .into_iter()
                    .map(|leaf| (leaf - first) as usize)
                    .collect()
            }
            _ => Vec::new(),
        };
        self.firsts.iter().zip(&self.counts).map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reals(numbers: &[f64]) -> Vec<Real> {
        numbers.iter().map(|&x| Real::constant(x)).collect()
    }

    #[test]
    fn a_sweep_agrees_with_derivatives_along_directions() {
        let f = |x: &[Real]| {
            let a = x[0];
            let b = x[1];
            let quotient = (a * a + Real::constant(1.0)).ln() / b.exp();
            vec![
                quotient + a.tanh() * b.sigmoid() - b.erf() * (a * a + b * b).sqrt(),
                -a - b.relu(),
            ]
        };
        let at = [0.7, 0.4];
        let weights = [1.5, -2.0];
        let traced = Traced::of(&[reals(&at)], |x| vec![f(&x[0])]);
        let slopes = &traced.gradients(0, &weights).expect("it is short")[0];
        for (i, slope) in slopes.iter().enumerate() {
            let along: Vec<Real> = (0..2)
                .map(|j| Real::input(at[j], f64::from(u8::from(i == j))))
                .collect();
            let expected: f64 = f(&along)
                .iter()
                .zip(weights)
                .map(|(y, w)| w * y.tangent)
                .sum();
            assert!(
                (slope.value - expected).abs() < 1e-14,
                "{i}: {} {expected}",
                slope.value
            );
            assert!(
                slope.bound > 0.0 && slope.bound < 1e-3,
                "{i}: {}",
                slope.bound
            );
        }
        assert_eq!(traced.sources(0, 1), [[0, 1]]);
    }

    #[test]
    fn what_cancels_keeps_a_bound() {
        // (x − 3.7)·w at x = 3.7: the derivative with respect to w is 0, but f32 may get the
        // rounding error of x − 3.7.
        let traced = Traced::of(&[reals(&[3.7]), reals(&[2.0])], |x| {
            let mean = Real::sum([x[0][0], x[0][0]]) * Real::constant(0.5);
            vec![vec![(x[0][0] - mean) * x[1][0]]]
        });
        let slopes = traced.gradients(0, &[1.0]).expect("it is short");
        assert_eq!(slopes[1][0].value, 0.0);
        let bound = slopes[1][0].bound;
        assert!(bound > U * 3.7 && bound < 1e-4, "{bound}");
        // With respect to x both terms are as large as w, and so is the rounding of their
        // difference.
        assert!(
            slopes[0][0].value == 0.0 && slopes[0][0].bound > UNITS * U * 2.0,
            "{slopes:?}"
        );
    }
}
