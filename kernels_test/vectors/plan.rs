//! What a file asks for, in the engine's terms.

use super::super::{Output, Real};
use crate::gpu::Gpu;
use crate::tensor::Tensor;

type Run = Box<dyn Fn(&Gpu, &[Tensor]) -> Vec<Output>>;
type Define = Box<dyn Fn(&[Vec<Real>]) -> Vec<Vec<Real>>>;

/// An op at the shapes and with the parameters of a file.
pub struct Plan {
    /// Floating-point inputs, in the order in which `run` and `define` get them.
    pub inputs: Vec<Place>,
    /// Outputs, in the order of `run` and `define`; a file may lack some of them.
    pub outputs: Vec<Place>,
    /// The op on the GPU.
    pub run: Run,
    /// The op in f64.
    pub define: Define,
}

impl Plan {
    /// An op with one result.
    pub fn new<O: Into<Output>>(
        inputs: Vec<Place>,
        output: Place,
        run: impl Fn(&Gpu, &[Tensor]) -> O + 'static,
        define: impl Fn(&[Vec<Real>]) -> Vec<Real> + 'static,
    ) -> Result<Plan, String> {
        Plan::several(
            inputs,
            vec![output],
            move |gpu, x| vec![run(gpu, x).into()],
            move |x| vec![define(x)],
        )
    }

    /// An op with several results.
    pub fn several(
        inputs: Vec<Place>,
        outputs: Vec<Place>,
        run: impl Fn(&Gpu, &[Tensor]) -> Vec<Output> + 'static,
        define: impl Fn(&[Vec<Real>]) -> Vec<Vec<Real>> + 'static,
    ) -> Result<Plan, String> {
        Ok(Plan {
            inputs,
            outputs,
            run: Box::new(run),
            define: Box::new(define),
        })
    }
}

/// A tensor of the file as the engine holds it: its shape, and the order of its entries.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its name without `in.` or `out.`.
    pub name: &'static str,
    /// Its dimensions in the file.
    pub file_dims: Vec<usize>,
    /// Its dimensions in the engine.
    pub dims: Vec<usize>,
    /// Position in the file of each entry in the engine.
    pub order: Vec<usize>,
    /// Whether the op has a gradient with respect to it.
    pub differentiable: bool,
}

impl Place {
    /// A tensor held as in the file.
    pub fn new(name: &'static str, dims: &[usize]) -> Place {
        let count = dims.iter().product();
        let dims = dims.to_vec();
        Place {
            name,
            file_dims: dims.clone(),
            dims,
            order: (0..count).collect(),
            differentiable: true,
        }
    }

    /// The same without a gradient.
    pub fn constant(self) -> Place {
        Place {
            differentiable: false,
            ..self
        }
    }

    /// The same entries in another shape.
    pub fn shaped(self, dims: &[usize]) -> Place {
        assert_eq!(
            self.order.len(),
            dims.iter().product::<usize>(),
            "{}: {:?} as {dims:?}",
            self.name,
            self.dims
        );
        Place {
            dims: dims.to_vec(),
            ..self
        }
    }

    /// The same entries in one dimension.
    pub fn flat(self) -> Place {
        let count = self.order.len();
        self.shaped(&[count])
    }

    /// With dimension `perm[i]` at place i.
    pub fn permuted(self, perm: &[usize]) -> Place {
        let order = permuted(&self.dims, perm)
            .into_iter()
            .map(|at| self.order[at])
            .collect();
        Place {
            dims: perm.iter().map(|&i| self.dims[i]).collect(),
            order,
            ..self
        }
    }

    /// [n, c, ..] as [n, .., c].
    pub fn channels_last(self) -> Place {
        self.last(1)
    }

    /// With dimension `axis` moved to the end.
    pub fn last(self, axis: usize) -> Place {
        let rest = (0..self.dims.len()).filter(|&i| i != axis);
        let perm: Vec<usize> = rest.chain([axis]).collect();
        self.permuted(&perm)
    }

    /// [.., k] as [rows, k].
    pub fn rows(self) -> Place {
        let k = self.dims.last().copied().unwrap_or(1);
        let count = self.order.len();
        self.shaped(&[count / k.max(1), k])
    }

    /// Reorders `numbers` of the file to the engine's order.
    pub fn take<T: Copy>(&self, numbers: &[T]) -> Vec<T> {
        self.order.iter().map(|&at| numbers[at]).collect()
    }
}

/// For each entry of the permuted tensor, its position in the tensor of shape `dims`.
pub fn permuted(dims: &[usize], perm: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for i in (1..dims.len()).rev() {
        strides[i - 1] = strides[i] * dims[i];
    }
    let mut order = vec![0];
    for &axis in perm {
        let steps = |&at: &usize| (0..dims[axis]).map(move |i| (at, i));
        order = order
            .iter()
            .flat_map(steps)
            .map(|(at, i)| at + i * strides[axis])
            .collect();
    }
    order
}
