//! WGSL files: resolves `#import` by appending, and finds bindings and parameters by reflection.

use std::collections::BTreeMap;

use naga::valid::{Capabilities, GlobalUse, ValidationFlags, Validator};

/// One WGSL file of `shaders/`, embedded in the program; made by [`shader!`](crate::gpu::shader).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shader {
    /// The file's stem, followed by the replacement for one of its imports, if any.
    pub name: &'static str,
    /// The file's text.
    pub source: &'static str,
    /// An imported file of `shaders/shared/`, and the file to use instead.
    pub instead: Option<(&'static str, &'static str)>,
}

/// `shader!("matmul")` is the [`Shader`] of `shaders/matmul.wgsl`; `shader!("matmul_tiled", tile:
/// "cooperative16")` that of a file which imports `tile`, with `shaders/shared/cooperative16.wgsl`
/// in its place.
#[macro_export]
macro_rules! shader {
    ($name:literal) => {
        $crate::gpu::Shader {
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
pub use shader;

/// `variants!("adam")` are the variants of `shaders/adam.wgsl`, which imports `fours`: one as
/// written and one with `quads`, for adapters that use the `lanes` kernels. `variants!("layout",
/// "ones")` adds a third with `ones`, for sizes that are not multiples of four.
#[macro_export]
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
pub use variants;

/// The files of `shaders/shared/`, which `#import` can append.
const SHARED: [(&str, &str); 25] = [
    (
        "attention",
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/shared/attention.wgsl"
        )),
    ),
    (
        "block",
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/shared/block.wgsl"
        )),
    ),
    (
        "code_law",
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/shared/code_law.wgsl"
        )),
    ),
    (
        "code_tile",
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/shared/code_tile.wgsl"
        )),
    ),
    (
        "conv",
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/shared/conv.wgsl"
        )),
    ),
    (
        "cooperative",
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/shared/cooperative.wgsl"
        )),
    ),
    (
        "cooperative8",
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/shared/cooperative8.wgsl"
        )),
    ),
    (
        "cooperative16",
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/shared/cooperative16.wgsl"
        )),
    ),
    (
        "fours",
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/shared/fours.wgsl"
        )),
    ),
    (
        "grid",
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/shared/grid.wgsl"
        )),
    ),
    (
        "group_walk",
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/shared/group_walk.wgsl"
        )),
    ),
    (
        "lanes",
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/shared/lanes.wgsl"
        )),
    ),
    (
        "accurate",
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/shared/accurate.wgsl"
        )),
    ),
    (
        "ones",
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/shared/ones.wgsl"
        )),
    ),
    (
        "pairs",
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/shared/pairs.wgsl"
        )),
    ),
    (
        "philox",
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/shared/philox.wgsl"
        )),
    ),
    (
        "nearer",
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/shared/nearer.wgsl"
        )),
    ),
    (
        "product",
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/shared/product.wgsl"
        )),
    ),
    (
        "quads",
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/shared/quads.wgsl"
        )),
    ),
    (
        "staging",
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/shared/staging.wgsl"
        )),
    ),
    (
        "tile",
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/shared/tile.wgsl"
        )),
    ),
    (
        "vec4s",
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/shared/vec4s.wgsl"
        )),
    ),
    (
        "winograd",
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/shared/winograd.wgsl"
        )),
    ),
    (
        "winograd_places",
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/shared/winograd_places.wgsl"
        )),
    ),
    (
        "winograd_transforms",
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/shaders/shared/winograd_transforms.wgsl"
        )),
    ),
];

impl Shader {
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
        let mut text = self.source.to_string();
        let mut done = Vec::new();
        let mut stands_in = self.instead.is_none();
        while let Some(at) = text.find("\n#import ") {
            let line = text[at + 1..]
                .lines()
                .next()
                .unwrap_or_default()
                .to_string();
            let name = line["#import ".len()..].trim();
            let instead = self.instead.filter(|(import, _)| *import == name);
            stands_in |= instead.is_some();
            let name = instead.map_or(name, |(_, instead)| instead);
            text.replace_range(at + 1..at + 8, "//mport");
            if !done.iter().any(|d| d == name) {
                let shared = SHARED.iter().find(|(n, _)| *n == name);
                let (_, shared) = shared
                    .unwrap_or_else(|| panic!("#import {name}: shaders/shared has no {name}.wgsl"));
                text.push('\n');
                text.push_str(shared);
                done.push(name.to_string());
            }
        }
        assert!(
            stands_in,
            "shaders/{}.wgsl does not import what {:?} says",
            self.stem(),
            self.instead
        );
        let mut enabled = String::new();
        while let Some(at) = text.find("\nenable ") {
            let line = text[at + 1..]
                .lines()
                .next()
                .unwrap_or_default()
                .to_string();
            enabled += &format!("{line} ");
            text.replace_range(at + 1..at + 1 + "enable".len(), "//able");
        }
        enabled + &text
    }
}

/// What reflection finds out about an entry point.
#[derive(Clone, Debug)]
pub struct EntryFacts {
    /// Bindings it uses, in ascending order: number, name, and whether it writes to it.
    pub bindings: Vec<(u32, String, bool)>,
    /// Bytes of its immediates; 0 if it uses none.
    pub immediates: u32,
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
    let path = format!("shaders/{}.wgsl", shader.stem());
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
                reflect(&module, info.get_entry_point(i)),
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
    }
}

/// An override constant: name and value.
pub type Override = (&'static str, u32);
