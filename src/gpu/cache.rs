//! Compiled pipelines kept between runs, on adapters that can export them (`PIPELINE_CACHE`).
//!
//! The file begins with a checksum of the rest, so that a driver never sees bytes that it did not
//! write.

use std::io::Write;
use std::path::Path;

use super::{AdapterFacts, Gpu};
use crate::error::{Error, Result};

/// Length of the checksum at the start of the file, bytes.
const CHECKSUM: usize = blake3::OUT_LEN;

/// Identifies the adapter and its driver: a hash of 16 hexadecimal digits.
pub(super) fn digest(facts: &AdapterFacts) -> String {
    let text = format!(
        "{} {} {} {} {}",
        facts.vendor, facts.device, facts.name, facts.driver, facts.driver_info
    );
    blake3::hash(text.as_bytes()).to_hex()[..16].to_string()
}

/// The file name for an adapter's pipelines. It needs no hash of the WGSL: the driver adds its own.
pub(super) fn name(facts: &AdapterFacts) -> String {
    format!("pipelines-{}.bin", digest(facts))
}

/// Writes `parts` to `file` atomically; creates the directory if needed.
pub(super) fn write(file: &Path, parts: &[&[u8]]) -> Result<()> {
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
    }
    let mut out = atomic_write_file::AtomicWriteFile::open(file).map_err(Error::io(file))?;
    let written = parts.iter().try_for_each(|part| out.write_all(part));
    written.and_then(|()| out.commit()).map_err(Error::io(file))
}

/// The data after the checksum, if the checksum matches.
pub(crate) fn verified(bytes: &[u8]) -> Option<&[u8]> {
    let (sum, data) = bytes.split_at_checked(CHECKSUM)?;
    (!data.is_empty() && blake3::hash(data).as_bytes()[..] == *sum).then_some(data)
}

/// The pipelines of an earlier run; an empty cache if there are none or the file is damaged.
#[expect(
    unsafe_code,
    reason = "wgpu cannot prove that the bytes are those it gave out; a checksum and wgpu's own header do"
)]
pub(super) fn load(device: &wgpu::Device, file: &Path) -> wgpu::PipelineCache {
    let bytes = std::fs::read(file).ok();
    let data = bytes.as_deref().and_then(verified);
    let descriptor = wgpu::PipelineCacheDescriptor {
        label: Some("pipelines"),
        data,
        fallback: true,
    };
    // SAFETY: only `save_caches` writes such a file, atomically, and wgpu checks its header against
    // the adapter.
    unsafe { device.create_pipeline_cache(&descriptor) }
}

impl Gpu {
    /// Writes to the cache directory, if one was given, the compiled pipelines (where the adapter
    /// can export them) and which kernels were measured to be the fastest.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be written.
    pub fn save_caches(&self) -> Result<()> {
        self.save_answers()?;
        let kernels = self.0.kernels.borrow();
        kernels.wait();
        let (Some(file), Some(data)) = (
            &self.0.cache_file,
            kernels.cache.as_ref().and_then(|c| c.get_data()),
        ) else {
            return Ok(());
        };
        write(file, &[blake3::hash(&data).as_bytes(), &data])
    }
}
