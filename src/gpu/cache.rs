//! Compiled pipelines kept between runs, where the adapter can give them out (`PIPELINE_CACHE`).
//!
//! The file begins with a checksum of the rest: a driver should never see bytes that it did not write.

use std::io::Write;
use std::path::Path;

use super::{AdapterFacts, Gpu};
use crate::error::{Error, Result};

/// Bytes of the checksum at the head of the file.
const CHECKSUM: usize = blake3::OUT_LEN;

/// Names all that a compiled pipeline depends on besides its WGSL, which the driver hashes itself.
pub(super) fn name(facts: &AdapterFacts) -> String {
    let text = format!("{} {} {} {} {}", facts.vendor, facts.device, facts.name, facts.driver, facts.driver_info);
    format!("pipelines-{}.bin", &blake3::hash(text.as_bytes()).to_hex()[..16])
}

/// The pipelines of an earlier run; an empty cache if there are none or the file is damaged.
#[expect(
    unsafe_code,
    reason = "wgpu cannot prove that the bytes are those it gave out; a checksum and wgpu's own header do"
)]
pub(super) fn load(device: &wgpu::Device, file: &Path) -> wgpu::PipelineCache {
    let bytes = std::fs::read(file)
        .ok()
        .filter(|b| b.len() > CHECKSUM && blake3::hash(&b[CHECKSUM..]).as_bytes() == &b[..CHECKSUM]);
    let data = bytes.as_ref().map(|b| &b[CHECKSUM..]);
    let descriptor = wgpu::PipelineCacheDescriptor { label: Some("pipelines"), data, fallback: true };
    // SAFETY: only `save_pipelines` writes such a file, whole, and wgpu checks its header against the adapter.
    unsafe { device.create_pipeline_cache(&descriptor) }
}

impl Gpu {
    /// Writes compiled pipelines to the cache directory, if one was given and the adapter can.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn save_pipelines(&self) -> Result<()> {
        let kernels = self.0.kernels.borrow();
        let (Some(file), Some(data)) = (&self.0.cache_file, kernels.cache.as_ref().and_then(|c| c.get_data())) else {
            return Ok(());
        };
        if let Some(dir) = file.parent() {
            std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        }
        let mut out = atomic_write_file::AtomicWriteFile::open(file).map_err(Error::io(file))?;
        let written = out.write_all(blake3::hash(&data).as_bytes()).and_then(|()| out.write_all(&data));
        written.and_then(|()| out.commit()).map_err(Error::io(file))
    }
}
