//! Opens Vulkan devices whose drivers do not check buffer bounds.
//!
//! wgpu enables `robustBufferAccess` on every device, as WebGPU requires. Drivers that check in the
//! shader lose time to it: on SwiftShader a product takes twice as long, and NVK splits each vec4
//! load into four, with a comparison each. Kernels that run unchecked need none of that.

use std::ffi::CStr;

use ash::vk;
use wgpu::hal::api::Vulkan;
use wgpu::hal::{OpenDevice, vulkan};

/// Opens `adapter` without robust buffer access, only for kernels without run-time checks, since
/// wgpu leaves buffer bounds to the driver. `None` if that fails, if the adapter is not Vulkan's,
/// or if it offers less than is `wanted`; wgpu then reports what is missing.
#[expect(
    unsafe_code,
    reason = "wgpu has no way to leave the checks out but through Vulkan itself, whose functions are unsafe"
)]
pub(super) fn open(
    adapter: &wgpu::Adapter,
    wanted: &wgpu::DeviceDescriptor,
) -> Option<(wgpu::Device, wgpu::Queue)> {
    if !wanted.required_limits.check_limits(&adapter.limits()) {
        return None;
    }
    // SAFETY: the device is this adapter's, with the features of `wanted`; nothing else has it.
    unsafe {
        let opened = device(&*adapter.as_hal::<Vulkan>()?, wanted)?;
        adapter.create_device_from_hal(opened, wanted).ok()
    }
}

/// The device that wgpu would create, without robust buffer access.
#[expect(unsafe_code, reason = "see `open`")]
unsafe fn device(
    adapter: &vulkan::Adapter,
    wanted: &wgpu::DeviceDescriptor,
) -> Option<OpenDevice<Vulkan>> {
    let features = wanted.required_features;
    let family = 0;
    let mut extensions = adapter.required_device_extensions(features);
    extensions.retain(|name| *name != ash::ext::robustness2::NAME);
    let mut offered = adapter.physical_device_features(&extensions, features);
    let core = offered.get_core().robust_buffer_access(false);
    let names: Vec<_> = extensions.iter().copied().map(CStr::as_ptr).collect();
    let queues = [vk::DeviceQueueCreateInfo::default()
        .queue_family_index(family)
        .queue_priorities(&[1.0])];
    let info = vk::DeviceCreateInfo::default()
        .queue_create_infos(&queues)
        .enabled_extension_names(&names);
    let info = offered.add_to_device_create(info).enabled_features(&core);
    let physical = adapter.raw_physical_device();
    let hints = &wanted.memory_hints;
    // SAFETY: everything that `info` points to is alive. Of what `device_from_raw` expects, only
    // robust access and its extension are missing, on which only modules with run-time checks rely.
    unsafe {
        let raw = adapter
            .shared_instance()
            .raw_instance()
            .create_device(physical, &info, None)
            .ok()?;
        adapter
            .device_from_raw(
                raw,
                None,
                &extensions,
                features,
                &wanted.required_limits,
                hints,
                family,
                0,
            )
            .ok()
    }
}
