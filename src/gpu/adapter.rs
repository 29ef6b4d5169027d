//! Which adapters there are, which one is taken, and opening it.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What to do where there is no adapter.
pub const NONE_FOUND: &str = "no GPU adapter was found: install a Vulkan driver (Mesa's software driver will do: \
    `cargo xtask quickstart` installs it on Linux)";

/// Bytes of immediates (push constants) that every kernel may use.
pub const IMMEDIATE_BYTES: u32 = 128;

/// Bytes of workgroup memory that kernels on cooperative matrices may use.
pub const COOPERATIVE_BYTES: u32 = 32 << 10;

/// Facts about one adapter, as `dbvq-wgpu adapters` lists them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AdapterFacts {
    /// Position in the list; what `--adapter 0` names.
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
    /// PCI vendor.
    pub vendor: u32,
    /// PCI device.
    pub device: u32,
    /// Smallest and largest subgroup, lanes.
    pub subgroup: [u32; 2],
    /// Limits that kernels meet.
    pub limits: LimitFacts,
    /// Optional features that kernels can use, present or not.
    pub features: FeatureFacts,
    /// Whether this adapter can run the kernels; if not, why.
    pub usable: Result<(), String>,
    /// Whether it is taken when `--adapter` is not given.
    pub default: bool,
}

/// Limits of an adapter that kernels meet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LimitFacts {
    /// Largest storage binding, bytes: no tensor can be larger.
    pub max_storage_buffer_binding_size: u64,
    /// Largest buffer, bytes.
    pub max_buffer_size: u64,
    /// Storage buffers an entry point can bind.
    pub max_storage_buffers_per_shader_stage: u32,
    /// Invocations of one workgroup.
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
    /// Rows and columns of those whose products of f16 are summed in f32, the largest that kernels can use: 16 or 8.
    #[serde(default)]
    pub cooperative_f16: Option<u32>,
}

/// What kernels on cooperative matrices (tensor cores) need to know.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cooperative {
    /// Rows and columns of a matrix.
    pub edge: u32,
    /// Lanes of a subgroup, at most.
    pub subgroup: u32,
}

impl Cooperative {
    /// Subgroups that a workgroup may have, down and across, most first.
    pub const SUBGROUPS: [[u32; 2]; 3] = [[4, 2], [2, 2], [2, 1]];

    /// How many of the last of [`Cooperative::SUBGROUPS`] fit into a workgroup.
    pub fn tiles(self) -> usize {
        Self::SUBGROUPS.iter().filter(|[down, across]| down * across * self.subgroup <= 256).count()
    }
}

impl AdapterFacts {
    /// Whether a CPU plays the GPU: barriers are dear there, and few invocations keep it busy.
    pub fn is_cpu(&self) -> bool {
        self.kind == "cpu"
    }

    /// Whether kernels called `lanes` run here and are the faster ones: on a CPU that runs subgroups of eight lanes, no
    /// more and no fewer, as one vector (Mesa's lavapipe). They are right on any adapter with subgroups of that size and
    /// integers of 64 bits, by which they load two numbers at once.
    pub fn has_lanes(&self) -> bool {
        self.is_cpu() && self.features.subgroup && self.features.shader_int64 && self.subgroup == [8, 8]
    }

    /// The cooperative matrices of [`Precision::F16`](super::Precision::F16), if the adapter has them.
    pub fn cooperative(&self) -> Option<Cooperative> {
        let (edge, subgroup) = (self.features.cooperative_f16?, self.subgroup[1]);
        // Smaller subgroups would have more to load than four blocks an invocation.
        (8 * subgroup >= edge * edge).then_some(Cooperative { edge, subgroup })
    }
}

fn instance(backends: wgpu::Backends) -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    descriptor.flags = wgpu::InstanceFlags::empty();
    wgpu::Instance::new(descriptor.with_env())
}

/// The adapters and their facts, in the driver's order. OpenGL is asked only where there is nothing else, or it was
/// named, or an index stands behind the others: it lists the same devices a second time, with less in them, and its
/// loader is chatty.
pub(super) fn enumerate(wanted: Option<&str>) -> (Vec<wgpu::Adapter>, Vec<AdapterFacts>) {
    let list = |backends| pollster::block_on(instance(backends).enumerate_adapters(backends));
    let mut adapters = list(wgpu::Backends::PRIMARY);
    let behind = |w: &str| w.parse::<usize>().is_ok_and(|index| index >= adapters.len());
    if adapters.is_empty() || wanted.is_some_and(|w| w.eq_ignore_ascii_case("gl") || behind(w)) {
        adapters.extend(list(wgpu::Backends::GL));
    }
    let mut facts: Vec<_> = adapters.iter().enumerate().map(|(index, adapter)| facts(index, adapter)).collect();
    if let Some(best) = (0..facts.len()).filter(|&i| facts[i].usable.is_ok()).max_by_key(|&i| rank(&facts[i])) {
        facts[best].default = true;
    }
    (adapters, facts)
}

/// All adapters of this machine; those of OpenGL only where there is no other (`--adapter gl` opens them all the same).
pub fn adapters() -> Vec<AdapterFacts> {
    enumerate(None).1
}

/// All adapters of this machine, those of OpenGL behind the others.
pub fn every_adapter() -> Vec<AdapterFacts> {
    enumerate(Some("gl")).1
}

/// Facts of the adapter that [`Gpu::open`](super::Gpu::open) takes for `wanted`.
///
/// # Errors
/// [`Error::Adapter`] if there is none, or none of that name.
pub fn find_adapter(wanted: Option<&str>) -> Result<AdapterFacts> {
    let facts = enumerate(wanted).1;
    choose(&facts, wanted).map(|index| facts[index].clone())
}

fn facts(index: usize, adapter: &wgpu::Adapter) -> AdapterFacts {
    let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
    let missing = if !features.contains(wgpu::Features::IMMEDIATES) || limits.max_immediate_size < IMMEDIATE_BYTES {
        Some(format!("has no {IMMEDIATE_BYTES} bytes of immediates (push constants)"))
    } else if limits.max_storage_buffers_per_shader_stage < 8 {
        Some("binds fewer than 8 storage buffers at once".to_string())
    } else if limits.max_compute_invocations_per_workgroup < 256 {
        Some("has no compute workgroups of 256 invocations".to_string())
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

/// See [`FeatureFacts::cooperative_f16`]. Under Vulkan alone: Metal's matrices take pointers to scalars only.
fn cooperative_f16(adapter: &wgpu::Adapter) -> Option<u32> {
    use wgpu::CooperativeScalarType::{F16, F32};
    let features =
        wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
    let vulkan = adapter.get_info().backend == wgpu::Backend::Vulkan;
    let roomy = adapter.limits().max_compute_workgroup_storage_size >= COOPERATIVE_BYTES;
    if !vulkan || !roomy || !adapter.features().contains(features) {
        return None;
    }
    let all = adapter.cooperative_matrix_properties();
    let has = |edge| {
        let square = |p: &&wgpu::CooperativeMatrixProperties| [p.m_size, p.n_size, p.k_size] == [edge; 3];
        all.iter().filter(square).any(|p| p.ab_type == F16 && p.cr_type == F32)
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

/// Larger is faster: the kind of device first, then a native backend before GL, then lavapipe before
/// other CPU drivers (SwiftShader is 10–20 times slower), then the first listed.
fn rank(facts: &AdapterFacts) -> (u32, bool, bool, std::cmp::Reverse<usize>) {
    let kind = ["other", "cpu", "virtual", "integrated", "discrete"].iter().position(|&k| k == facts.kind);
    let llvmpipe = facts.name.contains("llvmpipe");
    (kind.unwrap_or(0) as u32, facts.backend != "gl", llvmpipe, std::cmp::Reverse(facts.index))
}

/// The adapter that `wanted` names: an index, a part of a name, or a backend; the default one for `None`.
pub(super) fn select(wanted: Option<&str>) -> Result<(wgpu::Adapter, AdapterFacts)> {
    let (mut adapters, facts) = enumerate(wanted);
    let index = choose(&facts, wanted)?;
    Ok((adapters.swap_remove(index), facts[index].clone()))
}

fn choose(facts: &[AdapterFacts], wanted: Option<&str>) -> Result<usize> {
    if facts.is_empty() {
        return Err(Error::Adapter(NONE_FOUND.into()));
    }
    let found = match wanted {
        None => facts.iter().position(|f| f.default),
        Some(text) => named(facts, text),
    };
    let list =
        || facts.iter().map(|f| format!("{} {} ({})", f.index, f.name, f.backend)).collect::<Vec<_>>().join(", ");
    let Some(index) = found else {
        let what =
            wanted.map_or("none of the adapters can run the kernels".into(), |w| format!("no adapter is called '{w}'"));
        return Err(Error::Adapter(format!(
            "{what}; --adapter takes an index, part of a name or a backend of: {}",
            list()
        )));
    };
    match &facts[index].usable {
        Ok(()) => Ok(index),
        Err(why) => Err(Error::Adapter(format!(
            "adapter {} ({}) {why}; choose another of: {}",
            index,
            facts[index].name,
            list()
        ))),
    }
}

fn named(facts: &[AdapterFacts], text: &str) -> Option<usize> {
    if let Ok(index) = text.parse::<usize>() {
        return (index < facts.len()).then_some(index);
    }
    let text = text.to_lowercase();
    let matching = |f: &&AdapterFacts| f.name.to_lowercase().contains(&text) || f.backend == text;
    facts.iter().filter(matching).max_by_key(|f| (f.usable.is_ok(), rank(f))).map(|f| f.index)
}

/// An adapter that computes nothing and refuses nothing.
pub(super) fn nothing() -> Result<(wgpu::Adapter, AdapterFacts)> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::NOOP;
    descriptor.backend_options.noop = wgpu::NoopBackendOptions::enabled();
    let instance = wgpu::Instance::new(descriptor);
    let found = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::NOOP)).pop();
    let adapter = found.ok_or_else(|| Error::Adapter("wgpu was built without its no-op adapter".into()))?;
    let facts = facts(0, &adapter);
    Ok((adapter, facts))
}

/// Opens a device with WebGPU's default limits, except sizes of buffers, which are the adapter's own, and with
/// cooperative matrices what these need.
#[expect(unsafe_code, reason = "wgpu marks features that are not finished as unsafe")]
pub(super) fn open(adapter: &wgpu::Adapter, cooperative: bool) -> Result<(wgpu::Device, wgpu::Queue)> {
    let offered = adapter.limits();
    let mut wanted = wgpu::Features::IMMEDIATES
        | wgpu::Features::SUBGROUP
        | wgpu::Features::SHADER_INT64
        | wgpu::Features::TIMESTAMP_QUERY
        | wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES
        | wgpu::Features::PIPELINE_CACHE;
    let mut limits = if adapter.get_info().backend == wgpu::Backend::Gl {
        wgpu::Limits::downlevel_defaults().using_resolution(offered.clone())
    } else {
        wgpu::Limits::default()
    };
    limits.max_immediate_size = IMMEDIATE_BYTES;
    limits.max_buffer_size = offered.max_buffer_size;
    limits.max_storage_buffer_binding_size = offered.max_storage_buffer_binding_size;
    limits.max_storage_buffers_per_shader_stage = 8;
    let mut experimental_features = wgpu::ExperimentalFeatures::disabled();
    if cooperative {
        wanted |= wgpu::Features::SHADER_F16 | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
        limits.max_compute_workgroup_storage_size = COOPERATIVE_BYTES;
        // SAFETY: what may go wrong is undefined behaviour in the driver; such a device is one that the user asked for, and
        // commands compare its matrices with sums that are known before anything else runs on them.
        experimental_features = unsafe { wgpu::ExperimentalFeatures::enabled() };
    }
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("dbvq-wgpu"),
        required_features: adapter.features() & wanted,
        required_limits: limits,
        memory_hints: wgpu::MemoryHints::Performance,
        experimental_features,
        ..Default::default()
    };
    pollster::block_on(adapter.request_device(&descriptor)).map_err(|e| {
        Error::Adapter(format!(
            "{} does not open: {e}; update its driver or choose another --adapter",
            adapter.get_info().name
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(index: usize, name: &str, kind: &str, backend: &str) -> AdapterFacts {
        let limits = LimitFacts {
            max_storage_buffer_binding_size: 0,
            max_buffer_size: 0,
            max_storage_buffers_per_shader_stage: 8,
            max_compute_invocations_per_workgroup: 256,
            max_compute_workgroup_storage_size: 16384,
            max_immediate_size: 128,
        };
        let features = FeatureFacts {
            shader_f16: false,
            shader_int64: false,
            subgroup: false,
            timestamps_in_passes: false,
            pipeline_cache: false,
            cooperative_matrix: false,
            cooperative_f16: None,
        };
        AdapterFacts {
            index,
            name: name.into(),
            backend: backend.into(),
            kind: kind.into(),
            driver: String::new(),
            driver_info: String::new(),
            vendor: 0,
            device: 0,
            subgroup: [4, 4],
            limits,
            features,
            usable: Ok(()),
            default: index == 0,
        }
    }

    fn machine() -> Vec<AdapterFacts> {
        vec![
            adapter(0, "SwiftShader Device", "cpu", "vulkan"),
            adapter(1, "llvmpipe (LLVM 15)", "cpu", "vulkan"),
            adapter(2, "llvmpipe (LLVM 15)", "cpu", "gl"),
        ]
    }

    #[test]
    fn an_adapter_is_named_by_index_name_or_backend() {
        let facts = machine();
        assert_eq!(choose(&facts, Some("0")).ok(), Some(0));
        assert_eq!(choose(&facts, Some("LLVMpipe")).ok(), Some(1), "the native backend goes first");
        assert_eq!(choose(&facts, Some("gl")).ok(), Some(2));
        assert_eq!(facts.iter().max_by_key(|f| rank(f)).map(|f| f.index), Some(1));
    }

    #[test]
    fn kernels_for_eight_lanes_need_a_cpu_that_has_them() {
        let mut facts = adapter(0, "llvmpipe", "cpu", "vulkan");
        (facts.features.subgroup, facts.features.shader_int64, facts.subgroup) = (true, true, [8, 8]);
        assert!(facts.has_lanes());
        let with = |change: fn(&mut AdapterFacts)| {
            let mut other = facts.clone();
            change(&mut other);
            other.has_lanes()
        };
        assert!(!with(|f| f.kind = "discrete".into()), "a GPU takes the kernels for GPUs");
        assert!(!with(|f| f.features.subgroup = false));
        assert!(!with(|f| f.subgroup = [4, 8]) && !with(|f| f.subgroup = [8, 16]), "the size must be certain");
    }

    #[test]
    fn a_wrong_name_lists_the_right_ones() {
        let message = choose(&machine(), Some("geforce")).expect_err("no such adapter").to_string();
        assert!(message.contains("'geforce'") && message.contains("0 SwiftShader Device (vulkan)"), "{message}");
        assert!(choose(&machine(), Some("7")).is_err());
    }

    #[test]
    fn no_adapter_says_what_to_install() {
        let error = choose(&[], None).expect_err("nothing there");
        assert_eq!(error.exit_code(), 4);
        assert!(error.to_string().contains("Vulkan driver"));
    }
}
