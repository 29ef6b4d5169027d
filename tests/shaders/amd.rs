//! Compiles every kernel for a GPU that is not there. Mesa's AMD driver makes pipelines for any GPU
//! that `RADV_FORCE_FAMILY` names, and reports what each needs. Nothing runs. Mesa 26 no longer has
//! this variable.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::process::Command;

use ash::{Entry, khr, vk};
use naga::back::spv;
use naga::valid::ModuleInfo;
use naga::{Module, ShaderStage};

use super::{MATRICES, WORDS, each_variant};

/// RDNA 2, and GCN 5, on which the MI series is based.
const FAMILIES: [&str; 2] = ["navi21", "vega20"];
/// Set in the environment of the process that plays the GPU.
const FAMILY: &str = "RADV_FORCE_FAMILY";
/// Prefixes the reason why there is no such GPU, or is what the driver says of an unknown family.
const ABSENT: [&str; 2] = ["no absent GPU: ", "Unknown family"];
/// Occurs in each line of its findings.
const FOUND: &str = " registers ";

#[test]
fn no_kernel_spills_registers_on_amd() {
    if std::env::var_os(FAMILY).is_some() {
        return compile_all();
    }
    let folders = [
        "/usr/share/vulkan/icd.d",
        "/etc/vulkan/icd.d",
        "/usr/local/share/vulkan/icd.d",
    ];
    let files = folders
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .flatten();
    let mut radeon = files.map(|file| file.path()).filter(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("radeon_icd."))
    });
    let Some(driver) = radeon.next() else {
        return eprintln!("skipped: Mesa's Vulkan driver for AMD is not installed");
    };
    let thread = std::thread::current();
    let own = thread.name().expect("tests run in threads of their names");
    let start = |family| {
        Command::new(std::env::current_exe().expect("this program has a path"))
            .args(["--exact", own, "--nocapture"])
            .env(FAMILY, family)
            .env("VK_DRIVER_FILES", &driver)
            .env("VK_ICD_FILENAMES", &driver)
            .env("MESA_SHADER_CACHE_DISABLE", "true")
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("this program starts")
    };
    let children = FAMILIES.map(|family| (family, start(family)));
    for (family, output) in
        children.map(|(family, child)| (family, child.wait_with_output().expect("it ends")))
    {
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        if let Some(line) = said
            .lines()
            .find(|line| ABSENT.iter().any(|words| line.contains(words)))
        {
            eprintln!("skipped {family}: {line}");
        } else {
            println!("{family}\n{said}");
            assert!(
                output.status.success() && said.contains(FOUND),
                "{family} (see above)"
            );
        }
    }
}

/// Compiles what GPUs run, prints the needs of the hungriest variant of each entry point, and fails
/// if one spills.
#[expect(unsafe_code, reason = "Vulkan is unsafe")]
fn compile_all() {
    // SAFETY: all handles come from the calls above them and stay valid until the process ends.
    let gpu = match unsafe { AbsentGpu::open() } {
        Ok(gpu) => gpu,
        Err(why) => return println!("{}{why}", ABSENT[0]),
    };
    let mut needs: BTreeMap<String, Needs> = BTreeMap::new();
    each_variant(|module, info, entry, name| {
        let stem = name.split(".wgsl").next().unwrap_or_default();
        // For CPU drivers, or using an extension that older drivers lack.
        if WORDS.iter().any(|words| stem.ends_with(words)) || stem.contains(MATRICES) {
            return Ok(());
        }
        // SAFETY: the SPIR-V comes from naga.
        let need = unsafe { gpu.compile(module, info, entry) }?;
        let most = needs.entry(format!("{stem}.wgsl, {entry}")).or_default();
        if need.registers >= most.registers {
            *most = need;
        }
        if need.spilled + need.scratch > 0 {
            return Err(format!(
                "{} registers spilled, {} bytes of scratch memory",
                need.spilled, need.scratch
            ));
        }
        Ok(())
    });
    assert!(needs.len() > 80, "only {} entry points", needs.len());
    for (
        name,
        Needs {
            registers,
            instructions,
            shared,
            ..
        },
    ) in needs
    {
        println!(
            "{registers:4}{FOUND}{instructions:6} instructions {shared:6} bytes shared  {name}"
        );
    }
}

/// Resources a pipeline needs.
#[derive(Clone, Copy, Default)]
struct Needs {
    registers: u64,
    instructions: u64,
    shared: u64,
    spilled: u64,
    scratch: u64,
}

struct AbsentGpu {
    device: ash::Device,
    statistics: khr::pipeline_executable_properties::Device,
    /// Kept loaded while the device exists.
    _entry: Entry,
}

#[expect(unsafe_code, reason = "Vulkan is unsafe")]
impl AbsentGpu {
    /// The GPU of the family, or why there is none.
    unsafe fn open() -> Result<AbsentGpu, String> {
        // SAFETY: see `compile_all`.
        unsafe {
            let entry = Entry::load().map_err(|e| e.to_string())?;
            let about = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
            let info = vk::InstanceCreateInfo::default().application_info(&about);
            let instance = entry
                .create_instance(&info, None)
                .map_err(|e| e.to_string())?;
            let all = instance
                .enumerate_physical_devices()
                .map_err(|e| e.to_string())?;
            let is_absent = |&gpu: &vk::PhysicalDevice| {
                let name = instance.get_physical_device_properties(gpu).device_name;
                CStr::from_ptr(name.as_ptr())
                    .to_string_lossy()
                    .starts_with("Null hardware")
            };
            let physical = all
                .into_iter()
                .find(is_absent)
                .ok_or("this Mesa takes only GPUs that are there")?;
            let queues = [vk::DeviceQueueCreateInfo::default().queue_priorities(&[1.0])];
            let extensions = [khr::pipeline_executable_properties::NAME.as_ptr()];
            let mut statistics =
                vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default()
                    .pipeline_executable_info(true);
            let mut newer =
                vk::PhysicalDeviceVulkan13Features::default().subgroup_size_control(true);
            let info = vk::DeviceCreateInfo::default()
                .queue_create_infos(&queues)
                .enabled_extension_names(&extensions)
                .push_next(&mut statistics)
                .push_next(&mut newer);
            let device = instance
                .create_device(physical, &info, None)
                .map_err(|e| e.to_string())?;
            let statistics = khr::pipeline_executable_properties::Device::new(&instance, &device);
            Ok(AbsentGpu {
                device,
                statistics,
                _entry: entry,
            })
        }
    }

    /// What `entry` needs, compiled as wgpu compiles unchecked kernels.
    unsafe fn compile(
        &self,
        module: &Module,
        info: &ModuleInfo,
        entry: &str,
    ) -> Result<Needs, String> {
        let options = spv::Options {
            lang_version: (1, 6),
            flags: spv::WriterFlags::empty(),
            zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
            force_loop_bounding: false,
            emit_int_div_checks: false,
            ..Default::default()
        };
        let pipeline = spv::PipelineOptions {
            shader_stage: ShaderStage::Compute,
            entry_point: entry.into(),
        };
        let words =
            spv::write_vec(module, info, &options, Some(&pipeline)).map_err(|e| e.to_string())?;
        // Only storage buffers have bindings.
        let storage = module
            .global_variables
            .iter()
            .filter_map(|(_, variable)| variable.binding.as_ref());
        let bindings: Vec<_> = storage
            .map(|at| {
                vk::DescriptorSetLayoutBinding::default()
                    .binding(at.binding)
                    .descriptor_count(1)
                    .descriptor_type(vk::DescriptorType::STORAGE_BUFFER)
                    .stage_flags(vk::ShaderStageFlags::COMPUTE)
            })
            .collect();
        let device = &self.device;
        let name = std::ffi::CString::new(entry).map_err(|e| e.to_string())?;
        // SAFETY: see `compile_all`.
        let made = || unsafe {
            let set = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
            let sets = [device.create_descriptor_set_layout(&set, None)?];
            let immediates = [vk::PushConstantRange::default()
                .stage_flags(vk::ShaderStageFlags::COMPUTE)
                .size(dbvq_wgpu::gpu::IMMEDIATE_BYTES)];
            let layout = vk::PipelineLayoutCreateInfo::default()
                .set_layouts(&sets)
                .push_constant_ranges(&immediates);
            let layout = device.create_pipeline_layout(&layout, None)?;
            let shader = device
                .create_shader_module(&vk::ShaderModuleCreateInfo::default().code(&words), None)?;
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .flags(vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE)
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(shader)
                .name(&name);
            let info = vk::ComputePipelineCreateInfo::default()
                .flags(vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR)
                .stage(stage)
                .layout(layout);
            let pipelines =
                device.create_compute_pipelines(vk::PipelineCache::null(), &[info], None);
            let pipeline = pipelines.map_err(|(_, error)| error)?[0];
            let executable = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
            self.statistics
                .get_pipeline_executable_statistics(&executable)
        };
        let statistics = made().map_err(|e| format!("no pipeline: {e}"))?;
        let number = |wanted: &str| {
            let named = |s: &&vk::PipelineExecutableStatisticKHR| {
                s.name_as_c_str()
                    .is_ok_and(|name| name.to_string_lossy() == wanted)
            };
            // SAFETY: all of the driver's counters are u64.
            let value = statistics
                .iter()
                .find(named)
                .map(|s| unsafe { s.value.u64 });
            value.ok_or_else(|| format!("the driver says nothing of '{wanted}'"))
        };
        Ok(Needs {
            registers: number("VGPRs")?,
            instructions: number("Instructions")?,
            shared: number("LDS size")?,
            spilled: number("Spilled VGPRs")?,
            scratch: number("Scratch size")?,
        })
    }
}
