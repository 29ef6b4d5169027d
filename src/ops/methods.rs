//! Ops as methods and operators of [`Tensor`].

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::{Trans, affine, matmul};
use crate::tensor::{Codes, Tensor};

/// Defines methods for ops of one tensor, from a name and what the op computes for each element.
macro_rules! unary {
    ($($name:ident: $what:literal,)*) => {
        impl Tensor {
            $(
                #[doc = concat!($what, ", element by element: [`ops::", stringify!($name), "`](crate::ops::", stringify!($name), ").")]
                pub fn $name(&self) -> Tensor {
                    super::$name(self)
                }
            )*
        }
    };
}

unary! {
    exp: "eˣ",
    log: "ln x",
    square: "x²",
    silu: "x / (1 + e⁻ˣ)",
    gelu: "x Φ(x)",
    relu: "max(x, 0)",
    elu: "x, or eˣ − 1 below 0",
    tanh: "tanh x",
    sigmoid: "1 / (1 + e⁻ˣ)",
}

impl Tensor {
    /// The product of two matrices [m, k] and [k, n], or of two batches [b, m, k] and [b, k, n].
    ///
    /// # Panics
    /// If ranks, batch sizes or inner sizes differ, or the rank is neither 2 nor 3.
    #[track_caller]
    pub fn matmul(&self, other: &Tensor) -> Tensor {
        let rank = self.shape().rank();
        assert!(
            rank == other.shape().rank() && (rank == 2 || rank == 3),
            "matmul of {:?} and {:?}: both are [m, k] and [k, n], or batches of them",
            self.shape(),
            other.shape()
        );
        if rank == 3 {
            return matmul(self, other, Trans::default());
        }
        let [m, k] = self.dims();
        let [rows, n] = other.dims();
        let a = self.reshape([1, m, k]);
        let b = other.reshape([1, rows, n]);
        matmul(&a, &b, Trans::default()).reshape([m, n])
    }

    /// The mean squared difference, shape `[]`.
    ///
    /// # Panics
    /// If shapes differ.
    #[track_caller]
    pub fn mse(&self, goal: &Tensor) -> Tensor {
        super::mse(self, goal)
    }

    /// −ln softmax(x) at `target`, one loss per row: `self` [n, k], `target` and result `[n]`.
    ///
    /// # Panics
    /// If `self` is not of rank 2, the numbers of rows differ, or a row has over 20,000 entries.
    #[track_caller]
    pub fn cross_entropy(&self, target: &Codes) -> Tensor {
        super::cross_entropy(self, target)
    }

    /// The softmax over the last dimension.
    ///
    /// # Panics
    /// If a row has over 20,000 entries.
    #[track_caller]
    pub fn softmax(&self) -> Tensor {
        super::softmax(self, 1.0)
    }

    /// The sum over dimension `axis`, which is removed.
    ///
    /// # Panics
    /// If there is no such dimension.
    #[track_caller]
    pub fn sum(&self, axis: usize) -> Tensor {
        super::sum(self, axis)
    }

    /// The mean over dimension `axis`, which is removed.
    ///
    /// # Panics
    /// If there is no such dimension.
    #[track_caller]
    pub fn mean(&self, axis: usize) -> Tensor {
        super::mean(self, axis)
    }

    /// The sum of all elements, shape `[]`.
    pub fn sum_all(&self) -> Tensor {
        super::sum_all(self)
    }

    /// The mean of all elements, shape `[]`.
    pub fn mean_all(&self) -> Tensor {
        super::mean_all(self)
    }
}

/// Implements a binary operator for tensors, by value or by reference, and for a tensor and a
/// number in either order. Shapes broadcast as in NumPy.
macro_rules! operator {
    ($trait:ident, $method:ident, $op:path, $with_number:ident, $of_number:ident) => {
        impl $trait<&Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                $op(self, other)
            }
        }
        impl $trait<Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                $op(self, &other)
            }
        }
        impl $trait<&Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                $op(&self, other)
            }
        }
        impl $trait<Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                $op(&self, &other)
            }
        }
        impl $trait<f32> for &Tensor {
            type Output = Tensor;
            fn $method(self, number: f32) -> Tensor {
                $with_number(self, number)
            }
        }
        impl $trait<f32> for Tensor {
            type Output = Tensor;
            fn $method(self, number: f32) -> Tensor {
                $with_number(&self, number)
            }
        }
        impl $trait<&Tensor> for f32 {
            type Output = Tensor;
            fn $method(self, other: &Tensor) -> Tensor {
                $of_number(self, other)
            }
        }
        impl $trait<Tensor> for f32 {
            type Output = Tensor;
            fn $method(self, other: Tensor) -> Tensor {
                $of_number(self, &other)
            }
        }
    };
}

operator!(Add, add, super::add, plus_number, number_plus);
operator!(Sub, sub, super::sub, minus_number, number_minus);
operator!(Mul, mul, super::mul, times_number, number_times);
operator!(Div, div, super::div, by_number, number_by);

fn plus_number(x: &Tensor, number: f32) -> Tensor {
    affine(x, 1.0, number)
}

fn number_plus(number: f32, x: &Tensor) -> Tensor {
    affine(x, 1.0, number)
}

fn minus_number(x: &Tensor, number: f32) -> Tensor {
    affine(x, 1.0, -number)
}

fn number_minus(number: f32, x: &Tensor) -> Tensor {
    affine(x, -1.0, number)
}

fn times_number(x: &Tensor, number: f32) -> Tensor {
    affine(x, number, 0.0)
}

fn number_times(number: f32, x: &Tensor) -> Tensor {
    affine(x, number, 0.0)
}

fn by_number(x: &Tensor, number: f32) -> Tensor {
    affine(x, 1.0 / number, 0.0)
}

fn number_by(number: f32, x: &Tensor) -> Tensor {
    super::div(&Tensor::from_slice(x.gpu(), &[number], [1]), x)
}

impl Neg for &Tensor {
    type Output = Tensor;
    fn neg(self) -> Tensor {
        affine(self, -1.0, 0.0)
    }
}

impl Neg for Tensor {
    type Output = Tensor;
    fn neg(self) -> Tensor {
        -&self
    }
}
