//! Records which kernels ran, to track down a driver's fault in one of them.

use super::{Gpu, Override, Shader, parse};

/// A dispatched kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// The shader; if a test replaced it, the replacement.
    pub shader: Shader,
    /// Its entry point.
    pub entry: &'static str,
    /// Its override constants.
    pub overrides: Vec<Override>,
    /// Workgroups of the first dispatch.
    pub groups: [u32; 3],
}

impl Launch {
    fn is(&self, other: &Launch) -> bool {
        (self.shader.name, self.entry, &self.overrides)
            == (other.shader.name, other.entry, &other.overrides)
    }

    /// `conv2d/forward (BIAS 1, WIDE 0)`.
    pub fn label(&self) -> String {
        let constants: Vec<String> = self
            .overrides
            .iter()
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        let constants = if constants.is_empty() {
            String::new()
        } else {
            format!(" ({})", constants.join(", "))
        };
        format!("{}/{}{constants}", self.shader.name, self.entry)
    }

    /// Its WGSL with imports resolved.
    pub fn wgsl(&self) -> String {
        self.shader.text()
    }

    /// Its SPIR-V, as naga generates it for Vulkan 1.1 with these constants; `None` on systems
    /// without Vulkan.
    ///
    /// # Errors
    /// naga's message.
    #[cfg(any(windows, target_os = "linux", target_os = "android"))]
    pub fn spirv(&self, checked: bool) -> Result<Option<Vec<u8>>, String> {
        use naga::back::{pipeline_constants::process_overrides, spv};
        use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
        let parsed = parse(&self.shader)?;
        let constants = self
            .overrides
            .iter()
            .map(|&(name, value)| (name.to_string(), f64::from(value)))
            .collect();
        let stage = naga::ShaderStage::Compute;
        let (module, info) = process_overrides(
            &parsed.module,
            &parsed.info,
            Some((stage, self.entry)),
            &constants,
        )
        .map_err(|e| e.to_string())?;
        let policy = if checked {
            BoundsCheckPolicy::Restrict
        } else {
            BoundsCheckPolicy::Unchecked
        };
        let bounds_check_policies = BoundsCheckPolicies {
            index: policy,
            buffer: policy,
            ..Default::default()
        };
        let options = spv::Options {
            lang_version: (1, 3),
            bounds_check_policies,
            force_loop_bounding: checked,
            ..Default::default()
        };
        let chosen = spv::PipelineOptions {
            shader_stage: stage,
            entry_point: self.entry.into(),
        };
        let words =
            spv::write_vec(&module, &info, &options, Some(&chosen)).map_err(|e| e.to_string())?;
        Ok(Some(words.into_iter().flat_map(u32::to_le_bytes).collect()))
    }

    /// `None`: this system has no Vulkan.
    ///
    /// # Errors
    /// naga's message if the WGSL is invalid.
    #[cfg(not(any(windows, target_os = "linux", target_os = "android")))]
    pub fn spirv(&self, _checked: bool) -> Result<Option<Vec<u8>>, String> {
        parse(&self.shader).map(|_| None)
    }
}

impl Gpu {
    /// Runs `f` and returns the kernels it dispatched, each once, in the order of their first
    /// dispatch.
    pub fn launches<R>(&self, f: impl FnOnce() -> R) -> (R, Vec<Launch>) {
        let before = self.0.launches.replace(Some(Vec::new()));
        let result = f();
        (result, self.0.launches.replace(before).unwrap_or_default())
    }

    /// Notes a dispatch if [`Gpu::launches`] is listening.
    pub(super) fn note_launch(
        &self,
        shader: &'static Shader,
        entry: &'static str,
        overrides: &[Override],
        groups: [u32; 3],
    ) {
        if let Some(list) = &mut *self.0.launches.borrow_mut() {
            let shader = self.0.kernels.borrow().standing_for(shader);
            let launch = Launch {
                shader,
                entry,
                overrides: overrides.to_vec(),
                groups,
            };
            if !list.iter().any(|known| known.is(&launch)) {
                list.push(launch);
            }
        }
    }
}
