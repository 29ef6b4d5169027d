//! Buffers and the pool that recycles them.
//!
//! A freed buffer returns to its size class, and the free buffer with the lowest number is handed
//! out first. A training step that repeats the same dispatches thus gets the same buffers every
//! time: no buffer and no bind group is created twice. Reuse needs no waiting, since dispatches run
//! in the order they are recorded. Only host writes overtake recorded work, so uploads take `fresh`
//! buffers.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use super::Gpu;

/// The word that fills unwritten memory when the pool poisons: a quiet NaN, different for each
/// buffer, since a kernel might read a NaN past one tensor and write it past another, which would
/// look untouched.
fn poison(buffer: u32) -> u32 {
    0x7fc0_0001 | (buffer & 0xffff) << 1
}

/// Bytes past the binding, which no kernel can legally reach; watched when the pool poisons.
pub(super) const GUARD: u64 = 256;
/// Alignment, in elements, of a tensor within another's memory: 256 bytes, WebGPU's binding
/// alignment.
pub const ALIGN: usize = 64;
/// Bytes inside the binding past the tensor's last element; watched when the pool poisons.
const TAIL: u64 = 64;

/// A range of GPU memory, returned to the pool when its last clone is dropped.
#[derive(Clone)]
pub(crate) struct Buffer {
    alloc: Rc<Alloc>,
    offset: u64,
    size: u64,
}

/// Number of a buffer that could not be allocated.
const NOTHING: u32 = u32::MAX;

struct Alloc {
    id: u32,
    raw: wgpu::Buffer,
    pool: Rc<RefCell<Pool>>,
}

impl Drop for Alloc {
    fn drop(&mut self) {
        if self.id != NOTHING {
            self.pool.borrow_mut().give_back(self.id);
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "buffer {}[{}..{}]",
            self.alloc.id,
            self.offset,
            self.offset + self.size
        )
    }
}

impl Buffer {
    /// Stands for `size` bytes that could not be allocated: nothing may access it.
    pub(super) fn nothing(pool: &Rc<RefCell<Pool>>, raw: wgpu::Buffer, size: u64) -> Buffer {
        Buffer {
            alloc: Rc::new(Alloc {
                id: NOTHING,
                raw,
                pool: pool.clone(),
            }),
            offset: 0,
            size,
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.alloc.id == NOTHING
    }

    /// Bytes in use, padding excluded.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Offset of this range in its allocation, bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether nobody else holds this memory, so that it may be overwritten.
    pub fn is_unique(&self) -> bool {
        Rc::strong_count(&self.alloc) == 1
    }

    /// Bytes `[offset, offset + size)` of this buffer as a buffer that shares the memory, e.g. one
    /// parameter of an arena.
    ///
    /// # Panics
    /// If the range is not inside the buffer or `offset` is not a multiple of 256 (WebGPU's binding
    /// alignment).
    pub fn slice(&self, offset: u64, size: u64) -> Buffer {
        assert!(
            offset + size <= self.size,
            "slice {offset}+{size} of a buffer of {} bytes",
            self.size
        );
        assert_eq!(
            offset % (4 * ALIGN as u64),
            0,
            "slice at {offset}, which is not a multiple of 256"
        );
        Buffer {
            alloc: self.alloc.clone(),
            offset: self.offset + offset,
            size,
        }
    }

    pub(super) fn raw(&self) -> &wgpu::Buffer {
        &self.alloc.raw
    }

    /// Identifies the binding of this range: number, offset, size.
    pub(super) fn key(&self) -> (u32, u64, u64) {
        (self.alloc.id, self.offset, self.size)
    }

    /// The binding: the range, rounded up to whole vec4s unless it is to be `exact`, as
    /// `arrayLength` then tells foreign kernels.
    pub(super) fn binding(&self, poison: bool, exact: bool) -> wgpu::BufferBinding<'_> {
        let bytes = if exact {
            self.size
        } else if poison && self.offset == 0 {
            self.size.next_multiple_of(16) + TAIL
        } else {
            self.size.next_multiple_of(16)
        };
        let size = wgpu::BufferSize::new(bytes);
        wgpu::BufferBinding {
            buffer: &self.alloc.raw,
            offset: self.offset,
            size,
        }
    }
}

struct Slot {
    raw: wgpu::Buffer,
    class: u64,
    /// Bytes requested by the present or last holder.
    size: u64,
    /// Submission that was being recorded when the slot was last freed.
    freed_in: u64,
}

/// All buffers of a device.
#[derive(Default)]
pub(super) struct Pool {
    slots: BTreeMap<u32, Slot>,
    free: BTreeMap<u64, BTreeSet<u32>>,
    quarantine: Vec<u32>,
    next: u32,
    /// Number of the submission that is being recorded.
    pub recording: u64,
    /// Recycle nothing, fill all memory with [`poison`] and watch what surrounds tensors.
    pub poison: bool,
    /// Bytes allocated from the driver, bytes of them in use, and most bytes ever allocated.
    pub bytes: u64,
    pub live_bytes: u64,
    pub peak_bytes: u64,
    /// Buffers ever created.
    pub created: u64,
    /// Bytes of all requests, including those met by recycling.
    pub taken_bytes: u64,
}

impl Pool {
    /// An empty pool. Recording starts at 1, so that buffers never used count as freed in an
    /// earlier submission.
    pub fn new(poison: bool) -> Pool {
        Pool {
            poison,
            recording: 1,
            ..Pool::default()
        }
    }

    /// Size class of a request: a multiple of 256 bytes, from 1 KiB on at most 25 % larger.
    fn class(&self, size: u64) -> u64 {
        if self.poison {
            return size.next_multiple_of(16) + TAIL + GUARD;
        }
        let size = size.max(256);
        let step = (size.next_power_of_two() / 8).max(256);
        size.next_multiple_of(step)
    }

    /// A free buffer of this size class, if there is one. `fresh`: only one that no recorded,
    /// unsubmitted dispatch can still access.
    fn recycle(&mut self, class: u64, fresh: bool) -> Option<u32> {
        let slots = &self.slots;
        let recording = self.recording;
        let free = self.free.get_mut(&class)?;
        let id = free
            .iter()
            .copied()
            .find(|id| !fresh || slots[id].freed_in < recording)?;
        free.remove(&id);
        Some(id)
    }

    fn give_back(&mut self, id: u32) {
        if self.poison {
            self.quarantine.push(id);
            return;
        }
        let recording = self.recording;
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.freed_in = recording;
            self.live_bytes -= slot.class;
            self.free.entry(slot.class).or_default().insert(id);
        }
    }

    /// Drops all free buffers, for when memory runs short; returns how many.
    pub fn trim(&mut self) -> usize {
        let ids: Vec<u32> = std::mem::take(&mut self.free)
            .into_values()
            .flatten()
            .collect();
        for id in &ids {
            if let Some(slot) = self.slots.remove(id) {
                self.bytes -= slot.class;
            }
        }
        ids.len()
    }

    /// Lists the poisoned pool's buffers, live ones too, for checking: number, raw buffer, bytes
    /// that belong to the tensor.
    pub fn watched(&mut self) -> Vec<(u32, wgpu::Buffer, u64)> {
        let all = self
            .slots
            .iter()
            .map(|(&id, slot)| (id, slot.raw.clone(), slot.size))
            .collect();
        for id in std::mem::take(&mut self.quarantine) {
            if let Some(slot) = self.slots.remove(&id) {
                self.bytes -= slot.class;
            }
        }
        all
    }
}

/// A buffer of `size` bytes: recycled if possible, else made by `create(bytes)`. `fresh` asks for
/// one that no recorded, unsubmitted dispatch accesses (see the module docs).
pub(super) fn take<E>(
    pool: &Rc<RefCell<Pool>>,
    size: u64,
    fresh: bool,
    create: impl FnOnce(u64) -> Result<wgpu::Buffer, E>,
) -> Result<Buffer, E> {
    let class = pool.borrow().class(size);
    let recycled = pool.borrow_mut().recycle(class, fresh);
    let id = match recycled {
        Some(id) => id,
        None => {
            let raw = create(class)?;
            let mut pool = pool.borrow_mut();
            let id = pool.next;
            pool.next += 1;
            pool.created += 1;
            pool.bytes += class;
            pool.peak_bytes = pool.peak_bytes.max(pool.bytes);
            pool.slots.insert(
                id,
                Slot {
                    raw,
                    class,
                    size,
                    freed_in: 0,
                },
            );
            id
        }
    };
    let mut inner = pool.borrow_mut();
    let slot = inner
        .slots
        .get_mut(&id)
        .expect("a slot lives as long as its number");
    slot.size = size;
    let raw = slot.raw.clone();
    inner.live_bytes += class;
    inner.taken_bytes += class;
    drop(inner);
    Ok(Buffer {
        alloc: Rc::new(Alloc {
            id,
            raw,
            pool: pool.clone(),
        }),
        offset: 0,
        size,
    })
}

impl Gpu {
    pub(super) fn fill_poison(&self, buffer: &Buffer) {
        let raw = buffer.raw().clone();
        let size = raw.size();
        let words = vec![poison(buffer.key().0); (size / 4) as usize];
        let scratch = self.0.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("poison"),
            size,
            usage: wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.0
            .queue
            .write_buffer(&scratch, 0, bytemuck::cast_slice(&words));
        self.with_encoder(|encoder| encoder.copy_buffer_to_buffer(&scratch, 0, &raw, 0, size));
    }

    /// Checks that no kernel wrote past its tensors, inside or outside the binding. Only with
    /// `poison`.
    ///
    /// # Errors
    /// Says where the first stray write is.
    pub fn check_guards(&self) -> Result<(), String> {
        let watched = self.0.pool.borrow_mut().watched();
        for (id, raw, size) in watched {
            let bytes = self
                .read_raw(&raw, size, raw.size() - size)
                .map_err(|error| error.to_string())?;
            for (at, word) in bytes.chunks_exact(4).enumerate() {
                if word != poison(id).to_ne_bytes() {
                    let where_ = if bytes.len() as u64 - 4 * at as u64 > GUARD {
                        "inside"
                    } else {
                        "outside"
                    };
                    return Err(format!(
                        "a kernel wrote {} words behind a tensor of {} words ({where_} the binding)",
                        at + 1,
                        size / 4
                    ));
                }
            }
        }
        Ok(())
    }
}
