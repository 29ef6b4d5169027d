//! How a device is opened.

use std::path::PathBuf;

use super::{AdapterFacts, Shader};

/// How a [`Gpu`](super::Gpu) is opened.
#[derive(Clone, Debug)]
pub struct GpuOptions {
    /// Index, part of the name, or backend; `None` takes the fastest kind present.
    pub adapter: Option<String>,
    /// WebGPU's run-time checks in kernels; by default those of the build profile.
    pub checked: bool,
    /// The driver's bounds checks in kernels that run unchecked too: for what reaches outside on
    /// purpose.
    pub driver_checks: bool,
    /// Which kernels ops take where they have several.
    pub prefer: Prefer,
    /// What products and convolutions are made of.
    pub precision: Precision,
    /// Poisoned memory with watched surroundings, for the conformance suite.
    pub poison: bool,
    /// Time every kernel. Costs speed.
    pub profile: bool,
    /// Most bytes of GPU memory to use; `None`: what the adapter gives (CPU adapters: 80 % of the
    /// machine's memory).
    pub memory_limit: Option<u64>,
    /// Where compiled pipelines and measured answers are kept between runs; `None`: nowhere.
    pub cache_dir: Option<PathBuf>,
    /// Shaders that stand in for those of the same name: how tests show that broken kernels are
    /// caught.
    pub stand_ins: Vec<Shader>,
}

impl Default for GpuOptions {
    fn default() -> Self {
        GpuOptions {
            adapter: None,
            checked: cfg!(debug_assertions),
            driver_checks: false,
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

/// Which kernels ops take where they have several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Prefer {
    /// [`Prefer::Measured`] on GPUs, [`Prefer::Rule`] on CPU adapters, where rules choose well and
    /// measuring takes longer.
    #[default]
    MeasuredOnGpus,
    /// Those that are the fastest on adapters of this kind, by rules.
    Rule,
    /// Those that are the fastest on this adapter, as measured now or in an earlier run. Sums may
    /// then differ in their last bits between runs with other measurements.
    Measured,
    /// Only those that run everywhere.
    Portable,
    /// Those for GPUs, with tiles of this number (see `ops`), wherever a shape allows.
    Tiles(usize),
    /// By rule, but Winograd's algorithm for every convolution that allows it.
    Winograd,
    /// The same by kernels for GPUs.
    WinogradOnGpus,
}

/// What products and convolutions are made of. Everything else, and all that is kept in memory, is
/// f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// f32 throughout.
    #[default]
    F32,
    /// Both factors rounded to f16, gradients among them scaled so that they keep their bits, and
    /// sums in f32, on cooperative matrices (tensor cores); see `shaders/shared/cooperative.wgsl`.
    F16,
}

impl Prefer {
    /// What it means on an adapter.
    pub(super) fn on(self, facts: &AdapterFacts) -> Prefer {
        match self {
            Prefer::MeasuredOnGpus if facts.is_cpu() => Prefer::Rule,
            Prefer::MeasuredOnGpus => Prefer::Measured,
            other => other,
        }
    }
}
