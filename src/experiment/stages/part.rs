//! A part of a training step's batch.

use crate::data::Batch;
use crate::philox::Stream;

/// A part of a step's batch, as large as the memory takes.
pub(crate) struct Part {
    /// Its pictures.
    pub batch: Batch,
    /// The step's random numbers, from those of the first picture on.
    pub stream: Stream,
}

impl Part {
    /// Of values of the whole batch, `each` a picture, those of this part.
    pub(crate) fn own<'a, T>(&self, all: &'a [T], each: usize) -> &'a [T] {
        &all[each * self.stream.first as usize..][..each * self.batch.len()]
    }
}
