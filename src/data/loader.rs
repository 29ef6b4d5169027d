//! Batches, prefetched on a thread of their own.
//!
//! Batch s is a function of (seed, s) alone, so a run resumed at step s sees the same batches. The
//! images form an endless sequence: one random permutation of the whole set per epoch. A batch is
//! the next slice of that sequence and may span epochs: no image is dropped, and a set smaller than
//! a batch needs no special case.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use rayon::prelude::*;

use super::ImageSet;
use crate::error::{Error, Result};
use crate::philox::{Draw, Stream};

/// Finished batches in the queue, besides the one being made.
const AHEAD: usize = 2;

/// What determines a [`Loader`]'s batches, besides the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Images per batch.
    pub batch: usize,
    /// The run's seed.
    pub seed: u64,
    /// Mirror each image left to right with probability ½.
    pub flip: bool,
    /// The step of the first batch.
    pub first_step: u64,
}

/// The images of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The step.
    pub step: u64,
    /// Indices of the images in the set, `[batch]`.
    pub indices: Vec<u32>,
    /// Whether each is mirrored left to right, `[batch]`.
    pub mirrored: Vec<bool>,
    /// `[batch, height, width, 3]` in −1..1; for codes `[batch, height, width]`.
    pub images: Vec<f32>,
    /// Their classes, `[batch]`.
    pub labels: Vec<u32>,
}

impl Batch {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether it holds no image.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Splits the batch into pieces of `size` images; the last may be smaller.
    pub fn split(&self, size: usize) -> Vec<Batch> {
        let pixels = self.images.len() / self.len();
        let piece = |from: usize| {
            let of = from..(from + size).min(self.len());
            Batch {
                step: self.step,
                indices: self.indices[of.clone()].to_vec(),
                mirrored: self.mirrored[of.clone()].to_vec(),
                images: self.images[of.start * pixels..of.end * pixels].to_vec(),
                labels: self.labels[of].to_vec(),
            }
        };
        (0..self.len()).step_by(size).map(piece).collect()
    }
}

/// Prefetches batches for the training steps.
pub struct Loader {
    batches: Option<Receiver<Result<Batch>>>,
    thread: Option<JoinHandle<()>>,
}

impl Loader {
    /// Starts making batches from step `options.first_step` on.
    ///
    /// # Errors
    /// [`Error::Data`] if the set or the batch is empty.
    pub fn start(set: Arc<ImageSet>, options: LoaderOptions) -> Result<Loader> {
        let mut batches = Batches::new(set, options)?;
        let (sender, receiver) = sync_channel(AHEAD);
        let work = move || {
            (options.first_step..)
                .map_while(|s| sender.send(batches.at(s)).ok())
                .for_each(drop)
        };
        let thread = std::thread::Builder::new()
            .name("loader".into())
            .spawn(work)
            .map_err(Error::io("loader thread"))?;
        Ok(Loader {
            batches: Some(receiver),
            thread: Some(thread),
        })
    }

    /// The next step's batch; waits until it is made.
    ///
    /// # Errors
    /// Those of [`ImageSet::image`].
    ///
    /// # Panics
    /// If the thread panicked, which nothing in a checked set can cause.
    pub fn next(&self) -> Result<Batch> {
        let batches = self.batches.as_ref().expect("only `drop` takes it");
        batches
            .recv()
            .expect("the loader makes batches as long as they are taken")
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // Without a receiver the thread's next send fails, and it ends.
        self.batches = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The batches of a [`Loader`], computed on demand.
pub struct Batches {
    set: Arc<ImageSet>,
    options: LoaderOptions,
    /// The epoch of which `order` is the permutation.
    epoch: Option<u64>,
    order: Vec<u32>,
}

impl Batches {
    /// The batches of `set`; `first_step` is ignored.
    ///
    /// # Errors
    /// [`Error::Data`] if the set or the batch is empty.
    pub fn new(set: Arc<ImageSet>, options: LoaderOptions) -> Result<Batches> {
        if set.is_empty() || options.batch == 0 {
            let name = &set.name;
            let n = set.len();
            let batch = options.batch;
            return Err(Error::Data(format!(
                "{name}: {n} images in batches of {batch} do not make one batch"
            )));
        }
        Ok(Batches {
            set,
            options,
            epoch: None,
            order: Vec::new(),
        })
    }

    /// The batch of `step`. Images are read and converted on all cores.
    ///
    /// # Errors
    /// Those of [`ImageSet::image`].
    pub fn at(&mut self, step: u64) -> Result<Batch> {
        let LoaderOptions {
            batch, seed, flip, ..
        } = self.options;
        let n = self.set.len() as u64;
        let mut indices = Vec::with_capacity(batch);
        for place in step * batch as u64..(step + 1) * batch as u64 {
            self.shuffle(place / n);
            indices.push(self.order[(place % n) as usize]);
        }
        let mirrors = Stream {
            seed,
            step: step as u32,
            stream: Draw::Mirror.stream(),
            first: 0,
        };
        let mirrored: Vec<bool> = (0..batch as u32)
            .map(|i| flip && mirrors.below(i, 2) == 1)
            .collect();
        let pixels = self.set.numbers();
        let mut images = vec![0.0; batch * pixels];
        let work = images
            .par_chunks_exact_mut(pixels)
            .zip(indices.par_iter().zip(&mirrored));
        work.try_for_each(|(to, (&index, &mirrored))| self.put(to, index, mirrored))?;
        let labels = indices
            .iter()
            .map(|&i| self.set.labels[i as usize])
            .collect();
        Ok(Batch {
            step,
            indices,
            mirrored,
            images,
            labels,
        })
    }

    /// Writes image `index` to `to`.
    fn put(&self, to: &mut [f32], index: u32, mirrored: bool) -> Result<()> {
        self.set.format.put(&self.set.image(index as usize)?, to);
        if mirrored {
            let channels = self.set.format.channels();
            to.chunks_exact_mut(self.set.width * channels)
                .for_each(|row| mirror(row, channels));
        }
        Ok(())
    }

    /// Fills `self.order` with the permutation of `epoch` (Fisher–Yates).
    fn shuffle(&mut self, epoch: u64) {
        if self.epoch != Some(epoch) {
            let stream = Stream {
                seed: self.options.seed,
                step: epoch as u32,
                stream: Draw::Order.stream(),
                first: 0,
            };
            let n = self.set.len() as u32;
            self.order.clear();
            self.order.extend(0..n);
            (1..n).rev().for_each(|last| {
                self.order
                    .swap(last as usize, stream.below(last, last + 1) as usize)
            });
            self.epoch = Some(epoch);
        }
    }
}

/// Reverses the pixels of a row.
fn mirror(row: &mut [f32], channels: usize) {
    row.reverse();
    row.chunks_exact_mut(channels)
        .for_each(|pixel| pixel.reverse());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// n images of 2×3 pixels whose bytes encode image and position.
    fn set(n: u32) -> Arc<ImageSet> {
        let images = (0..n)
            .flat_map(|i| (0..18).map(move |at| (i * 18 + at) as u8))
            .collect();
        let classes = vec!["even".into(), "odd".into()];
        let labels = (0..n).map(|i| i % 2).collect();
        Arc::new(ImageSet::from_pixels(
            "test",
            [2, 3],
            images,
            labels,
            classes,
        ))
    }

    fn options(batch: usize) -> LoaderOptions {
        LoaderOptions {
            batch,
            seed: 3,
            flip: true,
            first_step: 0,
        }
    }

    fn taken(set: &Arc<ImageSet>, options: LoaderOptions, count: usize) -> Vec<Batch> {
        let loader = Loader::start(set.clone(), options).expect("it starts");
        (0..count)
            .map(|_| loader.next().expect("in memory"))
            .collect()
    }

    #[test]
    fn a_run_that_goes_on_sees_the_same_batches() {
        for (n, batch) in [(10, 4), (3, 8), (1, 2), (8, 8)] {
            let set = set(n);
            let whole = taken(&set, options(batch), 12);
            assert_eq!(whole, taken(&set, options(batch), 12), "twice the same");
            for first_step in [1, 5, 11] {
                let rest = taken(
                    &set,
                    LoaderOptions {
                        first_step,
                        ..options(batch)
                    },
                    12 - first_step as usize,
                );
                assert_eq!(
                    rest,
                    whole[first_step as usize..],
                    "{n} in batches of {batch}, on at {first_step}"
                );
            }
            let other = taken(
                &set,
                LoaderOptions {
                    seed: 4,
                    ..options(batch)
                },
                12,
            );
            assert!(n == 1 || other != whole, "another seed, another order");
        }
    }

    #[test]
    fn every_epoch_has_every_picture_once() {
        for (n, batch) in [(10, 4), (3, 8), (7, 7)] {
            let row: Vec<u32> = taken(&set(n), options(batch), 20)
                .into_iter()
                .flat_map(|b| b.indices)
                .collect();
            let mut orders = Vec::new();
            for epoch in row.chunks_exact(n as usize) {
                let mut sorted = epoch.to_vec();
                sorted.sort_unstable();
                assert_eq!(sorted, (0..n).collect::<Vec<_>>());
                orders.push(epoch);
            }
            assert!(
                orders.windows(2).any(|pair| pair[0] != pair[1]),
                "epochs differ"
            );
        }
    }

    #[test]
    fn orders_are_even() {
        // How often each image comes first in 2,400 epochs: 400 times on average, σ = 18.
        let mut batches = Batches::new(set(6), options(6)).expect("a set");
        let mut firsts = [0i32; 6];
        (0..2400)
            .for_each(|step| firsts[batches.at(step).expect("in memory").indices[0] as usize] += 1);
        assert!(
            firsts.iter().all(|count| (count - 400).abs() < 75),
            "{firsts:?}"
        );
    }

    #[test]
    fn pictures_labels_and_mirrors_belong_together() {
        let set = set(9);
        let mut mirrored = 0;
        for batch in taken(&set, options(5), 40) {
            let pictures = batch.images.chunks_exact(18);
            let pieces = batch.split(2);
            assert_eq!(pieces.iter().map(Batch::len).collect::<Vec<_>>(), [2, 2, 1]);
            assert_eq!(
                pieces
                    .iter()
                    .flat_map(|piece| piece.images.clone())
                    .collect::<Vec<_>>(),
                batch.images
            );
            let pictures = batch
                .indices
                .iter()
                .zip(pictures)
                .zip(&batch.labels)
                .zip(&batch.mirrored);
            for (((&index, picture), &label), &told) in pictures {
                assert_eq!(label, index % 2);
                let plain = set.floats(&[index]).expect("in memory");
                let mirror: Vec<f32> = plain
                    .chunks_exact(9)
                    .flat_map(|r| [&r[6..], &r[3..6], &r[..3]].concat())
                    .collect();
                assert!(picture == plain || picture == mirror, "{picture:?}");
                assert_eq!(told, picture == mirror);
                mirrored += usize::from(told);
            }
        }
        assert!((70..130).contains(&mirrored), "{mirrored} of 200 mirrored");
        let still = LoaderOptions {
            flip: false,
            ..options(5)
        };
        let plain = |batch: &Batch| set.floats(&batch.indices).expect("in memory");
        assert!(
            taken(&set, still, 8)
                .iter()
                .all(|batch| batch.images == plain(batch))
        );
    }

    #[test]
    fn nothing_to_train_on_is_an_error() {
        for (n, batch) in [(0, 4), (4, 0)] {
            let error = Loader::start(set(n), options(batch))
                .err()
                .expect("refused");
            assert_eq!(error.exit_code(), 8, "{error}");
        }
    }

    #[test]
    fn a_loader_that_is_dropped_ends_its_thread() {
        let set = set(4);
        drop(Loader::start(set.clone(), options(2)).expect("it starts"));
        assert_eq!(Arc::strong_count(&set), 1);
    }
}
