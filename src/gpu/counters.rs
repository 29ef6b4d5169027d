//! Counters of the engine's work.

use super::Gpu;

/// Work of the engine so far. Differences over a step show whether it has reached a steady state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Kernels dispatched.
    pub dispatches: u64,
    /// Submits.
    pub submits: u64,
    /// Waits for the GPU.
    pub waits: u64,
    /// Buffers created.
    pub buffers: u64,
    /// Bind groups created.
    pub bind_groups: u64,
    /// Pipelines compiled or being compiled.
    pub pipelines: u64,
    /// Floating-point operations of products, convolutions, attention and distances to codes.
    pub flops: u64,
    /// Bytes of GPU memory allocated now.
    pub bytes: u64,
    /// Bytes of them in use by tensors.
    pub live_bytes: u64,
    /// Most bytes of GPU memory ever allocated.
    pub peak_bytes: u64,
    /// Bytes of all tensors ever made: the memory needed without recycling.
    pub taken_bytes: u64,
}

impl Gpu {
    /// Work of the engine so far.
    pub fn counters(&self) -> Counters {
        let pool = self.0.pool.borrow();
        let pipelines = u64::from(self.0.kernels.borrow().compiled);
        Counters {
            buffers: pool.created,
            bytes: pool.bytes,
            live_bytes: pool.live_bytes,
            peak_bytes: pool.peak_bytes,
            taken_bytes: pool.taken_bytes,
            pipelines,
            ..self.0.counters.get()
        }
    }

    pub(super) fn count(&self, add: impl FnOnce(&mut Counters)) {
        let mut counters = self.0.counters.get();
        add(&mut counters);
        self.0.counters.set(counters);
    }

    /// Adds the floating-point operations of an op that was recorded.
    pub fn count_flops(&self, flops: usize) {
        self.count(|c| c.flops += flops as u64);
    }
}
