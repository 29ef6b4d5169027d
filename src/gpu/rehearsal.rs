//! A device that computes nothing, to find out what a program would need: tensors have shapes but
//! no memory, dispatches and bytes are counted, and everything read back is zero. Memory is held,
//! recycled and refused as on a real device.

use std::cell::RefCell;

use rustc_hash::FxHashMap;

use super::{AdapterFacts, Buffer, Gpu, GpuOptions, adapter};
use crate::error::Result;

/// State of a rehearsal.
pub(super) struct Rehearsal {
    /// Stands in for all memory.
    pub memory: wgpu::Buffer,
    /// Output dimensions of layers, keyed by the memory of their parameters.
    outputs: RefCell<FxHashMap<(u32, u64, u64), Vec<usize>>>,
}

impl Gpu {
    /// Opens a rehearsal. It refuses what an adapter with these `facts` would refuse (`None`:
    /// nothing), and more than `memory_limit` bytes.
    ///
    /// # Errors
    /// [`Error::Adapter`](crate::error::Error::Adapter) if wgpu has no such device.
    pub fn rehearsal(facts: Option<&AdapterFacts>, memory_limit: u64) -> Result<Gpu> {
        let (nothing, own) = adapter::nothing()?;
        let (device, queue) = adapter::open(&nothing, false, true)?;
        let memory = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("rehearsal"),
            size: 4,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        let rehearsal = Rehearsal {
            memory,
            outputs: RefCell::default(),
        };
        let options = GpuOptions {
            memory_limit: Some(memory_limit),
            ..GpuOptions::default()
        };
        Ok(Gpu::on(
            device,
            queue,
            facts.cloned().unwrap_or(own),
            options,
            Some(rehearsal),
        ))
    }

    /// Whether this is a rehearsal.
    pub fn rehearses(&self) -> bool {
        self.0.rehearsal.is_some()
    }

    /// In a rehearsal, notes that the layer with this `parameter` outputs a tensor of these `dims`.
    pub(crate) fn note(&self, parameter: &Buffer, dims: &[usize]) {
        if let Some(rehearsal) = &self.0.rehearsal {
            rehearsal
                .outputs
                .borrow_mut()
                .insert(parameter.key(), dims.to_vec());
        }
    }

    /// The dimensions last passed to [`Gpu::note`] for `parameter`.
    pub(crate) fn noted(&self, parameter: &Buffer) -> Option<Vec<usize>> {
        self.0
            .rehearsal
            .as_ref()?
            .outputs
            .borrow()
            .get(&parameter.key())
            .cloned()
    }
}
