//! The building blocks of models: parameters that can be visited, initialisation, layers, the
//! optimiser, and checkpoints.

pub mod adam;
pub mod checkpoint;
pub mod codebook;
pub mod conv_norm;
pub mod init;
pub mod layers;
pub mod optim;
pub mod weights;

use std::path::Path;

use crate::error::Result;
use crate::tensor::Tensor;

/// Anything with parameters. The optimiser, checkpoints and summaries all use one method,
/// [`Module::visit`], which [`module!`](crate::module) implements.
pub trait Module {
    /// Calls `f(path, parameter)` for every parameter, always in the same order. A path is made of
    /// plain names and indices, e.g. `blocks.0.conv.weight`.
    ///
    /// A parameter with more than two dimensions must be a convolution kernel with channels last:
    /// [`Module::save`], [`Module::load`] and `dbvq-wgpu export` convert those, and only those,
    /// between this layout and PyTorch's.
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor));

    /// The number of parameters, counting each element of each tensor.
    fn parameters(&mut self) -> usize {
        let mut count = 0;
        self.visit(&mut |_, tensor| count += tensor.count());
        count
    }

    /// Writes the parameters to a safetensors file in PyTorch's layouts; see [`weights::save`].
    ///
    /// # Errors
    /// If the file cannot be written.
    fn save(&mut self, file: impl AsRef<Path>) -> Result<()>
    where
        Self: Sized,
    {
        weights::save(self, file.as_ref(), weights::Format::F32)
    }

    /// Reads the parameters from a safetensors file; see [`weights::load`].
    ///
    /// # Errors
    /// If the file cannot be read or does not fit the model.
    fn load(&mut self, file: impl AsRef<Path>) -> Result<()>
    where
        Self: Sized,
    {
        weights::load(self, file.as_ref())
    }
}

/// A field of a [`module!`](crate::module): a module, a parameter, a `Vec` or `Option` of them, or
/// a number or `bool`, which is not a parameter.
pub trait Field {
    /// Calls `f` for the parameters of the field called `name`.
    fn visit_field(&mut self, name: &str, f: &mut dyn FnMut(&str, &mut Tensor));
}

impl<M: Module> Field for M {
    fn visit_field(&mut self, name: &str, f: &mut dyn FnMut(&str, &mut Tensor)) {
        layers::visit_part(name, self, f);
    }
}

impl Field for Tensor {
    fn visit_field(&mut self, name: &str, f: &mut dyn FnMut(&str, &mut Tensor)) {
        f(name, self);
    }
}

impl<F: Field> Field for Vec<F> {
    fn visit_field(&mut self, name: &str, f: &mut dyn FnMut(&str, &mut Tensor)) {
        for (i, field) in self.iter_mut().enumerate() {
            field.visit_field(&format!("{name}.{i}"), f);
        }
    }
}

impl<F: Field> Field for Option<F> {
    fn visit_field(&mut self, name: &str, f: &mut dyn FnMut(&str, &mut Tensor)) {
        if let Some(field) = self {
            field.visit_field(name, f);
        }
    }
}

macro_rules! no_parameters {
    ($($type:ty),*) => {
        $(impl Field for $type {
            fn visit_field(&mut self, _: &str, _: &mut dyn FnMut(&str, &mut Tensor)) {}
        })*
    };
}

no_parameters!(bool, u32, u64, usize, f32, f64);

/// Defines a struct whose fields are [`Field`]s, and implements [`Module`] for it. The names of the
/// fields become the paths.
///
/// ```
/// use dbvq_wgpu::prelude::*;
///
/// module! {
///     /// A perceptron with residual blocks.
///     struct Net { first: Linear, blocks: Vec<Linear>, scale: Tensor, width: usize }
/// }
///
/// let gpu = Gpu::open_default()?;
/// let mut init = Init::new(&gpu, 0);
/// let mut net = Net {
///     first: Linear::new(&mut init, [2, 8]),
///     blocks: (0..2).map(|_| Linear::new(&mut init, [8, 8])).collect(),
///     scale: init.zeros(&[8]),
///     width: 8,
/// };
/// let mut paths = Vec::new();
/// net.visit(&mut |path, _| paths.push(path.to_string()));
/// assert_eq!(paths[..3], ["first.weight", "first.bias", "blocks.0.weight"]);
/// assert_eq!((paths.len(), net.parameters(), net.width), (7, 24 + 2 * 72 + 8, 8));
/// # Ok::<(), Error>(())
/// ```
#[macro_export]
macro_rules! module {
    ($(#[$about:meta])* $visibility:vis struct $name:ident {
        $($(#[$of_field:meta])* $field_visibility:vis $field:ident: $type:ty),* $(,)?
    }) => {
        $(#[$about])*
        $visibility struct $name {
            $($(#[$of_field])* $field_visibility $field: $type,)*
        }

        impl $crate::nn::Module for $name {
            fn visit(&mut self, f: &mut dyn FnMut(&str, &mut $crate::tensor::Tensor)) {
                $($crate::nn::Field::visit_field(&mut self.$field, stringify!($field), f);)*
            }
        }
    };
}
