//! The only code that uses `wgpu`: opening an adapter, recording dispatches, submitting, reading
//! back.
//!
//! Dispatches are encoded at once, or as soon as their pipelines are compiled, into one compute
//! pass, which [`Gpu::submit`] hands to the driver: one submit per training step. Nothing waits for
//! the GPU except reading back, the profiler, the tuner, and a submit that would be the third in
//! flight.
//!
//! Faults that only the driver can cause (out of memory, device lost) are kept until somebody looks:
//! [`Gpu::check`], [`Tensor::read`](crate::tensor::Tensor::read) and
//! [`Adam::step`](crate::nn::adam::Adam::step) return them. Until then nothing is dispatched and tensors
//! that could not be allocated hold nothing, so ops need no `Result`. [`Gpu::submit`], [`Gpu::wait`] and
//! [`Tensor::to_vec`](crate::tensor::Tensor::to_vec) are for programs that catch them in one place: they
//! unwind with the [`Error`] as payload; see [`catch`].

mod absence;
mod adapter;
mod cache;
mod counters;
mod facts;
mod kernel;
mod launches;
mod memory;
mod options;
mod profile;
mod record;
mod rehearsal;
mod shader;
mod tuning;
#[cfg(any(windows, target_os = "linux", target_os = "android"))]
mod vulkan;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use rustc_hash::FxHashMap;

pub use adapter::{adapters, every_adapter, find_adapter, hiding, none_found};
pub use counters::Counters;
pub use facts::{
    AdapterFacts, COOPERATIVE_BYTES, Cooperative, FeatureFacts, IMMEDIATE_BYTES, LimitFacts,
};
pub use launches::Launch;
pub use memory::ALIGN;
pub use options::{GpuOptions, Precision, Prefer};
pub use profile::{KernelTime, table as profile_table};
pub use record::GROUPS;
pub use shader::{EntryFacts, Override, Parsed, Shader, parse};
pub use tuning::{Question, TUNING_SECONDS};

#[cfg(feature = "app")]
pub(crate) use cache::verified;
pub(crate) use memory::Buffer;
pub(crate) use shader::{Origin, shader, variants};
#[cfg(feature = "app")]
pub(crate) use tuning::count_answers;

use crate::error::{Error, Result};
use kernel::Kernels;
use memory::Pool;
use profile::Profile;
use record::{BindKey, Recorder};
use rehearsal::Rehearsal;
use tuning::Tuning;

/// The version of wgpu in this program; `tests/conformance.rs` compares it with `Cargo.lock`.
pub const WGPU_VERSION: &str = "30.0.1";

/// An open device. Clones share it.
#[derive(Clone)]
pub struct Gpu(Rc<Inner>);

struct Inner {
    // `recorder` must be dropped before `device`: it holds an open pass.
    recorder: RefCell<Recorder>,
    device: wgpu::Device,
    queue: wgpu::Queue,
    facts: AdapterFacts,
    pool: Rc<RefCell<Pool>>,
    kernels: RefCell<Kernels>,
    bind_groups: RefCell<FxHashMap<BindKey, wgpu::BindGroup>>,
    staging: RefCell<BTreeMap<u64, Vec<wgpu::Buffer>>>,
    profile: Option<RefCell<Profile>>,
    launches: RefCell<Option<Vec<Launch>>>,
    failure: Arc<Mutex<Option<Error>>>,
    /// Whether an allocation has failed since the last look at `failure`: until then nothing is
    /// dispatched.
    failed: Cell<bool>,
    /// The memory of buffers that could not be allocated.
    nothing: OnceCell<wgpu::Buffer>,
    counters: Cell<Counters>,
    memory_limit: u64,
    cache_file: Option<PathBuf>,
    recording_gradients: Cell<bool>,
    preparing: Cell<bool>,
    rehearsal: Option<Rehearsal>,
    prefer: Prefer,
    tuning: RefCell<Tuning>,
    lanes: bool,
    cpu: bool,
    driver_checks: bool,
    cooperative: Option<Cooperative>,
}

/// Runs `f`, and turns an [`Error`] that the engine unwound with (see the module docs) into an
/// `Err`. Other panics pass through.
///
/// # Errors
/// That error, or `f`'s own.
pub fn catch<R>(f: impl FnOnce() -> Result<R>) -> Result<R> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_or_else(|payload| {
        Err(*payload
            .downcast::<Error>()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Runs `f` with `flag` set to `value`, and restores it afterwards, also if `f` unwinds.
fn during<R>(flag: &Cell<bool>, value: bool, f: impl FnOnce() -> R) -> R {
    struct Before<'a>(&'a Cell<bool>, bool);
    impl Drop for Before<'_> {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    let _before = Before(flag, flag.replace(value));
    f()
}

/// Unwinds with `error`; see the module docs.
pub(crate) fn raise(error: Error) -> ! {
    std::panic::resume_unwind(Box::new(error))
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gpu({})", self.0.facts.name)
    }
}

impl Gpu {
    /// Opens the fastest kind of adapter present, with the default options.
    ///
    /// # Errors
    /// As [`Gpu::open`].
    pub fn open_default() -> Result<Gpu> {
        Gpu::open(GpuOptions::default())
    }

    /// Opens an adapter.
    ///
    /// # Errors
    /// [`Error::Adapter`] if there is none, none matches, it lacks the matrices for
    /// [`Precision::F16`], or it does not open.
    pub fn open(options: GpuOptions) -> Result<Gpu> {
        let (adapter, facts) = adapter::select(options.adapter.as_deref())?;
        let halves = options.precision == Precision::F16;
        if halves && facts.cooperative().is_none() {
            return Err(Error::Adapter(format!(
                "{} has no usable cooperative matrices of f16 with sums in f32; use f32 precision",
                facts.name
            )));
        }
        let (device, queue) = adapter::open(&adapter, halves, options.has_driver_checks())?;
        Ok(Gpu::on(device, queue, facts, options, None))
    }

    fn on(
        device: wgpu::Device,
        queue: wgpu::Queue,
        facts: AdapterFacts,
        options: GpuOptions,
        rehearsal: Option<Rehearsal>,
    ) -> Gpu {
        let failure = watch(&device, &facts.name);
        let memory_limit = options
            .memory_limit
            .unwrap_or_else(|| default_memory_limit(&facts));
        let prefer = options.prefer.on(&facts);
        let tuning = match prefer {
            Prefer::Measured => Tuning::load(&facts, options.cache_dir.as_deref()),
            _ => Tuning::default(),
        };
        let by_kind = matches!(prefer, Prefer::Rule | Prefer::Measured | Prefer::Winograd);
        let cache_file = options
            .cache_dir
            .clone()
            .filter(|_| facts.features.pipeline_cache)
            .map(|dir| dir.join(cache::name(&facts)));
        let cache = cache_file.as_ref().map(|file| cache::load(&device, file));
        let pool = Rc::new(RefCell::new(Pool::new(options.poison)));
        Gpu(Rc::new(Inner {
            recorder: RefCell::default(),
            kernels: RefCell::new(Kernels::new(cache, &options, &facts.backend)),
            bind_groups: RefCell::default(),
            staging: RefCell::default(),
            profile: options
                .profile
                .then(|| RefCell::new(Profile::new(&device, &queue))),
            launches: RefCell::default(),
            failure,
            failed: Cell::default(),
            nothing: OnceCell::default(),
            counters: Cell::default(),
            memory_limit,
            cache_file,
            recording_gradients: Cell::new(true),
            preparing: Cell::default(),
            pool,
            prefer,
            tuning: RefCell::new(tuning),
            lanes: facts.has_lanes() && by_kind,
            // A rehearsal represents any adapter.
            cpu: facts.is_cpu() && by_kind && rehearsal.is_none(),
            driver_checks: options.has_driver_checks(),
            cooperative: facts
                .cooperative()
                .filter(|_| options.precision == Precision::F16),
            facts,
            device,
            queue,
            rehearsal,
        }))
    }

    /// Facts of the adapter.
    pub fn facts(&self) -> &AdapterFacts {
        &self.0.facts
    }

    /// Which kernels ops use where they have several; never [`Prefer::MeasuredOnGpus`].
    pub fn prefers(&self) -> Prefer {
        self.0.prefer
    }

    /// Whether ops use their kernels for subgroups of eight lanes.
    pub fn has_lanes(&self) -> bool {
        self.0.lanes
    }

    /// Whether the driver checks bounds, which kernels from outside of this crate need.
    pub fn has_driver_checks(&self) -> bool {
        self.0.driver_checks
    }

    /// Whether ops use the kernels written for GPUs: on GPUs, and where an option forces them.
    pub fn runs_gpu_kernels(&self) -> bool {
        match self.prefers() {
            Prefer::Portable => false,
            Prefer::Tiles(_) | Prefer::WinogradOnGpus => true,
            _ => !self.is_cpu(),
        }
    }

    /// Picks the four-number one of a file's `variants!` that suits the adapter.
    pub fn form(&self, variants: &'static [Shader]) -> &'static Shader {
        &variants[usize::from(self.has_lanes())]
    }

    /// [`Gpu::form`] if all `sizes` are multiples of four, else the variant in ones; also returns
    /// the numbers per element, 4 or 1.
    pub fn form_of(
        &self,
        variants: &'static [Shader; 3],
        sizes: &[usize],
    ) -> (&'static Shader, usize) {
        if sizes.iter().all(|size| size.is_multiple_of(4)) {
            (self.form(variants), 4)
        } else {
            (&variants[2], 1)
        }
    }

    /// Whether ops use their kernels for CPU drivers.
    pub fn is_cpu(&self) -> bool {
        self.0.cpu
    }

    /// Whether kernels run with WebGPU's run-time checks.
    pub fn is_checked(&self) -> bool {
        self.0.kernels.borrow().checked
    }

    /// The matrices that products and convolutions use under [`Precision::F16`].
    pub fn cooperative(&self) -> Option<Cooperative> {
        self.0.cooperative
    }

    /// Most bytes of GPU memory that may be held; `None` where only the driver sets a limit.
    pub fn memory_limit(&self) -> Option<u64> {
        Some(self.0.memory_limit).filter(|&limit| limit < u64::MAX)
    }

    /// Largest tensor in bytes: what can be bound, and what kernels can index in u32.
    pub fn largest_tensor(&self) -> u64 {
        let limits = &self.0.facts.limits;
        limits
            .max_storage_buffer_binding_size
            .min(limits.max_buffer_size)
            .min(4 << 32)
    }

    /// Whether ops record their gradients; see [`Gpu::no_grad`].
    pub fn records_gradients(&self) -> bool {
        self.0.recording_gradients.get()
    }

    /// Runs `f` without recording gradients: nothing is saved for a backward pass.
    pub fn no_grad<R>(&self, f: impl FnOnce() -> R) -> R {
        during(&self.0.recording_gradients, false, f)
    }

    /// Allocates `elements` words of 4 bytes; their content is undefined.
    ///
    /// # Panics
    /// Unwinds with [`Error::OutOfMemory`] if the adapter has no room for it.
    pub(crate) fn alloc(&self, elements: usize) -> Buffer {
        let buffer = self.take(elements, false);
        if self.0.pool.borrow().poison {
            self.fill_poison(&buffer);
        }
        buffer
    }

    /// A new buffer with a copy of `data`.
    pub(crate) fn upload<T: bytemuck::NoUninit>(&self, data: &[T]) -> Buffer {
        const { assert!(size_of::<T>() == 4, "kernels see words of 4 bytes") };
        let buffer = self.take(data.len(), true);
        if self.0.pool.borrow().poison && !buffer.is_nothing() {
            self.fill_poison(&buffer);
            self.hand_over();
        }
        self.write(&buffer, data);
        buffer
    }

    /// Overwrites `buffer` with `data` after everything recorded so far.
    pub(crate) fn overwrite<T: bytemuck::NoUninit>(&self, buffer: &Buffer, data: &[T]) {
        assert_eq!(
            buffer.size(),
            size_of_val(data) as u64,
            "overwrite: sizes differ"
        );
        self.hand_over();
        self.write(buffer, data);
    }

    fn write<T: bytemuck::NoUninit>(&self, buffer: &Buffer, data: &[T]) {
        if !self.rehearses() && !self.lacks(&[buffer]) {
            self.0
                .queue
                .write_buffer(buffer.raw(), buffer.offset(), bytemuck::cast_slice(data));
        }
    }

    fn take(&self, elements: usize, fresh: bool) -> Buffer {
        let size = (elements as u64 * 4).max(4);
        self.try_take(size, fresh).unwrap_or_else(|error| {
            self.fail(error);
            self.nothing(size)
        })
    }

    fn try_take(&self, size: u64, fresh: bool) -> Result<Buffer> {
        let limit = self.largest_tensor();
        if size > limit {
            return Err(Error::OutOfMemory(format!(
                "a tensor of {} MiB is over the {} MiB that {} can bind; use a smaller batch or model",
                size >> 20,
                limit >> 20,
                self.0.facts.name
            )));
        }
        memory::take(&self.0.pool, size, fresh, |bytes| self.create(bytes))
    }

    /// A buffer that could not be allocated.
    fn nothing(&self, size: u64) -> Buffer {
        let raw = self.0.nothing.get_or_init(|| {
            self.0.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("nothing"),
                size: 4,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            })
        });
        Buffer::nothing(&self.0.pool, raw.clone(), size)
    }

    /// Keeps `error` for the next [`Gpu::check`], unless an earlier one waits there.
    pub(crate) fn fail(&self, error: Error) {
        self.0.failed.set(true);
        let mut failure = self.0.failure.lock().unwrap_or_else(|e| e.into_inner());
        failure.get_or_insert(error);
    }

    /// Whether recording has stopped because an allocation failed, or one of `buffers` could not be
    /// allocated; then it stops now.
    fn lacks(&self, buffers: &[&Buffer]) -> bool {
        if buffers.iter().any(|buffer| buffer.is_nothing()) {
            self.fail(Error::OutOfMemory(
                "a tensor that could not be allocated is used; make it again with a smaller batch or model".into(),
            ));
        }
        self.0.failed.get()
    }

    /// What has gone wrong on the device since the last look. Out of memory, recording may go on
    /// afterwards with tensors that fit.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] or [`Error::DeviceLost`].
    pub fn check(&self) -> Result<()> {
        self.0.failed.set(false);
        let mut failure = self.0.failure.lock().unwrap_or_else(|e| e.into_inner());
        failure.take().map_or(Ok(()), Err)
    }

    fn create(&self, bytes: u64) -> Result<wgpu::Buffer> {
        let held = self.0.pool.borrow().bytes;
        if held + bytes > self.0.memory_limit {
            self.trim();
        }
        let held = self.0.pool.borrow().bytes;
        let exhausted = |why: &str| {
            Error::OutOfMemory(format!(
                "GPU memory of {} is exhausted: {} MiB in use, {} MiB more requested, {why}; use a smaller batch or model",
                self.0.facts.name,
                held >> 20,
                bytes.div_ceil(1 << 20)
            ))
        };
        if held + bytes > self.0.memory_limit {
            return Err(exhausted(&format!(
                "limit {} MiB",
                self.0.memory_limit >> 20
            )));
        }
        if let Some(rehearsal) = &self.0.rehearsal {
            return Ok(rehearsal.memory.clone());
        }
        let scope = self
            .0
            .device
            .push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let raw = self.0.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes,
            usage: wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        match pollster::block_on(scope.pop()) {
            None => Ok(raw),
            Some(_) => Err(exhausted("the driver refused")),
        }
    }

    /// Returns free buffers to the driver.
    fn trim(&self) {
        self.hand_over();
        if self.0.pool.borrow_mut().trim() > 0 {
            self.0.bind_groups.borrow_mut().clear();
        }
    }

    /// Loses the device on purpose, so that tests can see what a user would.
    #[doc(hidden)]
    pub fn destroy(&self) {
        self.0.device.destroy();
        let _ = self.0.device.poll(wgpu::PollType::Poll);
    }
}

/// Stores errors that the driver reports outside of any call.
fn watch(device: &wgpu::Device, name: &str) -> Arc<Mutex<Option<Error>>> {
    let failure = Arc::new(Mutex::new(None));
    let lost = failure.clone();
    let uncaptured = failure.clone();
    let lost_name = name.to_string();
    let name = name.to_string();
    device.set_device_lost_callback(move |reason, message| {
        let what =
            format!("{lost_name} was lost ({reason:?}: {message}); check the driver and run the program again");
        *lost.lock().unwrap_or_else(|e| e.into_inner()) = Some(Error::DeviceLost(what));
    });
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
        let mut failure = uncaptured.lock().unwrap_or_else(|e| e.into_inner());
        match error {
            wgpu::Error::OutOfMemory { .. } => {
                *failure = Some(Error::OutOfMemory(format!(
                    "GPU memory of {name} is exhausted; use a smaller batch or model"
                )));
            }
            // After a lost device every call is invalid: keep the loss, not its consequences.
            other if failure.is_none() => {
                *failure = Some(Error::DeviceLost(format!("{name} reports: {other}")))
            }
            _ => {}
        }
    }));
    failure
}

/// A GPU reports when it is full; a CPU adapter would exhaust the machine first.
fn default_memory_limit(facts: &AdapterFacts) -> u64 {
    if facts.kind != "cpu" {
        return u64::MAX;
    }
    let kib = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let line = text
                .lines()
                .find(|l| l.starts_with("MemTotal:"))?
                .to_string();
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        });
    kib.map_or(u64::MAX, |kib| kib * 1024 / 5 * 4)
}
