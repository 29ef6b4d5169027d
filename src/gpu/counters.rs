//! What the engine counts.

use super::Gpu;

/// What the engine did so far; differences over a step show whether it is in steady state.
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
    /// Pipelines compiled or about to be.
    pub pipelines: u64,
    /// Multiplications and additions of products, convolutions, attention and distances to codes.
    pub flops: u64,
    /// Bytes of GPU memory held now.
    pub bytes: u64,
    /// Those of them that a tensor lies in.
    pub live_bytes: u64,
    /// Bytes of GPU memory held at most.
    pub peak_bytes: u64,
    /// Bytes of all tensors ever made: what they would take without recycling.
    pub taken_bytes: u64,
}

impl Gpu {
    /// What the engine did so far.
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

    /// Counts multiplications and additions that an op has recorded.
    pub fn count_flops(&self, flops: usize) {
        self.count(|c| c.flops += flops as u64);
    }
}
