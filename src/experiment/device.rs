//! Opens the adapter for a command, and saves its caches for the next.

use super::cache;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, GpuOptions, Precision, Prefer, TUNING_SECONDS};
use crate::ops;

/// Device options shared by all commands that compute.
#[derive(Clone, Debug, Default)]
pub struct Device {
    /// `--adapter`.
    pub adapter: Option<String>,
    /// `--gpu-memory`, MiB.
    pub memory_mib: Option<u64>,
    /// Time every kernel, as under `DBVQ_PROFILE=1`.
    pub profile: bool,
    /// How kernels are chosen.
    pub prefer: Prefer,
    /// Precision of matrix products and convolutions.
    pub precision: Precision,
}

impl Device {
    /// Opens the adapter, with compiled pipelines cached in the user's cache directory.
    ///
    /// # Errors
    /// [`Error::Adapter`].
    pub fn open(&self) -> Result<Gpu> {
        self.open_with(self.profile || std::env::var_os("DBVQ_PROFILE").is_some_and(|v| v != "0"))
    }

    /// As [`Device::open`], with every kernel timed if the adapter has timestamps in passes.
    ///
    /// # Errors
    /// [`Error::Adapter`].
    pub fn open_for_kernels(&self) -> Result<Gpu> {
        let found = crate::gpu::find_adapter(self.adapter.as_deref());
        let facts = found.map_err(|error| self.explain(error))?;
        self.open_with(facts.features.timestamps_in_passes)
    }

    /// `error`, with how the adapter was given if that may be what is wrong.
    fn explain(&self, error: Error) -> Error {
        match error {
            Error::Adapter(what) if self.adapter.is_some() => {
                Error::Adapter(format!("{what}; it was given by --adapter or DBVQ_ADAPTER"))
            }
            error => error,
        }
    }

    /// As [`Device::open`], with every kernel timed or not.
    fn open_with(&self, profile: bool) -> Result<Gpu> {
        let gpu = Gpu::open(GpuOptions {
            prefer: self.prefer,
            precision: self.precision,
            adapter: self.adapter.clone(),
            memory_limit: self.memory_mib.map(|mib| mib << 20),
            cache_dir: cache::folder(),
            profile,
            // The conformance suite shows that built-in kernels need none.
            driver_checks: false,
            ..GpuOptions::default()
        })
        .map_err(|error| self.explain(error))?;
        if self.precision == Precision::F16 && !ops::matrices_are_right(&gpu) {
            return Err(Error::Adapter(format!(
                "cooperative matrices of {} give wrong sums; update its driver, or leave out --precision f16",
                gpu.facts().name
            )));
        }
        if gpu.prefers() == Prefer::Measured && gpu.is_unmeasured() {
            note!(
                "measuring which kernels are fastest on this GPU, {TUNING_SECONDS} s at most; --no-tune uses fixed rules"
            );
        }
        Ok(gpu)
    }
}

/// Saves which kernels this run has measured to be the fastest. Write errors only print a note.
pub fn keep_answers(gpu: &Gpu) {
    if let Err(error) = gpu.save_answers() {
        note!("note: which kernels are fastest could not be saved for the next run ({error})");
    }
}

/// Saves what this run has compiled and measured, and prints what was measured. Write errors only
/// print a note.
pub fn keep_caches(gpu: &Gpu) {
    if let Err(error) = gpu.save_caches() {
        note!("note: compiled kernels could not be saved for the next run ({error})");
    }
    let (shapes, seconds, wrong) = gpu.measured();
    if shapes > 0 {
        note!(
            "measured in {seconds:.1} s which kernels are fastest for {shapes} shapes; --no-tune uses fixed rules"
        );
    }
    for what in wrong {
        note!(
            "warning: {what} on this adapter; it is not used; `dbvq-wgpu conformance` gives details"
        );
    }
}

/// Prints GPU time per kernel, under `DBVQ_PROFILE=1`.
pub fn print_profile(gpu: &Gpu) {
    if let Some(kernels) = gpu.profile() {
        note!("\n{}", crate::gpu::profile_table(&kernels));
    }
}
