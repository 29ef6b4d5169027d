//! Lists adapters, selects one and opens it.

use super::absence;
use super::facts::{AdapterFacts, COOPERATIVE_BYTES, IMMEDIATE_BYTES, facts};
use crate::error::{Error, Result};

/// Explains what to do when there is no adapter: which variable hides them, or what is missing.
pub fn none_found() -> String {
    let backends = wgpu::Backends::PRIMARY | wgpu::Backends::GL;
    let hidden = match std::env::var_os(absence::BACKEND) {
        Some(_) => pollster::block_on(
            wgpu::Instance::new(descriptor(backends)).enumerate_adapters(backends),
        ),
        None => Vec::new(),
    };
    let name = |info: wgpu::AdapterInfo| format!("{} ({})", info.name, info.backend.to_str());
    absence::sentence(
        hidden
            .iter()
            .map(|adapter| name(adapter.get_info()))
            .collect(),
    )
}

/// Names the variables that may hide further adapters, if any is set.
pub fn hiding() -> Option<String> {
    let hint = absence::hint();
    (!hint.is_empty()).then(|| hint.trim_start_matches("; ").to_string())
}

/// The settings of an instance, before environment variables are applied.
fn descriptor(backends: wgpu::Backends) -> wgpu::InstanceDescriptor {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    descriptor.flags = wgpu::InstanceFlags::empty();
    descriptor
}

fn instance(backends: wgpu::Backends) -> wgpu::Instance {
    wgpu::Instance::new(descriptor(backends).with_env())
}

/// The adapters and their facts, in the driver's order. OpenGL is queried only if there is no other
/// adapter, or if it is named, or if an index lies beyond the others: it lists the same devices
/// again, with fewer features, and its loader is chatty.
pub(super) fn enumerate(wanted: Option<&str>) -> (Vec<wgpu::Adapter>, Vec<AdapterFacts>) {
    let list = |backends| pollster::block_on(instance(backends).enumerate_adapters(backends));
    let mut adapters = list(wgpu::Backends::PRIMARY);
    let behind = |w: &str| {
        w.parse::<usize>()
            .is_ok_and(|index| index >= adapters.len())
    };
    if adapters.is_empty() || wanted.is_some_and(|w| w.eq_ignore_ascii_case("gl") || behind(w)) {
        adapters.extend(list(wgpu::Backends::GL));
    }
    let mut facts: Vec<_> = adapters
        .iter()
        .enumerate()
        .map(|(index, adapter)| facts(index, adapter))
        .collect();
    if let Some(best) = (0..facts.len())
        .filter(|&i| facts[i].usable.is_ok())
        .max_by_key(|&i| rank(&facts[i]))
    {
        facts[best].default = true;
    }
    (adapters, facts)
}

/// All adapters of this machine; OpenGL's only if there is no other (`--adapter gl` opens them in
/// any case).
pub fn adapters() -> Vec<AdapterFacts> {
    enumerate(None).1
}

/// All adapters of this machine, with OpenGL's last.
pub fn every_adapter() -> Vec<AdapterFacts> {
    enumerate(Some("gl")).1
}

/// Facts of the adapter that [`Gpu::open`](super::Gpu::open) would select for `wanted`.
///
/// # Errors
/// [`Error::Adapter`] if there is none, or none matches.
pub fn find_adapter(wanted: Option<&str>) -> Result<AdapterFacts> {
    let facts = enumerate(wanted).1;
    choose(&facts, wanted).map(|index| facts[index].clone())
}

/// Sort key; larger is faster: the kind of device first, then a native backend before GL, then
/// lavapipe before other CPU drivers (SwiftShader is 10–20 times slower), then the first listed.
fn rank(facts: &AdapterFacts) -> (u32, bool, bool, std::cmp::Reverse<usize>) {
    let kind = ["other", "cpu", "virtual", "integrated", "discrete"]
        .iter()
        .position(|&k| k == facts.kind);
    let llvmpipe = facts.name.contains("llvmpipe");
    (
        kind.unwrap_or(0) as u32,
        facts.backend != "gl",
        llvmpipe,
        std::cmp::Reverse(facts.index),
    )
}

/// The adapter that `wanted` names by index, part of its name or backend; the default one for
/// `None`.
pub(super) fn select(wanted: Option<&str>) -> Result<(wgpu::Adapter, AdapterFacts)> {
    let (mut adapters, facts) = enumerate(wanted);
    let index = choose(&facts, wanted)?;
    Ok((adapters.swap_remove(index), facts[index].clone()))
}

fn choose(facts: &[AdapterFacts], wanted: Option<&str>) -> Result<usize> {
    if facts.is_empty() {
        return Err(Error::Adapter(none_found()));
    }
    let found = match wanted {
        None => facts.iter().position(|f| f.default),
        Some(text) => named(facts, text),
    };
    let list = || {
        facts
            .iter()
            .map(|f| format!("{} {} ({})", f.index, f.name, f.backend))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let Some(index) = found else {
        let what = wanted.map_or("none of the adapters can run the kernels".into(), |w| {
            format!("no adapter matches '{w}'")
        });
        return Err(Error::Adapter(format!(
            "{what}; name one by its index, part of its name or its backend: {}{}",
            list(),
            absence::hint()
        )));
    };
    match &facts[index].usable {
        Ok(()) => Ok(index),
        Err(why) => Err(Error::Adapter(format!(
            "adapter {} ({}) {why}; choose another of: {}{}",
            index,
            facts[index].name,
            list(),
            absence::hint()
        ))),
    }
}

fn named(facts: &[AdapterFacts], text: &str) -> Option<usize> {
    if let Ok(index) = text.parse::<usize>() {
        return (index < facts.len()).then_some(index);
    }
    let text = text.to_lowercase();
    let matching = |f: &&AdapterFacts| f.name.to_lowercase().contains(&text) || f.backend == text;
    facts
        .iter()
        .filter(matching)
        .max_by_key(|f| (f.usable.is_ok(), rank(f)))
        .map(|f| f.index)
}

/// wgpu's no-op adapter, which computes nothing and refuses nothing.
pub(super) fn nothing() -> Result<(wgpu::Adapter, AdapterFacts)> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::NOOP;
    descriptor.backend_options.noop = wgpu::NoopBackendOptions::enabled();
    let instance = wgpu::Instance::new(descriptor);
    let found = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::NOOP)).pop();
    let adapter =
        found.ok_or_else(|| Error::Adapter("wgpu was built without its no-op adapter".into()))?;
    let facts = facts(0, &adapter);
    Ok((adapter, facts))
}

/// The device to request: WebGPU's default limits, except buffer sizes, which are the adapter's
/// own, and what cooperative matrices need if they are used.
#[expect(
    unsafe_code,
    reason = "wgpu marks features that are not finished as unsafe"
)]
fn wanted(adapter: &wgpu::Adapter, cooperative: bool) -> wgpu::DeviceDescriptor<'static> {
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
        // SAFETY: a fault here is undefined behaviour in the driver. The user asked for such a
        // device, and commands check its matrices against known sums before they run anything else
        // on them.
        experimental_features = unsafe { wgpu::ExperimentalFeatures::enabled() };
    }
    wgpu::DeviceDescriptor {
        label: Some("dbvq-wgpu"),
        required_features: adapter.features() & wanted,
        required_limits: limits,
        memory_hints: wgpu::MemoryHints::Performance,
        experimental_features,
        ..Default::default()
    }
}

/// Opens a device; with `checked` its driver checks buffer bounds.
pub(super) fn open(
    adapter: &wgpu::Adapter,
    cooperative: bool,
    checked: bool,
) -> Result<(wgpu::Device, wgpu::Queue)> {
    let descriptor = wanted(adapter, cooperative);
    #[cfg(any(windows, target_os = "linux", target_os = "android"))]
    if let Some(opened) = (!checked)
        .then(|| super::vulkan::open(adapter, &descriptor))
        .flatten()
    {
        return Ok(opened);
    }
    pollster::block_on(adapter.request_device(&descriptor)).map_err(|e| {
        Error::Adapter(format!(
            "{} cannot be opened: {e}; update its driver or choose another adapter",
            adapter.get_info().name
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::super::facts::{FeatureFacts, LimitFacts};
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
        assert_eq!(
            choose(&facts, Some("LLVMpipe")).ok(),
            Some(1),
            "the native backend goes first"
        );
        assert_eq!(choose(&facts, Some("gl")).ok(), Some(2));
        assert_eq!(
            facts.iter().max_by_key(|f| rank(f)).map(|f| f.index),
            Some(1)
        );
    }

    #[test]
    fn kernels_for_eight_lanes_need_a_cpu_that_has_them() {
        let mut facts = adapter(0, "llvmpipe", "cpu", "vulkan");
        (
            facts.features.subgroup,
            facts.features.shader_int64,
            facts.subgroup,
        ) = (true, true, [8, 8]);
        assert!(facts.has_lanes());
        let with = |change: fn(&mut AdapterFacts)| {
            let mut other = facts.clone();
            change(&mut other);
            other.has_lanes()
        };
        assert!(
            !with(|f| f.kind = "discrete".into()),
            "a GPU takes the kernels for GPUs"
        );
        assert!(!with(|f| f.features.subgroup = false));
        assert!(
            !with(|f| f.subgroup = [4, 8]) && !with(|f| f.subgroup = [8, 16]),
            "the size must be certain"
        );
    }

    #[test]
    fn a_wrong_name_lists_the_right_ones() {
        let message = choose(&machine(), Some("geforce"))
            .expect_err("no such adapter")
            .to_string();
        assert!(
            message.contains("'geforce'") && message.contains("0 SwiftShader Device (vulkan)"),
            "{message}"
        );
        assert!(choose(&machine(), Some("7")).is_err());
    }

    /// `vulkan::open` requests the device from wgpu's Vulkan backend piece by piece, which may
    /// break with another version of wgpu.
    #[cfg(any(windows, target_os = "linux", target_os = "android"))]
    #[test]
    fn vulkan_opens_without_bounds_checks() {
        for adapter in enumerate(None)
            .0
            .iter()
            .filter(|a| a.get_info().backend == wgpu::Backend::Vulkan)
        {
            let opened = crate::gpu::vulkan::open(adapter, &wanted(adapter, false));
            assert!(
                opened.is_some(),
                "{} opens with checks only",
                adapter.get_info().name
            );
        }
    }

    #[test]
    fn no_adapter_has_an_exit_code_of_its_own() {
        let error = choose(&[], None).expect_err("nothing there");
        assert_eq!(error.exit_code(), 4);
        assert!(
            error.to_string().starts_with("no GPU adapter was found: "),
            "{error}"
        );
    }
}
