//! What models are made of: parameters that can be visited, initialisation, the optimiser,
//! checkpoints.

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

/// Anything with parameters. One visitor serves the optimiser, checkpoints and summaries;
/// [`module!`](crate::module) writes it.
pub trait Module {
    /// Calls `f(path, parameter)` for every parameter, always in the same order. Paths are plain,
    /// e.g. `blocks.0.conv.weight`. A parameter of more than two dimensions is the kernel of a
    /// convolution, channels last: `dbvq-wgpu export` turns those, and only those, into PyTorch's
    /// order.
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor));

    /// Number of parameters.
    fn parameters(&mut self) -> usize {
        let mut count = 0;
        self.visit(&mut |_, tensor| count += tensor.count());
        count
    }

    /// Writes the parameters to a safetensors file with PyTorch's layouts; see [`weights::save`].
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

/// A field of a [`module!`](crate::module): a module, a parameter, a list or an option of them, or
/// a number, which is no parameter.
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

/// A struct whose fields are [`Field`]s, with its [`Module`]: paths are the names of the fields.
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
