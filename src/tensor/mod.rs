//! `Tensor` (f32) and `Codes` (u32): a buffer, a shape, and for tensors a node of the tape.
//!
//! Both are contiguous and row-major; changing the layout is an op. Clones share the memory.

mod shape;
mod tape;

use std::fmt;
use std::rc::Rc;

pub use shape::{MAX_RANK, Shape};
pub use tape::Grads;
use tape::Node;
pub(crate) use tape::{VARIANTS as ACCUMULATE, grid, recompute};

use crate::error::Result;
use crate::gpu::{Buffer, Gpu, raise};

/// A tensor of f32 on the GPU.
#[derive(Clone)]
pub struct Tensor(Rc<Data>);

struct Data {
    gpu: Gpu,
    buffer: Buffer,
    shape: Shape,
    node: Option<Rc<Node>>,
}

impl Tensor {
    /// A tensor on `buffer`, not on the tape.
    pub(crate) fn from_buffer(gpu: &Gpu, buffer: Buffer, shape: impl Into<Shape>) -> Tensor {
        let shape = shape.into();
        assert_eq!(
            buffer.size(),
            4 * shape.count() as u64,
            "a buffer of {} bytes is not a {shape:?}",
            buffer.size()
        );
        Tensor(Rc::new(Data {
            gpu: gpu.clone(),
            buffer,
            shape,
            node: None,
        }))
    }

    /// A tensor with undefined content, for an op to write.
    pub(crate) fn uninit(gpu: &Gpu, shape: impl Into<Shape>) -> Tensor {
        let shape = shape.into();
        Tensor::from_buffer(gpu, gpu.alloc(shape.count()), shape)
    }

    /// A tensor of `data` in row-major order.
    ///
    /// # Panics
    /// If `data` does not have `shape`'s number of elements.
    #[track_caller]
    pub fn from_slice(gpu: &Gpu, data: &[f32], shape: impl Into<Shape>) -> Tensor {
        let shape = shape.into();
        assert_eq!(
            data.len(),
            shape.count(),
            "{} numbers for a tensor {shape:?}",
            data.len()
        );
        Tensor::from_buffer(gpu, gpu.upload(data), shape)
    }

    /// A tensor of zeros.
    pub fn zeros(gpu: &Gpu, shape: impl Into<Shape>) -> Tensor {
        let tensor = Tensor::uninit(gpu, shape);
        gpu.zero(tensor.buffer());
        tensor
    }

    /// The device this tensor lives on.
    pub fn gpu(&self) -> &Gpu {
        &self.0.gpu
    }

    /// Replaces the elements, also those of all clones, which share the memory.
    ///
    /// # Panics
    /// If `data` does not have the tensor's number of elements.
    #[track_caller]
    pub fn assign(&self, data: &[f32]) {
        assert_eq!(
            data.len(),
            self.count(),
            "{} numbers for a tensor {:?}",
            data.len(),
            self.shape()
        );
        self.0.gpu.overwrite(&self.0.buffer, data);
    }

    /// The memory.
    pub(crate) fn buffer(&self) -> &Buffer {
        &self.0.buffer
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.0.shape
    }

    /// The dimensions; their number must be `N`.
    ///
    /// # Panics
    /// If the rank differs.
    #[track_caller]
    pub fn dims<const N: usize>(&self) -> [usize; N] {
        let dims = self.0.shape;
        <[usize; N]>::try_from(dims.dims())
            .unwrap_or_else(|_| panic!("expected {N} dimensions, got {dims:?}"))
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        self.0.shape.count()
    }

    /// Reads the tensor back. Waits for the GPU.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::error::Error::OutOfMemory) or
    /// [`Error::DeviceLost`](crate::error::Error::DeviceLost), if that happened since the last look.
    pub fn read(&self) -> Result<Vec<f32>> {
        self.0.gpu.try_read(&self.0.buffer)
    }

    /// [`Tensor::read`] for programs that catch errors in one place: unwinds with the error; see
    /// [`gpu::catch`](crate::gpu::catch).
    pub fn to_vec(&self) -> Vec<f32> {
        self.read().unwrap_or_else(|error| raise(error))
    }

    /// Reads a tensor of one element back, as [`Tensor::to_vec`].
    ///
    /// # Panics
    /// If there is more than one element.
    #[track_caller]
    pub fn item(&self) -> f32 {
        assert_eq!(self.count(), 1, "item() of a tensor {:?}", self.shape());
        self.to_vec()[0]
    }

    /// The same values, detached from the tape.
    pub fn detach(&self) -> Tensor {
        match self.0.node {
            None => self.clone(),
            Some(_) => Tensor::from_buffer(&self.0.gpu, self.0.buffer.clone(), self.0.shape),
        }
    }

    /// The same values as a leaf of the tape, for which [`Tensor::backward`] gives a gradient.
    pub fn leaf(&self) -> Tensor {
        self.with_node(Node::leaf())
    }

    /// The same elements in another shape.
    ///
    /// # Panics
    /// If the number of elements differs.
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Tensor {
        let from = self.shape();
        let to = shape.into();
        assert_eq!(from.count(), to.count(), "reshape {from:?} to {to:?}");
        let reshaped = Tensor::from_buffer(&self.0.gpu, self.0.buffer.clone(), to);
        reshaped.with_vjp([self], move |dy, _| [Some(dy.reshape(from))])
    }

    /// In a rehearsal, notes that this is the output of the layer with these `parameters`; see
    /// [`Tensor::output`].
    pub(crate) fn noted(self, parameters: &[&Tensor]) -> Tensor {
        parameters
            .iter()
            .for_each(|p| self.gpu().note(p.buffer(), self.shape().dims()));
        self
    }

    /// In a rehearsal, the dimensions of the last output of the layer with this parameter.
    pub fn output(&self) -> Option<Vec<usize>> {
        self.gpu().noted(self.buffer())
    }

    fn with_node(&self, node: Rc<Node>) -> Tensor {
        Tensor(Rc::new(Data {
            gpu: self.0.gpu.clone(),
            buffer: self.0.buffer.clone(),
            shape: self.0.shape,
            node: Some(node),
        }))
    }

    /// Whether nobody else holds this tensor or its memory.
    fn is_unique(&self) -> bool {
        Rc::strong_count(&self.0) == 1 && self.0.buffer.is_unique()
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor{:?}", self.0.shape)
    }
}

/// A tensor of u32 on the GPU: indices of codes. Has no gradient.
#[derive(Clone, Debug)]
pub struct Codes {
    gpu: Gpu,
    buffer: Buffer,
    shape: Shape,
}

impl Codes {
    /// Codes with undefined content, for an op to write.
    pub(crate) fn uninit(gpu: &Gpu, shape: impl Into<Shape>) -> Codes {
        let shape = shape.into();
        Codes {
            gpu: gpu.clone(),
            buffer: gpu.alloc(shape.count()),
            shape,
        }
    }

    /// Codes from `data` in row-major order.
    ///
    /// # Panics
    /// If `data` does not have `shape`'s number of elements.
    #[track_caller]
    pub fn from_slice(gpu: &Gpu, data: &[u32], shape: impl Into<Shape>) -> Codes {
        let shape = shape.into();
        assert_eq!(
            data.len(),
            shape.count(),
            "{} codes for {shape:?}",
            data.len()
        );
        Codes {
            gpu: gpu.clone(),
            buffer: gpu.upload(data),
            shape,
        }
    }

    /// The device the codes live on.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// The memory.
    pub(crate) fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Number of codes.
    pub fn count(&self) -> usize {
        self.shape.count()
    }

    /// The same codes in another shape.
    ///
    /// # Panics
    /// If the number of codes differs.
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Codes {
        let shape = shape.into();
        assert_eq!(
            self.shape.count(),
            shape.count(),
            "reshape {:?} to {shape:?}",
            self.shape
        );
        Codes {
            shape,
            ..self.clone()
        }
    }

    /// Reads the codes back. Waits for the GPU.
    ///
    /// # Errors
    /// As [`Tensor::read`].
    pub fn read(&self) -> Result<Vec<u32>> {
        self.gpu.try_read(&self.buffer)
    }

    /// [`Codes::read`], which unwinds with the error, as [`Tensor::to_vec`].
    pub fn to_vec(&self) -> Vec<u32> {
        self.read().unwrap_or_else(|error| raise(error))
    }
}
