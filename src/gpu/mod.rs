//! The only code that says `wgpu`: opening an adapter, recording dispatches, submitting, reading back.
//!
//! Dispatches are encoded as they come into one compute pass, which [`Gpu::submit`] hands to the driver: one
//! submit a training step. Nothing waits for the GPU except [`Gpu::read`], the profiler, and a submit that
//! would be the third in flight.
//!
//! Trouble that only the driver can cause (memory exhausted, device lost) leaves these functions by unwinding
//! with an [`Error`] as its payload; `main` catches it. So ops need no `Result`.

mod adapter;
mod kernel;
mod memory;
mod profile;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rustc_hash::FxHashMap;

pub use adapter::{AdapterFacts, FeatureFacts, IMMEDIATE_BYTES, LimitFacts, adapters};
pub use kernel::{EntryFacts, Override, Parsed, Shader, parse, resolve_imports, shader};
pub use memory::{Buffer, POISON};
pub use profile::{KernelTime, table as profile_table};

use crate::error::{Error, Result};
use kernel::{Kernels, Pipeline};
use memory::Pool;
use profile::Profile;

/// Submits that may be unfinished at once: enough to keep the GPU busy, few enough that a stop is quick.
const IN_FLIGHT: usize = 2;
/// Bind groups kept; far above what one model needs, a bound for programs that never repeat themselves.
const BIND_GROUPS: usize = 1 << 16;

/// How a [`Gpu`] is opened.
#[derive(Clone, Debug)]
pub struct GpuOptions {
    /// Index, part of the name, or backend; `None` takes the fastest kind present.
    pub adapter: Option<String>,
    /// WebGPU's run-time checks in kernels; by default those of the build profile.
    pub checked: bool,
    /// Poisoned memory with watched surroundings, for the conformance suite.
    pub poison: bool,
    /// Time every kernel. Costs speed.
    pub profile: bool,
    /// Most bytes of GPU memory to use; `None`: what the adapter gives (CPU adapters: 80 % of the machine's memory).
    pub memory_limit: Option<u64>,
    /// Where compiled pipelines are kept between runs; `None`: nowhere.
    pub cache_dir: Option<PathBuf>,
}

impl Default for GpuOptions {
    fn default() -> Self {
        GpuOptions {
            adapter: None,
            checked: cfg!(debug_assertions),
            poison: false,
            profile: false,
            memory_limit: None,
            cache_dir: None,
        }
    }
}

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
    /// Pipelines compiled.
    pub pipelines: u64,
    /// Bytes of GPU memory held now.
    pub bytes: u64,
    /// Bytes of GPU memory held at most.
    pub peak_bytes: u64,
}

/// An open device. Clones share it.
#[derive(Clone)]
pub struct Gpu(Rc<Inner>);

struct Inner {
    // `recorder` is dropped before `device`, as it holds an open pass.
    recorder: RefCell<Recorder>,
    device: wgpu::Device,
    queue: wgpu::Queue,
    facts: AdapterFacts,
    pool: Rc<RefCell<Pool>>,
    kernels: RefCell<Kernels>,
    bind_groups: RefCell<FxHashMap<BindKey, wgpu::BindGroup>>,
    staging: RefCell<BTreeMap<u64, wgpu::Buffer>>,
    profile: Option<RefCell<Profile>>,
    failure: Arc<Mutex<Option<Error>>>,
    counters: Cell<Counters>,
    memory_limit: u64,
    cache_file: Option<PathBuf>,
    recording_gradients: Cell<bool>,
}

/// The pipeline and its buffers (number, offset, size).
type BindKey = (u32, [(u32, u64, u64); 8]);

#[derive(Default)]
struct Recorder {
    pass: Option<wgpu::ComputePass<'static>>,
    encoder: Option<wgpu::CommandEncoder>,
    pipeline: u32,
    in_flight: VecDeque<wgpu::SubmissionIndex>,
}

/// Leaves by unwinding; see the module's head.
fn raise(error: Error) -> ! {
    std::panic::resume_unwind(Box::new(error))
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gpu({})", self.0.facts.name)
    }
}

impl Gpu {
    /// Opens an adapter.
    ///
    /// # Errors
    /// [`Error::Adapter`] if there is none, none of that name, or it does not open.
    pub fn open(options: GpuOptions) -> Result<Gpu> {
        let (adapter, facts) = adapter::select(options.adapter.as_deref())?;
        let (device, queue) = adapter::open(&adapter)?;
        let failure = watch(&device, &facts.name);
        let memory_limit = options.memory_limit.unwrap_or_else(|| default_memory_limit(&facts));
        let cache_file =
            options.cache_dir.filter(|_| facts.features.pipeline_cache).map(|dir| dir.join(cache_name(&facts)));
        let cache = cache_file.as_ref().map(|file| load_cache(&device, file));
        let pool = Rc::new(RefCell::new(Pool::new(options.poison)));
        Ok(Gpu(Rc::new(Inner {
            recorder: RefCell::default(),
            kernels: RefCell::new(Kernels::new(cache, options.checked)),
            bind_groups: RefCell::default(),
            staging: RefCell::default(),
            profile: options.profile.then(|| RefCell::new(Profile::new(&device, &queue))),
            failure,
            counters: Cell::default(),
            memory_limit,
            cache_file,
            recording_gradients: Cell::new(true),
            pool,
            facts,
            device,
            queue,
        })))
    }

    /// Facts of the adapter.
    pub fn facts(&self) -> &AdapterFacts {
        &self.0.facts
    }

    /// What the engine did so far.
    pub fn counters(&self) -> Counters {
        let pool = self.0.pool.borrow();
        let pipelines = u64::from(self.0.kernels.borrow().compiled);
        Counters {
            buffers: pool.created,
            bytes: pool.bytes,
            peak_bytes: pool.peak_bytes,
            pipelines,
            ..self.0.counters.get()
        }
    }

    fn count(&self, add: impl FnOnce(&mut Counters)) {
        let mut counters = self.0.counters.get();
        add(&mut counters);
        self.0.counters.set(counters);
    }

    /// Whether ops record how to differentiate themselves; see [`Gpu::no_grad`].
    pub fn records_gradients(&self) -> bool {
        self.0.recording_gradients.get()
    }

    /// Runs `f` without recording gradients: nothing is saved for a backward pass.
    pub fn no_grad<R>(&self, f: impl FnOnce() -> R) -> R {
        let before = self.0.recording_gradients.replace(false);
        let result = f();
        self.0.recording_gradients.set(before);
        result
    }

    /// Memory for `elements` words of 4 bytes, its content undefined.
    ///
    /// # Panics
    /// Unwinds with [`Error::OutOfMemory`] if the adapter has no room for it.
    pub fn alloc(&self, elements: usize) -> Buffer {
        let buffer = self.take(elements, false);
        if self.0.pool.borrow().poison {
            self.fill_poison(&buffer);
        }
        buffer
    }

    /// Memory holding `data`.
    pub fn upload<T: bytemuck::NoUninit>(&self, data: &[T]) -> Buffer {
        const { assert!(size_of::<T>() == 4, "kernels see words of 4 bytes") };
        let buffer = self.take(data.len(), true);
        if self.0.pool.borrow().poison {
            self.fill_poison(&buffer);
            self.submit();
        }
        self.0.queue.write_buffer(buffer.raw(), buffer.offset(), bytemuck::cast_slice(data));
        buffer
    }

    /// Overwrites `buffer` with `data` after everything recorded so far.
    pub fn overwrite<T: bytemuck::NoUninit>(&self, buffer: &Buffer, data: &[T]) {
        assert_eq!(buffer.size(), size_of_val(data) as u64, "overwrite: sizes differ");
        self.submit();
        self.0.queue.write_buffer(buffer.raw(), buffer.offset(), bytemuck::cast_slice(data));
    }

    fn take(&self, elements: usize, fresh: bool) -> Buffer {
        let size = (elements as u64 * 4).max(4);
        let limit = self.0.facts.limits.max_storage_buffer_binding_size.min(self.0.facts.limits.max_buffer_size);
        if size > limit {
            raise(Error::OutOfMemory(format!(
                "a tensor of {} MiB is over the {} MiB that {} can bind; use a smaller batch or model",
                size >> 20,
                limit >> 20,
                self.0.facts.name
            )));
        }
        let taken = memory::take(&self.0.pool, size, fresh, |bytes| self.create(bytes));
        taken.unwrap_or_else(|error| raise(error))
    }

    fn create(&self, bytes: u64) -> Result<wgpu::Buffer> {
        let held = self.0.pool.borrow().bytes;
        if held + bytes > self.0.memory_limit {
            self.trim();
        }
        let held = self.0.pool.borrow().bytes;
        let exhausted = |why: &str| {
            Error::OutOfMemory(format!(
                "GPU memory of {} is exhausted: {} MiB held, {} MiB more wanted, {why}; use a smaller batch or model",
                self.0.facts.name,
                held >> 20,
                bytes.div_ceil(1 << 20)
            ))
        };
        if held + bytes > self.0.memory_limit {
            return Err(exhausted(&format!("limit {} MiB", self.0.memory_limit >> 20)));
        }
        let scope = self.0.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let raw = self.0.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        match pollster::block_on(scope.pop()) {
            None => Ok(raw),
            Some(_) => Err(exhausted("the driver refused")),
        }
    }

    /// Gives free buffers back to the driver.
    fn trim(&self) {
        self.submit();
        if self.0.pool.borrow_mut().trim() > 0 {
            self.0.bind_groups.borrow_mut().clear();
        }
    }

    /// Records one dispatch of `groups` workgroups; `buffers` in ascending order of the bindings that `entry` uses.
    ///
    /// # Panics
    /// If number of buffers or size of `params` are not those of the WGSL, or one buffer is bound for reading and writing.
    pub fn dispatch<P: bytemuck::NoUninit>(
        &self,
        shader: &'static Shader,
        entry: &'static str,
        overrides: &[Override],
        buffers: &[&Buffer],
        params: &P,
        groups: [u32; 3],
    ) {
        let pipeline = self.0.kernels.borrow_mut().pipeline(&self.0.device, shader, entry, overrides);
        let params = bytemuck::bytes_of(params);
        assert_eq!(buffers.len(), pipeline.facts.bindings.len(), "{}: buffers given and used", pipeline.label);
        assert_eq!(params.len(), pipeline.facts.immediates as usize, "{}: bytes of Params", pipeline.label);
        if groups.contains(&0) {
            return;
        }
        self.bind(&pipeline, buffers, |group| self.encode(&pipeline, group, params, groups));
        self.count(|c| c.dispatches += 1);
        self.time(&pipeline);
    }

    fn bind(&self, pipeline: &Pipeline, buffers: &[&Buffer], f: impl FnOnce(&wgpu::BindGroup)) {
        let mut key: BindKey = (pipeline.id, [(u32::MAX, 0, 0); 8]);
        for (slot, buffer) in key.1.iter_mut().zip(buffers) {
            *slot = buffer.key();
        }
        let mut groups = self.0.bind_groups.borrow_mut();
        if let Some(group) = groups.get(&key) {
            return f(group);
        }
        if groups.len() >= BIND_GROUPS {
            groups.clear();
        }
        check_aliasing(pipeline, buffers);
        let poison = self.0.pool.borrow().poison;
        let resources = buffers.iter().map(|b| wgpu::BindingResource::Buffer(b.binding(poison)));
        let bindings = pipeline.facts.bindings.iter().map(|b| b.0);
        let entries: Vec<_> =
            bindings.zip(resources).map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource }).collect();
        let group = self.0.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(&pipeline.label),
            layout: &pipeline.layout,
            entries: &entries,
        });
        self.count(|c| c.bind_groups += 1);
        f(groups.entry(key).or_insert(group));
    }

    fn encode(&self, pipeline: &Pipeline, group: &wgpu::BindGroup, params: &[u8], groups: [u32; 3]) {
        let mut recorder = self.0.recorder.borrow_mut();
        let recorder = &mut *recorder;
        let encoder = recorder.encoder.get_or_insert_with(|| self.0.device.create_command_encoder(&Default::default()));
        let pass =
            recorder.pass.get_or_insert_with(|| encoder.begin_compute_pass(&Default::default()).forget_lifetime());
        if recorder.pipeline != pipeline.id {
            pass.set_pipeline(&pipeline.raw);
            recorder.pipeline = pipeline.id;
        }
        pass.set_bind_group(0, group, &[]);
        if !params.is_empty() {
            pass.set_immediates(0, params);
        }
        let stamps = self.0.profile.as_ref().map(|p| p.borrow());
        let stamps = stamps.as_ref().and_then(|p| p.timestamps.as_ref().map(|t| (&t.set, 2 * p.pending.len() as u32)));
        if let Some((set, at)) = stamps {
            pass.write_timestamp(set, at);
        }
        pass.dispatch_workgroups(groups[0], groups[1], groups[2]);
        if let Some((set, at)) = stamps {
            pass.write_timestamp(set, at + 1);
        }
    }

    /// Books the dispatch just recorded, under `DBVQ_PROFILE=1`.
    fn time(&self, pipeline: &Pipeline) {
        let Some(profile) = &self.0.profile else { return };
        let has_timestamps = profile.borrow().timestamps.is_some();
        if has_timestamps {
            profile.borrow_mut().pending.push(pipeline.label.clone());
            if profile.borrow().pending.len() >= profile::DISPATCHES as usize {
                self.submit();
            }
        } else {
            let start = Instant::now();
            self.submit();
            self.wait();
            profile.borrow_mut().add(pipeline.label.clone(), start.elapsed());
        }
    }

    /// Copies `from` into `to` (equal sizes) after everything recorded so far.
    pub fn copy(&self, from: &Buffer, to: &Buffer) {
        assert_eq!(from.size(), to.size(), "copy: sizes differ");
        self.with_encoder(|encoder| {
            encoder.copy_buffer_to_buffer(from.raw(), from.offset(), to.raw(), to.offset(), from.size());
        });
    }

    /// Zeroes `buffer` after everything recorded so far.
    pub fn zero(&self, buffer: &Buffer) {
        self.with_encoder(|encoder| encoder.clear_buffer(buffer.raw(), buffer.offset(), Some(buffer.size())));
    }

    /// Ends the open pass so that `f` can record something else than a dispatch.
    fn with_encoder<R>(&self, f: impl FnOnce(&mut wgpu::CommandEncoder) -> R) -> R {
        let mut recorder = self.0.recorder.borrow_mut();
        recorder.pass = None;
        recorder.pipeline = 0;
        f(recorder.encoder.get_or_insert_with(|| self.0.device.create_command_encoder(&Default::default())))
    }

    /// Hands everything recorded to the GPU; does not wait, unless two earlier submits are unfinished.
    pub fn submit(&self) {
        let resolve = self.0.profile.as_ref().is_some_and(|p| !p.borrow().pending.is_empty());
        if resolve {
            self.with_encoder(|encoder| self.resolve_timestamps(encoder));
        }
        let mut recorder = self.0.recorder.borrow_mut();
        recorder.pass = None;
        recorder.pipeline = 0;
        let Some(encoder) = recorder.encoder.take() else { return };
        let index = self.0.queue.submit([encoder.finish()]);
        recorder.in_flight.push_back(index);
        self.0.pool.borrow_mut().recording += 1;
        self.count(|c| c.submits += 1);
        let oldest = if recorder.in_flight.len() > IN_FLIGHT { recorder.in_flight.pop_front() } else { None };
        drop(recorder);
        if let Some(index) = oldest {
            let _ = self.0.device.poll(wgpu::PollType::Wait { submission_index: Some(index), timeout: None });
        }
        self.check();
        if resolve {
            self.collect_timestamps();
        }
    }

    /// Waits until everything submitted is done.
    pub fn wait(&self) {
        self.submit();
        self.count(|c| c.waits += 1);
        let _ = self.0.device.poll(wgpu::PollType::wait_indefinitely());
        self.0.recorder.borrow_mut().in_flight.clear();
        self.check();
    }

    /// Raises what the driver reported meanwhile.
    fn check(&self) {
        let failure = self.0.failure.lock().unwrap_or_else(|e| e.into_inner()).take();
        if let Some(error) = failure {
            raise(error);
        }
    }

    /// The words of `buffer`, after waiting for everything recorded so far.
    pub fn read<T: bytemuck::Pod>(&self, buffer: &Buffer) -> Vec<T> {
        let bytes = self.read_raw(buffer.raw(), buffer.offset(), buffer.size());
        bytemuck::pod_collect_to_vec(&bytes)
    }

    fn read_raw(&self, raw: &wgpu::Buffer, offset: u64, size: u64) -> Vec<u8> {
        let class = size.next_power_of_two().max(4096);
        let create = || {
            self.0.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("read-back"),
                size: class,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        let staging = self.0.staging.borrow_mut().entry(class).or_insert_with(create).clone();
        self.with_encoder(|encoder| encoder.copy_buffer_to_buffer(raw, offset, &staging, 0, size));
        self.submit();
        let (sender, mapped) = std::sync::mpsc::channel();
        staging.slice(..size).map_async(wgpu::MapMode::Read, move |result| {
            let _ = sender.send(result);
        });
        self.wait();
        let outcome = mapped.recv().map_err(|e| e.to_string()).and_then(|r| r.map_err(|e| e.to_string()));
        let view = outcome.and_then(|()| staging.slice(..size).get_mapped_range().map_err(|e| e.to_string()));
        let Ok(view) = view else {
            raise(Error::DeviceLost(format!(
                "{} stopped answering; check the driver and run again with --resume",
                self.0.facts.name
            )))
        };
        let bytes = view.to_vec();
        drop(view);
        staging.unmap();
        bytes
    }

    /// GPU time per kernel so far; `None` unless opened with `profile`.
    pub fn profile(&self) -> Option<BTreeMap<String, KernelTime>> {
        self.wait();
        self.0.profile.as_ref().map(|p| p.borrow().kernels.clone())
    }

    /// Forgets the times collected so far.
    pub fn reset_profile(&self) {
        self.wait();
        if let Some(profile) = &self.0.profile {
            profile.borrow_mut().kernels.clear();
        }
    }

    fn resolve_timestamps(&self, encoder: &mut wgpu::CommandEncoder) {
        let Some(profile) = &self.0.profile else { return };
        let profile = profile.borrow();
        if let Some(timestamps) = &profile.timestamps {
            encoder.resolve_query_set(&timestamps.set, 0..2 * profile.pending.len() as u32, &timestamps.resolved, 0);
        }
    }

    fn collect_timestamps(&self) {
        let Some(profile) = &self.0.profile else { return };
        let (resolved, count) = {
            let profile = profile.borrow();
            let Some(timestamps) = &profile.timestamps else { return };
            (timestamps.resolved.clone(), profile.pending.len())
        };
        // The names leave `pending` first: the read-back below submits again.
        let names = std::mem::take(&mut profile.borrow_mut().pending);
        let bytes = self.read_raw(&resolved, 0, 16 * count as u64);
        let mut profile = profile.borrow_mut();
        profile.pending = names;
        profile.resolve(&bytemuck::pod_collect_to_vec(&bytes));
    }

    fn fill_poison(&self, buffer: &Buffer) {
        let raw = buffer.raw().clone();
        let size = raw.size();
        let words = vec![POISON; (size / 4) as usize];
        let scratch = self.0.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("poison"),
            size,
            usage: wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.0.queue.write_buffer(&scratch, 0, bytemuck::cast_slice(&words));
        self.with_encoder(|encoder| encoder.copy_buffer_to_buffer(&scratch, 0, &raw, 0, size));
    }

    /// Checks that no kernel wrote beside its tensors, inside or outside the binding. Only with `poison`.
    ///
    /// # Errors
    /// Says where the first stray write fell.
    pub fn check_guards(&self) -> Result<(), String> {
        let watched = self.0.pool.borrow_mut().watched();
        for (raw, size) in watched {
            let bytes = self.read_raw(&raw, size, raw.size() - size);
            for (at, word) in bytes.chunks_exact(4).enumerate() {
                if word != POISON.to_ne_bytes() {
                    let where_ = if bytes.len() as u64 - 4 * at as u64 > memory::GUARD { "inside" } else { "outside" };
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

    /// Loses the device on purpose, so that tests see what a user would.
    #[doc(hidden)]
    pub fn destroy(&self) {
        self.0.device.destroy();
        let _ = self.0.device.poll(wgpu::PollType::Poll);
    }

    /// Writes compiled pipelines to the cache directory, if one was given and the adapter can.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn save_pipelines(&self) -> Result<()> {
        use std::io::Write;
        let kernels = self.0.kernels.borrow();
        let (Some(file), Some(data)) = (&self.0.cache_file, kernels.cache.as_ref().and_then(|c| c.get_data())) else {
            return Ok(());
        };
        if let Some(dir) = file.parent() {
            std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        }
        let mut out = atomic_write_file::AtomicWriteFile::open(file).map_err(Error::io(file))?;
        out.write_all(&data).and_then(|()| out.commit()).map_err(Error::io(file))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // A pass must end before its encoder goes.
        self.pass = None;
    }
}

fn check_aliasing(pipeline: &Pipeline, buffers: &[&Buffer]) {
    for (i, (_, name, writes)) in pipeline.facts.bindings.iter().enumerate() {
        let shared = buffers.iter().enumerate().any(|(j, b)| j != i && b.key().0 == buffers[i].key().0);
        assert!(!(*writes && shared), "{}: `{name}` is written and bound twice", pipeline.label);
    }
}

/// Stores what the driver reports outside of any call.
fn watch(device: &wgpu::Device, name: &str) -> Arc<Mutex<Option<Error>>> {
    let failure = Arc::new(Mutex::new(None));
    let (lost, uncaptured) = (failure.clone(), failure.clone());
    let (lost_name, name) = (name.to_string(), name.to_string());
    device.set_device_lost_callback(move |reason, message| {
        let what =
            format!("{lost_name} was lost ({reason:?}: {message}); check the driver and run again with --resume");
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
            // A lost device makes every later call invalid: the loss is the news, not the consequences.
            other if failure.is_none() => *failure = Some(Error::DeviceLost(format!("{name} reports: {other}"))),
            _ => {}
        }
    }));
    failure
}

/// A GPU says itself when it is full; a CPU adapter would take the machine down first.
fn default_memory_limit(facts: &AdapterFacts) -> u64 {
    if facts.kind != "cpu" {
        return u64::MAX;
    }
    let kib = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|l| l.starts_with("MemTotal:"))?.to_string();
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    kib.map_or(u64::MAX, |kib| kib * 1024 / 5 * 4)
}

/// Names all that a compiled pipeline depends on besides its WGSL, which the driver hashes itself.
fn cache_name(facts: &AdapterFacts) -> String {
    let text = format!("{} {} {} {} {}", facts.vendor, facts.device, facts.name, facts.driver, facts.driver_info);
    format!("pipelines-{}.bin", &blake3::hash(text.as_bytes()).to_hex()[..16])
}

#[expect(
    unsafe_code,
    reason = "wgpu cannot prove that the bytes are those it wrote; a damaged file is refused by its own header check"
)]
fn load_cache(device: &wgpu::Device, file: &std::path::Path) -> wgpu::PipelineCache {
    let data = std::fs::read(file).ok();
    let descriptor = wgpu::PipelineCacheDescriptor { label: Some("pipelines"), data: data.as_deref(), fallback: true };
    // SAFETY: only `save_pipelines` writes this file, atomically, and wgpu checks its header against the adapter.
    unsafe { device.create_pipeline_cache(&descriptor) }
}
