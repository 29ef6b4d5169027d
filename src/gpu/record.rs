//! Records dispatches, submits them, waits, and reads back.

use std::collections::VecDeque;
use std::rc::Rc;

use super::kernel::Pipeline;
use super::{Buffer, Gpu, Override, Shader, during, raise};
use crate::error::{Error, Result};

/// Most workgroups of a dispatch in each dimension: WebGPU's lowest limit.
pub const GROUPS: usize = 65_535;

/// Most unfinished submits: enough to keep the GPU busy, few enough to stop quickly.
const IN_FLIGHT: usize = 2;
/// Most bind groups kept: far more than one model needs, a bound for programs that never repeat
/// themselves.
const BIND_GROUPS: usize = 1 << 16;

/// The pipeline and its buffers (number, offset, size).
pub(super) type BindKey = (u32, [(u32, u64, u64); 8]);

#[derive(Default)]
pub(super) struct Recorder {
    pub pass: Option<wgpu::ComputePass<'static>>,
    pub encoder: Option<wgpu::CommandEncoder>,
    pub pipeline: u32,
    pub in_flight: VecDeque<wgpu::SubmissionIndex>,
    /// Dispatches that wait for their own pipeline, or for that of an earlier dispatch.
    waiting: Vec<Dispatch>,
}

struct Dispatch {
    pipeline: Rc<Pipeline>,
    group: wgpu::BindGroup,
    params: Vec<u8>,
    groups: [u32; 3],
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // A pass must end before its encoder is dropped.
        self.pass = None;
    }
}

impl Gpu {
    /// Records one dispatch of `groups` workgroups; `buffers` are in ascending order of the
    /// bindings that `entry` uses.
    ///
    /// # Panics
    /// If the number of buffers or the size of `params` differs from the WGSL's, or one buffer is
    /// bound for both reading and writing.
    pub(crate) fn dispatch<P: bytemuck::NoUninit>(
        &self,
        shader: &'static Shader,
        entry: &'static str,
        overrides: &[Override],
        buffers: &[&Buffer],
        params: &P,
        groups: [u32; 3],
    ) {
        if self.rehearses() {
            return self.count(|c| c.dispatches += 1);
        }
        if self.lacks(buffers) {
            return;
        }
        let pipeline =
            self.0
                .kernels
                .borrow_mut()
                .pipeline(&self.0.device, shader, entry, overrides);
        let params = bytemuck::bytes_of(params);
        assert_eq!(
            buffers.len(),
            pipeline.facts.bindings.len(),
            "{}: buffers given and used",
            pipeline.label
        );
        assert_eq!(
            params.len(),
            pipeline.facts.immediates as usize,
            "{}: bytes of Params",
            pipeline.label
        );
        if groups.contains(&0) || self.0.preparing.get() {
            return;
        }
        assert!(
            groups.iter().all(|&g| g as usize <= GROUPS),
            "{}: a grid of {groups:?} workgroups",
            pipeline.label
        );
        self.bind(&pipeline, buffers, |group| {
            self.encode(&pipeline, group, params, groups)
        });
        self.count(|c| c.dispatches += 1);
        self.note_launch(shader, entry, overrides, groups);
        self.time(&pipeline);
    }

    /// Starts compiling what `f` dispatches, without running it: its results are undefined.
    pub fn prepare(&self, f: impl FnOnce()) {
        during(&self.0.preparing, true, f);
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
        let exact = pipeline.foreign;
        let resources = buffers
            .iter()
            .map(|b| wgpu::BindingResource::Buffer(b.binding(poison, exact)));
        let bindings = pipeline.facts.bindings.iter().map(|b| b.0);
        let entries: Vec<_> = bindings
            .zip(resources)
            .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource })
            .collect();
        let group = self.0.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(&pipeline.label),
            layout: &pipeline.layout,
            entries: &entries,
        });
        self.count(|c| c.bind_groups += 1);
        f(groups.entry(key).or_insert(group));
    }

    /// Encodes the dispatch, or keeps it until its pipeline is compiled: meanwhile other pipelines
    /// can be requested.
    fn encode(
        &self,
        pipeline: &Rc<Pipeline>,
        group: &wgpu::BindGroup,
        params: &[u8],
        groups: [u32; 3],
    ) {
        let mut recorder = self.0.recorder.borrow_mut();
        // The profiler numbers its timestamps in the order of encoding.
        if self.0.profile.is_some() || (recorder.waiting.is_empty() && pipeline.is_compiled()) {
            return self.encode_now(&mut recorder, pipeline, group, params, groups);
        }
        let pipeline = pipeline.clone();
        let group = group.clone();
        let params = params.to_vec();
        recorder.waiting.push(Dispatch {
            pipeline,
            group,
            params,
            groups,
        });
    }

    /// Encodes the dispatches that wait for pipelines.
    fn encode_waiting(&self, recorder: &mut Recorder) {
        for Dispatch {
            pipeline,
            group,
            params,
            groups,
        } in std::mem::take(&mut recorder.waiting)
        {
            self.encode_now(recorder, &pipeline, &group, &params, groups);
        }
    }

    fn encode_now(
        &self,
        recorder: &mut Recorder,
        pipeline: &Pipeline,
        group: &wgpu::BindGroup,
        params: &[u8],
        groups: [u32; 3],
    ) {
        let encoder = recorder
            .encoder
            .get_or_insert_with(|| self.0.device.create_command_encoder(&Default::default()));
        let pass = recorder.pass.get_or_insert_with(|| {
            encoder
                .begin_compute_pass(&Default::default())
                .forget_lifetime()
        });
        if recorder.pipeline != pipeline.id {
            pass.set_pipeline(pipeline.raw());
            recorder.pipeline = pipeline.id;
        }
        pass.set_bind_group(0, group, &[]);
        if !params.is_empty() {
            pass.set_immediates(0, params);
        }
        let stamps = self.0.profile.as_ref().map(|p| p.borrow());
        let stamps = stamps.as_ref().and_then(|p| {
            p.timestamps
                .as_ref()
                .map(|t| (&t.set, 2 * p.pending.len() as u32))
        });
        if let Some((set, at)) = stamps {
            pass.write_timestamp(set, at);
        }
        pass.dispatch_workgroups(groups[0], groups[1], groups[2]);
        if let Some((set, at)) = stamps {
            pass.write_timestamp(set, at + 1);
        }
    }

    /// Zeroes `buffer` after everything recorded so far.
    pub(crate) fn zero(&self, buffer: &Buffer) {
        if self.rehearses() || self.lacks(&[buffer]) {
            return;
        }
        self.with_encoder(|encoder| {
            encoder.clear_buffer(buffer.raw(), buffer.offset(), Some(buffer.size()))
        });
    }

    /// Copies `from` to byte offset `at` of `to` after everything recorded so far.
    ///
    /// # Panics
    /// If it does not fit there.
    pub(crate) fn copy(&self, from: &Buffer, to: &Buffer, at: u64) {
        assert!(
            at + from.size() <= to.size(),
            "a copy of {} bytes to {at} of {}",
            from.size(),
            to.size()
        );
        if self.rehearses() || self.lacks(&[from, to]) {
            return;
        }
        let source = from.raw();
        let target = to.raw();
        self.with_encoder(|encoder| {
            encoder.copy_buffer_to_buffer(
                source,
                from.offset(),
                target,
                to.offset() + at,
                from.size(),
            );
        });
    }

    /// Ends the open pass so that `f` can record something other than a dispatch.
    pub(super) fn with_encoder<R>(&self, f: impl FnOnce(&mut wgpu::CommandEncoder) -> R) -> R {
        let mut recorder = self.0.recorder.borrow_mut();
        self.encode_waiting(&mut recorder);
        recorder.pass = None;
        recorder.pipeline = 0;
        f(recorder
            .encoder
            .get_or_insert_with(|| self.0.device.create_command_encoder(&Default::default())))
    }

    /// Hands everything recorded to the GPU; does not wait, unless two earlier submits are
    /// unfinished. Unwinds with what [`Gpu::check`] would return.
    pub fn submit(&self) {
        self.hand_over();
        self.check().unwrap_or_else(|error| raise(error));
    }

    /// [`Gpu::submit`], which leaves what went wrong to [`Gpu::check`].
    pub(crate) fn hand_over(&self) {
        if self.rehearses() {
            self.0.pool.borrow_mut().recording += 1;
            return;
        }
        let resolve = self
            .0
            .profile
            .as_ref()
            .is_some_and(|p| !p.borrow().pending.is_empty());
        if resolve {
            self.with_encoder(|encoder| self.resolve_timestamps(encoder));
        }
        let mut recorder = self.0.recorder.borrow_mut();
        self.encode_waiting(&mut recorder);
        recorder.pass = None;
        recorder.pipeline = 0;
        let Some(encoder) = recorder.encoder.take() else {
            return;
        };
        let index = self.0.queue.submit([encoder.finish()]);
        recorder.in_flight.push_back(index);
        self.0.pool.borrow_mut().recording += 1;
        self.count(|c| c.submits += 1);
        let oldest = if recorder.in_flight.len() > IN_FLIGHT {
            recorder.in_flight.pop_front()
        } else {
            None
        };
        drop(recorder);
        if let Some(index) = oldest {
            let _ = self.0.device.poll(wgpu::PollType::Wait {
                submission_index: Some(index),
                timeout: None,
            });
        }
        if resolve {
            self.collect_timestamps();
        }
    }

    /// Waits until everything submitted is done. Unwinds with what [`Gpu::check`] would return.
    pub fn wait(&self) {
        self.finish();
        self.check().unwrap_or_else(|error| raise(error));
    }

    /// [`Gpu::wait`], which leaves what went wrong to [`Gpu::check`].
    pub(crate) fn finish(&self) {
        self.hand_over();
        self.count(|c| c.waits += 1);
        let _ = self.0.device.poll(wgpu::PollType::wait_indefinitely());
        self.0.recorder.borrow_mut().in_flight.clear();
    }

    /// The content of `buffer`, after waiting for everything recorded so far.
    ///
    /// # Errors
    /// What went wrong on the device, as [`Gpu::check`].
    pub(crate) fn try_read<T: bytemuck::Pod>(&self, buffer: &Buffer) -> Result<Vec<T>> {
        if self.lacks(&[buffer]) {
            self.check()?;
        }
        let bytes = self.read_raw(buffer.raw(), buffer.offset(), buffer.size())?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    /// [`Gpu::try_read`], which unwinds with the error.
    pub(crate) fn read<T: bytemuck::Pod>(&self, buffer: &Buffer) -> Vec<T> {
        self.try_read(buffer).unwrap_or_else(|error| raise(error))
    }

    pub(super) fn read_raw(&self, raw: &wgpu::Buffer, offset: u64, size: u64) -> Result<Vec<u8>> {
        if self.rehearses() {
            self.hand_over();
            self.check()?;
            return Ok(vec![0; size as usize]);
        }
        let class = size.next_power_of_two().max(4096);
        let create = || {
            self.0.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("read-back"),
                size: class,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        // Take it out of the map while in use: under the profiler the submit below reads back too.
        let kept = self.0.staging.borrow_mut().entry(class).or_default().pop();
        let staging = kept.unwrap_or_else(create);
        self.with_encoder(|encoder| encoder.copy_buffer_to_buffer(raw, offset, &staging, 0, size));
        self.hand_over();
        let (sender, mapped) = std::sync::mpsc::channel();
        staging
            .slice(..size)
            .map_async(wgpu::MapMode::Read, move |result| {
                let _ = sender.send(result);
            });
        self.finish();
        self.check()?;
        let outcome = mapped
            .recv()
            .map_err(|e| e.to_string())
            .and_then(|r| r.map_err(|e| e.to_string()));
        let view = outcome.and_then(|()| {
            staging
                .slice(..size)
                .get_mapped_range()
                .map_err(|e| e.to_string())
        });
        let Ok(view) = view else {
            return Err(Error::DeviceLost(format!(
                "{} stopped answering; check the driver and run the program again",
                self.0.facts.name
            )));
        };
        let bytes = view.to_vec();
        drop(view);
        staging.unmap();
        self.0
            .staging
            .borrow_mut()
            .entry(class)
            .or_default()
            .push(staging);
        Ok(bytes)
    }
}

fn check_aliasing(pipeline: &Pipeline, buffers: &[&Buffer]) {
    for (i, (_, name, writes)) in pipeline.facts.bindings.iter().enumerate() {
        let shared = buffers
            .iter()
            .enumerate()
            .any(|(j, b)| j != i && b.key().0 == buffers[i].key().0);
        assert!(
            !(*writes && shared),
            "{}: `{name}` is written and bound twice",
            pipeline.label
        );
    }
}
