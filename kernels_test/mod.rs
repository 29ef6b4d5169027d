//! Conformance of the kernels: a table of cases, each an op at a shape with its definition in f64.
//!
//! `ops/<stem>.rs` holds the definitions and the cases of `shaders/<stem>.wgsl`; [`check()`] runs a
//! case on an adapter, as tests (`cargo test --test kernels`) and `dbvq-wgpu conformance` do for
//! the whole table. [`vectors`] are cases that other programs made. [`probes`] ask a driver what it
//! does where WGSL leaves it a choice; `known_failures.toml` lists what is wrong with drivers.

mod check;
#[cfg(feature = "app")]
mod known_failures;
mod modes;
mod ops;
mod outcome;
pub mod probes;
mod real;
mod shares;
mod slopes;
mod tape;
#[cfg(feature = "app")]
pub mod vectors;
mod verify;
pub mod wrong;

use crate::gpu::Gpu;
use crate::tensor::{Codes, Tensor};

pub use check::{Expectation, check, compare, guarded, spoil};
#[cfg(feature = "app")]
pub use known_failures::{
    Id, KnownFailure, in_the_light_of, known_failures, parse_known_failures, with_known_failures,
};
pub use modes::{CHECKED, Mode, PROBED, modes, modes_of_f32, over_modes};
pub use ops::cases;
pub use outcome::{Evidence, Fault, Outcome, Verdict};
pub use real::{Real, U};
pub use shares::Shares;
pub use verify::verify;

/// Distribution of an input's entries.
#[derive(Clone, Debug)]
pub enum Law {
    /// Standard normal, times the factor.
    Normal(f32),
    /// Uniform in the interval.
    Uniform(f32, f32),
    /// These numbers.
    Given(Vec<f32>),
}

/// One input tensor of a case.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its shape.
    pub dims: Vec<usize>,
    /// Distribution of its entries.
    pub law: Law,
    /// Whether its gradient is checked.
    pub wants_grad: bool,
}

impl Input {
    /// A standard normal input whose gradient is checked.
    pub fn normal(dims: &[usize]) -> Input {
        Input {
            dims: dims.to_vec(),
            law: Law::Normal(1.0),
            wants_grad: true,
        }
    }

    /// A uniform input in `[low, high]` whose gradient is checked.
    pub fn uniform(dims: &[usize], low: f32, high: f32) -> Input {
        Input {
            law: Law::Uniform(low, high),
            ..Input::normal(dims)
        }
    }

    /// Given numbers; no gradient.
    pub fn given(dims: &[usize], numbers: Vec<f32>) -> Input {
        Input {
            law: Law::Given(numbers),
            wants_grad: false,
            ..Input::normal(dims)
        }
    }

    /// The same input, without a gradient check.
    pub fn constant(self) -> Input {
        Input {
            wants_grad: false,
            ..self
        }
    }
}

/// What an op returns.
pub enum Output {
    /// Numbers, compared within the definition's bound.
    Tensor(Tensor),
    /// Codes, compared exactly; their definition gives [`Real::code`] of each.
    Codes(Codes),
}

impl From<Tensor> for Output {
    fn from(tensor: Tensor) -> Output {
        Output::Tensor(tensor)
    }
}

impl From<Codes> for Output {
    fn from(codes: Codes) -> Output {
        Output::Codes(codes)
    }
}

type Run = Box<dyn Fn(&Gpu, &[Tensor]) -> Output + Send + Sync>;
type Define = Box<dyn Fn(&[Vec<Real>]) -> Vec<Real> + Send + Sync>;

/// An op at one shape with its parameters.
pub struct Case {
    /// The op, as a user of the library calls it.
    pub op: &'static str,
    /// Shape and parameters.
    pub name: String,
    /// The inputs.
    pub inputs: Vec<Input>,
    /// The op on the GPU.
    pub run: Run,
    /// The op in f64.
    pub define: Define,
}

impl Case {
    /// A case; `define` maps the inputs' entries to the output's, in row-major order.
    pub fn new<O: Into<Output>>(
        op: &'static str,
        name: impl Into<String>,
        inputs: Vec<Input>,
        run: impl Fn(&Gpu, &[Tensor]) -> O + Send + Sync + 'static,
        define: impl Fn(&[Vec<Real>]) -> Vec<Real> + Send + Sync + 'static,
    ) -> Case {
        let run = Box::new(move |gpu: &Gpu, inputs: &[Tensor]| run(gpu, inputs).into());
        Case {
            op,
            name: name.into(),
            inputs,
            run,
            define: Box::new(define),
        }
    }
}
