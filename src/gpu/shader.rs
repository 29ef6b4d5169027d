//! WGSL files: resolves `#import` by appending, and finds bindings and parameters by reflection.

use std::collections::{BTreeMap, VecDeque};

use naga::valid::{Capabilities, GlobalUse, ValidationFlags, Validator};

/// One WGSL file of `shaders/`, embedded in the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shader {
    /// The file's stem, followed by the replacement for one of its imports, if any.
    pub(crate) name: &'static str,
    /// The file's text.
    pub(crate) source: &'static str,
    /// An imported file of `shaders/shared/`, and the file to use instead.
    pub(crate) instead: Option<(&'static str, &'static str)>,
    /// Who answers for what it accesses.
    pub(crate) origin: Origin,
}

/// Who answers for what a shader accesses, and so whether it runs with run-time checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// This crate: the conformance suite shows that it stays inside its bindings.
    BuiltIn,
    /// Nobody: it always runs with WebGPU's checks.
    Foreign,
    /// A caller of an `unsafe` function.
    Trusted,
}

/// `shader!("matmul")` is the [`Shader`] of `shaders/matmul.wgsl`; `shader!("matmul_tiled", tile:
/// "cooperative16")` that of a file which imports `tile`, with `shaders/shared/cooperative16.wgsl`
/// in its place.
macro_rules! shader {
    ($name:literal) => {
        $crate::gpu::Shader {
            origin: $crate::gpu::Origin::BuiltIn,
            name: $name,
            source: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/shaders/",
                $name,
                ".wgsl"
            )),
            instead: None,
        }
    };
    ($name:literal, $import:ident: $instead:literal) => {
        $crate::gpu::Shader {
            origin: $crate::gpu::Origin::BuiltIn,
            name: concat!($name, " ", $instead),
            source: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/shaders/",
                $name,
                ".wgsl"
            )),
            instead: Some((stringify!($import), $instead)),
        }
    };
}
pub(crate) use shader;

/// `variants!("adam")` are the variants of `shaders/adam.wgsl`, which imports `fours`: one as
/// written and one with `quads`, for adapters that use the `lanes` kernels. `variants!("layout",
/// "ones")` adds a third with `ones`, for sizes that are not multiples of four.
macro_rules! variants {
    ($name:literal) => {
        [$crate::gpu::shader!($name), $crate::gpu::shader!($name, fours: "quads")]
    };
    ($name:literal, $each:literal) => {
        [
            $crate::gpu::shader!($name),
            $crate::gpu::shader!($name, fours: "quads"),
            $crate::gpu::shader!($name, fours: $each),
        ]
    };
}
pub(crate) use variants;

/// A list of files of `shaders/shared/`: (name, text).
macro_rules! shared {
    ($($name:literal,)*) => {
        &[$((
            $name,
            include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/shaders/shared/",
                $name,
                ".wgsl"
            )),
        )),*]
    };
}

/// The files of `shaders/shared/`, which `#import` can append.
const SHARED: &[(&str, &str)] = shared![
    "attention",
    "block",
    "code_law",
    "code_tile",
    "conv",
    "cooperative",
    "cooperative8",
    "cooperative16",
    "fours",
    "grid",
    "group_walk",
    "lanes",
    "accurate",
    "ones",
    "pairs",
    "philox",
    "nearer",
    "product",
    "quads",
    "staging",
    "tile",
    "vec4s",
    "winograd",
    "winograd_places",
    "winograd_transforms",
];

impl Shader {
    /// The file's stem, followed by the replacement for one of its imports, if any.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The file's text, without its imports.
    pub fn source(&self) -> &'static str {
        self.source
    }

    /// An imported file of `shaders/shared/`, and the file that is used instead.
    pub fn instead(&self) -> Option<(&'static str, &'static str)> {
        self.instead
    }

    /// This shader with another text, for tests that break a kernel on purpose; see
    /// [`GpuOptions::stand_ins`](super::GpuOptions::stand_ins).
    ///
    /// # Safety
    /// The kernel runs without run-time checks: the text must not access memory outside of its
    /// bindings nor loop without end, unless the device was opened with `driver_checks` or
    /// `checked`.
    #[expect(
        unsafe_code,
        reason = "unchecked WGSL can access any memory of the process on CPU drivers"
    )]
    pub unsafe fn with_source(&self, source: String) -> Shader {
        let imports = |name: &str| source.lines().any(|line| line == format!("#import {name}"));
        let instead = self.instead.filter(|(import, _)| imports(import));
        Shader {
            source: Box::leak(source.into_boxed_str()),
            instead,
            ..self.clone()
        }
    }

    /// The file's stem.
    pub fn stem(&self) -> &'static str {
        self.name.split(' ').next().unwrap_or(self.name)
    }

    /// The text, with `#import NAME` lines turned into comments and the named files (and their
    /// imports) appended once each, so that line numbers stay those of the file. Their `enable`
    /// directives move to the front, where WGSL requires them.
    ///
    /// # Panics
    /// If an imported file is not in `shaders/shared`, or the import to be replaced does not occur.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut enabled = String::new();
        let mut imported: Vec<&str> = Vec::new();
        let mut replaced = false;
        let mut files = VecDeque::from([self.source]);
        while let Some(file) = files.pop_front() {
            for line in file.lines() {
                if let Some(name) = line.strip_prefix("#import ") {
                    let instead = self.instead.filter(|(import, _)| *import == name.trim());
                    replaced |= instead.is_some();
                    let name = instead.map_or(name.trim(), |(_, instead)| instead);
                    if !imported.contains(&name) {
                        files.push_back(shared(name));
                        imported.push(name);
                    }
                    text += "// ";
                } else if line.starts_with("enable ") {
                    enabled += &format!("{line} ");
                    text += "// ";
                }
                text += line;
                text += "\n";
            }
        }
        assert!(
            replaced || self.instead.is_none(),
            "shaders/{}.wgsl does not import what {:?} says",
            self.stem(),
            self.instead
        );
        enabled + &text
    }
}

/// The text of the shared file `name`.
fn shared(name: &str) -> &'static str {
    let file = SHARED.iter().find(|(known, _)| *known == name);
    let (_, text) =
        file.unwrap_or_else(|| panic!("#import {name}: shaders/shared has no {name}.wgsl"));
    text
}

/// What reflection finds out about an entry point.
#[derive(Clone, Debug)]
pub struct EntryFacts {
    /// Bindings it uses, in ascending order: number, name, and whether it writes to it.
    pub bindings: Vec<(u32, String, bool)>,
    /// Bytes of its immediates; 0 if it uses none.
    pub immediates: u32,
    /// Invocations of a workgroup in each dimension.
    pub workgroup: [u32; 3],
}

/// A shader file parsed, validated and reflected.
pub struct Parsed {
    /// naga's form of the file.
    pub module: naga::Module,
    /// naga's validation result.
    pub info: naga::valid::ModuleInfo,
    /// Facts of each entry point.
    pub entries: BTreeMap<String, EntryFacts>,
}

/// Parses and validates `shader` with its imports resolved. Needs no device.
///
/// # Errors
/// naga's message with file, line and column.
pub fn parse(shader: &Shader) -> Result<Parsed, String> {
    let text = shader.text();
    let path = match shader.origin {
        Origin::BuiltIn => format!("shaders/{}.wgsl", shader.stem()),
        Origin::Foreign | Origin::Trusted => "WGSL".to_string(),
    };
    let module = naga::front::wgsl::parse_str(&text)
        .map_err(|e| e.emit_to_string_with_path(&text, &path))?;
    // Only a probe uses packed f16; no kernel needs it. The other capabilities are those of kernels
    // that only some adapters run.
    let only_some = Capabilities::SUBGROUP
        | Capabilities::SHADER_INT64
        | Capabilities::SHADER_FLOAT16
        | Capabilities::COOPERATIVE_MATRIX;
    let capabilities =
        Capabilities::IMMEDIATES | Capabilities::SHADER_FLOAT16_IN_FLOAT32 | only_some;
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|e| e.emit_to_string_with_path(&text, &path))?;
    let entries = (0..module.entry_points.len())
        .map(|i| {
            (
                module.entry_points[i].name.clone(),
                EntryFacts {
                    workgroup: module.entry_points[i].workgroup_size,
                    ..reflect(&module, info.get_entry_point(i))
                },
            )
        })
        .collect();
    Ok(Parsed {
        module,
        info,
        entries,
    })
}

fn reflect(module: &naga::Module, info: &naga::valid::FunctionInfo) -> EntryFacts {
    let mut bindings = Vec::new();
    let mut immediates = 0;
    for (handle, variable) in module.global_variables.iter() {
        let used = info[handle];
        if used.is_empty() {
            continue;
        }
        if let Some(binding) = &variable.binding {
            let writes = used.intersects(GlobalUse::WRITE | GlobalUse::ATOMIC);
            bindings.push((
                binding.binding,
                variable.name.clone().unwrap_or_default(),
                writes,
            ));
        } else if variable.space == naga::AddressSpace::Immediate {
            immediates = module.types[variable.ty].inner.size(module.to_ctx());
        }
    }
    bindings.sort();
    EntryFacts {
        bindings,
        immediates,
        workgroup: [1; 3],
    }
}

/// An override constant: name and value.
pub type Override = (&'static str, u32);
