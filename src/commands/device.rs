//! Flags that choose the adapter, shared by all commands that compute.

use clap::{Args, ValueEnum};

use crate::experiment::device::Device;
use crate::gpu::{Precision, Prefer};

#[derive(Args, Clone, Debug)]
pub(super) struct DeviceFlags {
    /// The GPU: index, part of its name, or backend (see `adapters`).
    #[arg(long, env = "DBVQ_ADAPTER")]
    adapter: Option<String>,
    /// Maximum GPU memory to use, MiB.
    #[arg(long, value_name = "MIB", allow_negative_numbers = true)]
    gpu_memory: Option<u64>,
    /// Choose matmul and convolution kernels by measuring them on a CPU adapter too; GPUs do so by
    /// default, at the first use of a shape.
    #[arg(long)]
    tune: bool,
    /// Choose kernels by fixed rules instead of measuring.
    #[arg(long, conflicts_with = "tune")]
    no_tune: bool,
    /// Precision of matmuls and convolutions: f16 rounds both inputs, accumulates in f32, and needs
    /// cooperative matrices.
    #[arg(long, value_enum, default_value_t)]
    precision: PrecisionFlag,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum PrecisionFlag {
    #[default]
    F32,
    F16,
}

impl From<DeviceFlags> for Device {
    fn from(flags: DeviceFlags) -> Device {
        let DeviceFlags {
            adapter,
            gpu_memory,
            tune,
            no_tune,
            precision,
        } = flags;
        let prefer = match (tune, no_tune) {
            (true, _) => Prefer::Measured,
            (_, true) => Prefer::Rule,
            _ => Prefer::MeasuredOnGpus,
        };
        let precision = match precision {
            PrecisionFlag::F32 => Precision::F32,
            PrecisionFlag::F16 => Precision::F16,
        };
        Device {
            adapter,
            memory_mib: gpu_memory,
            profile: false,
            prefer,
            precision,
        }
    }
}
