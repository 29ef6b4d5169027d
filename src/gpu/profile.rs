//! GPU time per kernel, under `DBVQ_PROFILE=1`: timestamps around every dispatch where the adapter
//! has them, else wall-clock time of a separate submit per dispatch.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use super::Gpu;
use super::kernel::Pipeline;

/// Dispatches between two resolves of the query set.
pub(super) const DISPATCHES: u32 = 2048;

/// Number of dispatches of one kernel and their time.
#[derive(Clone, Copy, Debug, Default)]
pub struct KernelTime {
    /// Dispatches.
    pub count: u64,
    /// Their total time.
    pub time: Duration,
}

/// Timestamps of the dispatches recorded since the last submit.
pub(super) struct Timestamps {
    pub set: wgpu::QuerySet,
    pub resolved: wgpu::Buffer,
    /// Nanoseconds per tick.
    pub period: f32,
}

/// Collected times.
pub(super) struct Profile {
    pub timestamps: Option<Timestamps>,
    pub pending: Vec<String>,
    pub kernels: BTreeMap<String, KernelTime>,
}

impl Profile {
    /// Uses timestamps inside passes if `device` has them.
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Profile {
        let wanted =
            wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES | wgpu::Features::TIMESTAMP_QUERY;
        let timestamps = device.features().contains(wanted).then(|| Timestamps {
            set: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("profile"),
                ty: wgpu::QueryType::Timestamp,
                count: 2 * DISPATCHES,
            }),
            resolved: device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("profile"),
                size: u64::from(2 * DISPATCHES) * 8,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            }),
            period: queue.get_timestamp_period(),
        });
        Profile {
            timestamps,
            pending: Vec::new(),
            kernels: BTreeMap::new(),
        }
    }

    /// Adds `time` to `kernel`.
    pub fn add(&mut self, kernel: String, time: Duration) {
        let entry = self.kernels.entry(kernel).or_default();
        entry.count += 1;
        entry.time += time;
    }

    /// Adds the pending dispatches, whose start and end ticks are in `ticks`.
    pub fn resolve(&mut self, ticks: &[u64]) {
        let period = self
            .timestamps
            .as_ref()
            .map_or(1.0, |t| f64::from(t.period));
        let pending = std::mem::take(&mut self.pending);
        for (kernel, tick) in pending.into_iter().zip(ticks.chunks_exact(2)) {
            let nanoseconds = tick[1].saturating_sub(tick[0]) as f64 * period;
            self.add(kernel, Duration::from_nanos(nanoseconds as u64));
        }
    }
}

impl Gpu {
    /// Times the dispatch just recorded, under `DBVQ_PROFILE=1`.
    pub(super) fn time(&self, pipeline: &Pipeline) {
        let Some(profile) = &self.0.profile else {
            return;
        };
        let has_timestamps = profile.borrow().timestamps.is_some();
        if has_timestamps {
            profile.borrow_mut().pending.push(pipeline.label.clone());
            if profile.borrow().pending.len() >= DISPATCHES as usize {
                self.submit();
            }
        } else {
            let start = Instant::now();
            self.submit();
            self.wait();
            profile
                .borrow_mut()
                .add(pipeline.label.clone(), start.elapsed());
        }
    }

    /// GPU time per kernel so far; `None` unless the device was opened with `profile`.
    pub fn profile(&self) -> Option<BTreeMap<String, KernelTime>> {
        self.wait();
        self.0.profile.as_ref().map(|p| p.borrow().kernels.clone())
    }

    /// Discards the times collected so far.
    pub fn reset_profile(&self) {
        self.wait();
        if let Some(profile) = &self.0.profile {
            profile.borrow_mut().kernels.clear();
        }
    }

    pub(super) fn resolve_timestamps(&self, encoder: &mut wgpu::CommandEncoder) {
        let Some(profile) = &self.0.profile else {
            return;
        };
        let profile = profile.borrow();
        if let Some(timestamps) = &profile.timestamps {
            encoder.resolve_query_set(
                &timestamps.set,
                0..2 * profile.pending.len() as u32,
                &timestamps.resolved,
                0,
            );
        }
    }

    pub(super) fn collect_timestamps(&self) {
        let Some(profile) = &self.0.profile else {
            return;
        };
        let (resolved, count) = {
            let profile = profile.borrow();
            let Some(timestamps) = &profile.timestamps else {
                return;
            };
            (timestamps.resolved.clone(), profile.pending.len())
        };
        // Take the names out of `pending` first: the read-back below submits again.
        let names = std::mem::take(&mut profile.borrow_mut().pending);
        let bytes = match self.read_raw(&resolved, 0, 16 * count as u64) {
            Ok(bytes) => bytes,
            Err(error) => return self.fail(error),
        };
        let mut profile = profile.borrow_mut();
        profile.pending = names;
        profile.resolve(&bytemuck::pod_collect_to_vec(&bytes));
    }
}

/// The profile as a table, slowest kernel first.
pub fn table(kernels: &BTreeMap<String, KernelTime>) -> String {
    let total: f64 = kernels.values().map(|k| k.time.as_secs_f64()).sum();
    let mut rows: Vec<_> = kernels.iter().collect();
    rows.sort_by_key(|(_, k)| std::cmp::Reverse(k.time));
    let mut text = format!(
        "{:<34} {:>9} {:>11} {:>10} {:>6}\n",
        "kernel", "count", "total ms", "us each", "share"
    );
    for (name, k) in rows {
        let seconds = k.time.as_secs_f64();
        let each = seconds * 1e6 / k.count as f64;
        let share = 100.0 * seconds / total.max(1e-12);
        let _ = writeln!(
            text,
            "{name:<34} {:>9} {:>11.2} {each:>10.2} {share:>5.1}%",
            k.count,
            seconds * 1e3
        );
    }
    text
}
