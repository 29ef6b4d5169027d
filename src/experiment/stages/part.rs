//! A part of a training step's batch.

use crate::data::Batch;
use crate::philox::Stream;

/// A part of a step's batch, small enough for GPU memory.
pub(crate) struct Part {
    /// Its images.
    pub batch: Batch,
    /// The step's random numbers, from those of the first image on.
    pub stream: Stream,
}

impl Part {
    /// This part's slice of the values of the whole batch, `each` values per image.
    pub(crate) fn own<'a, T>(&self, all: &'a [T], each: usize) -> &'a [T] {
        &all[each * self.stream.first as usize..][..each * self.batch.len()]
    }
}
