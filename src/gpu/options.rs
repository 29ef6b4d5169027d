//! Options for opening a device.

use std::path::PathBuf;

use super::{AdapterFacts, Shader};

/// Options for opening a [`Gpu`](super::Gpu).
#[derive(Clone, Debug)]
pub struct GpuOptions {
    /// Index, part of the name, or backend; `None` selects the fastest kind present.
    pub adapter: Option<String>,
    /// WebGPU's run-time checks in kernels; by default on in debug builds.
    pub checked: bool,
    /// Keep the driver's bounds checks even if built-in kernels run unchecked. Kernels from outside
    /// of this crate need them ([`Kernel`](crate::ops::Kernel)); a program that has none is faster
    /// without.
    pub driver_checks: bool,
    /// Which kernels ops use where they have several.
    pub prefer: Prefer,
    /// Precision of products and convolutions.
    pub precision: Precision,
    /// Poison memory and watch what surrounds tensors, for the conformance suite.
    pub poison: bool,
    /// Time every kernel, at the cost of speed.
    pub profile: bool,
    /// Most bytes of GPU memory to use; `None`: what the adapter provides (CPU adapters: 80 % of
    /// the machine's memory).
    pub memory_limit: Option<u64>,
    /// Where compiled pipelines and measurements are kept between runs; `None`: nowhere.
    pub cache_dir: Option<PathBuf>,
    /// Shaders that replace those of the same name, with which tests show that broken kernels are
    /// caught; see [`Shader::with_source`].
    pub stand_ins: Vec<Shader>,
}

impl Default for GpuOptions {
    fn default() -> Self {
        GpuOptions {
            adapter: None,
            checked: cfg!(debug_assertions),
            driver_checks: true,
            prefer: Prefer::Rule,
            precision: Precision::F32,
            poison: false,
            profile: false,
            memory_limit: None,
            cache_dir: None,
            stand_ins: Vec::new(),
        }
    }
}

impl GpuOptions {
    /// Whether the driver checks bounds: checked kernels need it, since wgpu leaves the bounds of
    /// buffers to the driver.
    pub(super) fn has_driver_checks(&self) -> bool {
        self.checked || self.driver_checks
    }
}

/// Which kernels ops use where they have several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Prefer {
    /// [`Prefer::Measured`] on GPUs; [`Prefer::Rule`] on CPU adapters, where the rules choose well
    /// and measuring takes longer.
    #[default]
    MeasuredOnGpus,
    /// The fastest on adapters of this kind, by fixed rules.
    Rule,
    /// The fastest on this adapter, as measured now or in an earlier run. Sums may then differ in
    /// their last bits between runs whose measurements differ.
    Measured,
    /// Only kernels that run everywhere.
    Portable,
    /// Tiled kernels for GPUs, with the tile of this index (see `ops`), wherever the shape allows.
    Tiles(usize),
    /// By rule, but Winograd's algorithm for every convolution it can compute.
    Winograd,
    /// As [`Prefer::Winograd`], with the kernels for GPUs.
    WinogradOnGpus,
}

/// Precision of products and convolutions. All other arithmetic, and everything kept in memory, is
/// f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// f32 throughout.
    #[default]
    F32,
    /// Factors rounded to f16 (gradients scaled first, so that they keep their bits) and summed in
    /// f32, on cooperative matrices (tensor cores); see `shaders/shared/cooperative.wgsl`.
    F16,
}

impl Prefer {
    /// Resolves the choice for an adapter.
    pub(super) fn on(self, facts: &AdapterFacts) -> Prefer {
        match self {
            Prefer::MeasuredOnGpus if facts.is_cpu() => Prefer::Rule,
            Prefer::MeasuredOnGpus => Prefer::Measured,
            other => other,
        }
    }
}
