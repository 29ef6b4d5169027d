//! Facts about an adapter: names, limits, features, and which kernels they allow it to run.

use serde::{Deserialize, Serialize};

/// Bytes of immediates (push constants) that every kernel may use.
pub const IMMEDIATE_BYTES: u32 = 128;

/// Bytes of workgroup memory that kernels for cooperative matrices may use.
pub const COOPERATIVE_BYTES: u32 = 32 << 10;

/// Facts about one adapter, as `dbvq-wgpu adapters` lists them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AdapterFacts {
    /// Position in the list, which `--adapter 0` refers to.
    pub index: usize,
    /// The driver's name of the device, e.g. `llvmpipe (LLVM 15.0.6, 256 bits)`.
    pub name: String,
    /// `vulkan`, `metal`, `dx12` or `gl`.
    pub backend: String,
    /// `discrete`, `integrated`, `virtual`, `cpu` or `other`.
    pub kind: String,
    /// The driver, e.g. `llvmpipe`.
    pub driver: String,
    /// The driver's version text, e.g. `Mesa 22.3.6 (LLVM 15.0.6)`.
    pub driver_info: String,
    /// PCI vendor; hexadecimal in JSON, as in vendors' documents: `"0x10de"`.
    #[serde(with = "hexadecimal")]
    pub vendor: u32,
    /// PCI device, in the same format.
    #[serde(with = "hexadecimal")]
    pub device: u32,
    /// Smallest and largest subgroup size, in lanes.
    pub subgroup: [u32; 2],
    /// Limits that matter to kernels.
    pub limits: LimitFacts,
    /// Optional features that kernels can use, and whether each is present.
    pub features: FeatureFacts,
    /// Whether this adapter can run the kernels; if not, the reason.
    pub usable: Result<(), String>,
    /// Whether it is selected when `--adapter` is not given.
    pub default: bool,
}

/// Writes numbers as `"0x10de"`. Also reads plain numbers, which earlier versions wrote.
mod hexadecimal {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Id {
        Number(u32),
        Text(String),
    }

    pub fn serialize<S: Serializer>(id: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{id:#06x}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        match Id::deserialize(deserializer)? {
            Id::Number(id) => Ok(id),
            Id::Text(text) => {
                let digits = text
                    .strip_prefix("0x")
                    .ok_or_else(|| D::Error::custom("an id is hexadecimal: 0x10de"))?;
                u32::from_str_radix(digits, 16).map_err(D::Error::custom)
            }
        }
    }
}

/// Limits of an adapter that matter to kernels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LimitFacts {
    /// Largest storage binding, bytes: no tensor can be larger.
    pub max_storage_buffer_binding_size: u64,
    /// Largest buffer, bytes.
    pub max_buffer_size: u64,
    /// Storage buffers an entry point can bind.
    pub max_storage_buffers_per_shader_stage: u32,
    /// Most invocations of one workgroup.
    pub max_compute_invocations_per_workgroup: u32,
    /// Workgroup memory, bytes.
    pub max_compute_workgroup_storage_size: u32,
    /// Immediates, bytes.
    pub max_immediate_size: u32,
}

/// Optional features that kernels or the profiler can use.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FeatureFacts {
    /// f16 arithmetic and storage in shaders.
    pub shader_f16: bool,
    /// 64-bit integers in shaders.
    pub shader_int64: bool,
    /// Subgroup operations.
    pub subgroup: bool,
    /// Timestamps between the dispatches of one pass.
    pub timestamps_in_passes: bool,
    /// Compiled pipelines can be kept between runs.
    pub pipeline_cache: bool,
    /// Cooperative matrices.
    pub cooperative_matrix: bool,
    /// Rows and columns of the square ones that multiply f16 and sum in f32; the largest size that
    /// kernels can use, 16 or 8.
    #[serde(default)]
    pub cooperative_f16: Option<u32>,
}

/// What kernels for cooperative matrices (tensor cores) need to know.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cooperative {
    /// Rows and columns of a matrix.
    pub edge: u32,
    /// Lanes of a subgroup, at most.
    pub subgroup: u32,
}

impl Cooperative {
    /// Numbers of subgroups that a workgroup may have, [down, across], largest first.
    pub const SUBGROUPS: [[u32; 2]; 3] = [[4, 2], [2, 2], [2, 1]];

    /// How many of the last [`Cooperative::SUBGROUPS`] fit into a workgroup of 256 invocations.
    pub fn tiles(self) -> usize {
        Self::SUBGROUPS
            .iter()
            .filter(|[down, across]| down * across * self.subgroup <= 256)
            .count()
    }
}

impl AdapterFacts {
    /// The driver and its version: `llvmpipe Mesa 22.3.6`.
    pub fn driver_version(&self) -> String {
        format!("{} {}", self.driver, self.driver_info)
            .trim()
            .into()
    }

    /// Whether the adapter is a CPU: barriers are slow there, and few invocations keep it busy.
    pub fn is_cpu(&self) -> bool {
        self.kind == "cpu"
    }

    /// Whether the `lanes` kernels run here and are the faster ones: on a CPU that runs subgroups
    /// of exactly eight lanes as one vector (Mesa's lavapipe). They are correct on any adapter with
    /// subgroups of that size and 64-bit integers, with which they load two numbers at once.
    pub fn has_lanes(&self) -> bool {
        self.is_cpu()
            && self.features.subgroup
            && self.features.shader_int64
            && self.subgroup == [8, 8]
    }

    /// The cooperative matrices of [`Precision::F16`](super::Precision::F16), if the adapter has
    /// them.
    pub fn cooperative(&self) -> Option<Cooperative> {
        let edge = self.features.cooperative_f16?;
        let subgroup = self.subgroup[1];
        // With a smaller subgroup each invocation would have to load more than four blocks.
        (8 * subgroup >= edge * edge).then_some(Cooperative { edge, subgroup })
    }
}

/// Queries the driver.
pub(super) fn facts(index: usize, adapter: &wgpu::Adapter) -> AdapterFacts {
    let info = adapter.get_info();
    let limits = adapter.limits();
    let features = adapter.features();
    let missing = if !features.contains(wgpu::Features::IMMEDIATES)
        || limits.max_immediate_size < IMMEDIATE_BYTES
    {
        Some(format!(
            "lacks {IMMEDIATE_BYTES} bytes of immediates (push constants)"
        ))
    } else if limits.max_storage_buffers_per_shader_stage < 8 {
        Some("binds fewer than 8 storage buffers at once".to_string())
    } else if limits.max_compute_invocations_per_workgroup < 256 {
        Some("does not support compute workgroups of 256 invocations".to_string())
    } else {
        None
    };
    AdapterFacts {
        index,
        name: info.name,
        backend: info.backend.to_string(),
        kind: kind(info.device_type).to_string(),
        driver: info.driver,
        driver_info: info.driver_info,
        vendor: info.vendor,
        device: info.device,
        subgroup: [info.subgroup_min_size, info.subgroup_max_size],
        limits: LimitFacts {
            max_storage_buffer_binding_size: limits.max_storage_buffer_binding_size,
            max_buffer_size: limits.max_buffer_size,
            max_storage_buffers_per_shader_stage: limits.max_storage_buffers_per_shader_stage,
            max_compute_invocations_per_workgroup: limits.max_compute_invocations_per_workgroup,
            max_compute_workgroup_storage_size: limits.max_compute_workgroup_storage_size,
            max_immediate_size: limits.max_immediate_size,
        },
        features: FeatureFacts {
            shader_f16: features.contains(wgpu::Features::SHADER_F16),
            shader_int64: features.contains(wgpu::Features::SHADER_INT64),
            subgroup: features.contains(wgpu::Features::SUBGROUP),
            timestamps_in_passes: features.contains(wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES),
            pipeline_cache: features.contains(wgpu::Features::PIPELINE_CACHE),
            cooperative_matrix: features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX),
            cooperative_f16: cooperative_f16(adapter),
        },
        usable: missing.map_or(Ok(()), Err),
        default: false,
    }
}

/// See [`FeatureFacts::cooperative_f16`]. Vulkan only: Metal's matrices accept only pointers to
/// scalars.
fn cooperative_f16(adapter: &wgpu::Adapter) -> Option<u32> {
    use wgpu::CooperativeScalarType::{F16, F32};
    let features = wgpu::Features::SHADER_F16
        | wgpu::Features::SUBGROUP
        | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
    let vulkan = adapter.get_info().backend == wgpu::Backend::Vulkan;
    let roomy = adapter.limits().max_compute_workgroup_storage_size >= COOPERATIVE_BYTES;
    if !vulkan || !roomy || !adapter.features().contains(features) {
        return None;
    }
    let all = adapter.cooperative_matrix_properties();
    let has = |edge| {
        let square =
            |p: &&wgpu::CooperativeMatrixProperties| [p.m_size, p.n_size, p.k_size] == [edge; 3];
        all.iter()
            .filter(square)
            .any(|p| p.ab_type == F16 && p.cr_type == F32)
    };
    [16, 8].into_iter().find(|&edge| has(edge))
}

fn kind(device_type: wgpu::DeviceType) -> &'static str {
    match device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete",
        wgpu::DeviceType::IntegratedGpu => "integrated",
        wgpu::DeviceType::VirtualGpu => "virtual",
        wgpu::DeviceType::Cpu => "cpu",
        wgpu::DeviceType::Other => "other",
    }
}
