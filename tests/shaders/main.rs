//! All shaders without a device: they parse, fit WebGPU's default limits, and every entry point
//! with every value of its overrides translates to SPIR-V (checked by `spirv-val` where installed),
//! MSL, HLSL and GLSL, and by AMD's compiler.

#[cfg(target_os = "linux")]
mod amd;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use dbvq_wgpu::gpu::{COOPERATIVE_BYTES, EntryFacts, IMMEDIATE_BYTES, Parsed, Shader, parse};
use dbvq_wgpu::kernels_test::probes;
use dbvq_wgpu::ops;
use naga::back::{glsl, hlsl, msl, pipeline_constants::process_overrides, spv};
use naga::valid::ModuleInfo;
use naga::{AddressSpace, Module, ShaderStage};

/// Parts of the names of shaders that load two numbers as a 64-bit integer, which only CPU drivers
/// under Vulkan run, and what naga says of those in GLSL.
const WORDS: [&str; 3] = ["_lanes", " pairs", " quads"];
const NO_WORDS: &str = "unsupported width was requested: Scalar { kind: Uint, width: 8 }";
/// Part of the names of shaders on cooperative matrices, which run only under Vulkan.
const MATRICES: &str = " cooperative";
/// Printed by versions of spirv-val that do not know them yet (before 2023.4).
const TOO_OLD: &str = "Invalid capability operand: 6022";

fn all() -> Vec<(&'static Shader, Parsed)> {
    let shaders = ops::shaders()
        .into_iter()
        .chain([&probes::SHADER, &probes::HALVES]);
    shaders
        .map(|s| (s, parse(s).unwrap_or_else(|e| panic!("{e}"))))
        .collect()
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders")
}

fn stems(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).expect("the shaders are readable");
    let paths = entries.map(|e| e.expect("the shaders are readable").path());
    let wgsl = paths.filter(|p| p.extension().is_some_and(|e| e == "wgsl"));
    wgsl.map(|p| {
        p.file_stem()
            .expect("it has a name")
            .to_string_lossy()
            .into_owned()
    })
    .collect()
}

#[test]
fn every_file_is_listed_once() {
    let names: Vec<&str> = ops::shaders().iter().map(|s| s.name()).collect();
    let listed: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(
        listed.len(),
        names.len(),
        "a shader is listed twice in ops::shaders(): {names:?}"
    );
    let files: BTreeSet<String> = ops::shaders()
        .iter()
        .map(|s| s.stem().to_string())
        .collect();
    assert_eq!(files, stems(&folder()), "ops::shaders() and shaders/*.wgsl");
}

#[test]
fn every_shared_file_is_imported() {
    let shared = folder().join("shared");
    let texts: Vec<String> = ops::shaders()
        .iter()
        .map(|s| s.source().to_string())
        .chain(
            stems(&shared)
                .iter()
                .map(|s| std::fs::read_to_string(shared.join(s).with_extension("wgsl")).expect(s)),
        )
        .collect();
    for stem in stems(&shared) {
        let line = format!("#import {stem}");
        let imported = texts.iter().any(|t| t.lines().any(|l| l == line))
            || ops::shaders()
                .iter()
                .any(|s| s.instead().is_some_and(|(_, instead)| instead == stem));
        assert!(imported, "shaders/shared/{stem}.wgsl: nobody imports it");
    }
}

#[test]
fn every_file_has_a_head_and_every_binding_its_shape() {
    let mut wrong = Vec::new();
    for shader in ops::shaders() {
        if !shader.source().starts_with("//! ") {
            wrong.push(format!("shaders/{}.wgsl: no head", shader.name()));
        }
        for (number, line) in shader.source().lines().enumerate() {
            if line.contains("var<storage") && !has_shape(line) {
                wrong.push(format!(
                    "shaders/{}.wgsl:{}: no shape behind `{line}`",
                    shader.name(),
                    number + 1
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!has_shape(
        "@group(0) @binding(0) var<storage, read> x: array<f32>;"
    ));
    assert!(has_shape(
        "@group(0) @binding(0) var<storage, read> x: array<f32>; // [n, c]"
    ));
}

/// A comment with a shape in brackets, or one that refers to another binding's shape (`as z`).
fn has_shape(line: &str) -> bool {
    line.split_once("; // ")
        .is_some_and(|(_, comment)| comment.contains('[') || comment.starts_with("as "))
}

#[test]
fn every_entry_point_fits_default_limits() {
    let mut entries = 0;
    for (shader, parsed) in all() {
        for entry in &parsed.module.entry_points {
            let name = format!("shaders/{}.wgsl, {}", shader.name(), entry.name);
            let facts: &EntryFacts = &parsed.entries[&entry.name];
            assert_eq!(entry.stage, ShaderStage::Compute, "{name}");
            assert!(
                facts.bindings.len() <= 8,
                "{name}: {} storage buffers",
                facts.bindings.len()
            );
            assert!(
                facts.immediates <= IMMEDIATE_BYTES,
                "{name}: {} bytes of immediates",
                facts.immediates
            );
            entries += 1;
        }
        for (_, variable) in parsed.module.global_variables.iter() {
            assert!(
                !matches!(variable.space, AddressSpace::Uniform),
                "shaders/{}.wgsl: a uniform buffer",
                shader.name()
            );
            assert!(
                variable.binding.as_ref().is_none_or(|b| b.group == 0),
                "shaders/{}.wgsl: a group",
                shader.name()
            );
        }
    }
    assert!(entries > 30, "only {entries} entry points");
    each_variant(|module, info, entry, name| {
        let most = if name.contains(MATRICES) {
            COOPERATIVE_BYTES
        } else {
            16 << 10
        };
        let at = module
            .entry_points
            .iter()
            .position(|e| e.name == entry)
            .expect("it is one of the module's");
        let [x, y, z] = module.entry_points[at].workgroup_size;
        let bytes = workgroup_bytes(module, info, at);
        let fits = x * y * z <= 256 && x <= 256 && y <= 256 && z <= 64 && bytes <= most;
        if fits {
            Ok(())
        } else {
            Err(format!(
                "workgroup {x} x {y} x {z}, {bytes} bytes of workgroup memory"
            ))
        }
    });
}

fn workgroup_bytes(module: &Module, info: &ModuleInfo, entry: usize) -> u32 {
    let used =
        |(handle, variable): &(naga::Handle<naga::GlobalVariable>, &naga::GlobalVariable)| {
            variable.space == AddressSpace::WorkGroup
                && !info.get_entry_point(entry)[*handle].is_empty()
        };
    let size = |(_, v): (_, &naga::GlobalVariable)| module.types[v.ty].inner.size(module.to_ctx());
    module.global_variables.iter().filter(used).map(size).sum()
}

/// Every combination of values of the overrides of `module`.
fn variants(module: &Module, shader: &str) -> Vec<Vec<(String, f64)>> {
    let mut all = vec![Vec::new()];
    for (_, constant) in module.overrides.iter() {
        // Unnamed ones are expressions of others, such as array sizes.
        let Some(name) = constant.name.clone() else {
            continue;
        };
        let boolean = module.types[constant.ty].inner.scalar_kind() == Some(naga::ScalarKind::Bool);
        let values = match name.as_str() {
            _ if boolean => vec![0, 1],
            "OP" => (0..10).collect(),
            "LAW" => (0..3).collect(),
            "ROWS" | "COLUMNS" => vec![8, 16],
            "SIDE" => vec![4, 8],
            "DOWN" => vec![2, 4],
            "ACROSS" => vec![1, 2],
            "SUBGROUP" if shader.ends_with("cooperative8") => vec![8, 32, 64],
            "SUBGROUP" => vec![32, 64],
            _ => panic!("shaders/{shader}.wgsl: override {name} is new; tell this test its values"),
        };
        let with = |set: &Vec<(String, f64)>, v: i32| {
            [set.as_slice(), &[(name.clone(), f64::from(v))]].concat()
        };
        all = all
            .iter()
            .flat_map(|set| values.iter().map(move |&v| (set, v)))
            .map(|(s, v)| with(s, v))
            .collect();
    }
    // Tiles are square.
    let value = |set: &[(String, f64)], wanted: &str| {
        set.iter().find(|(name, _)| name == wanted).map(|(_, v)| *v)
    };
    all.retain(|set| value(set, "ROWS") == value(set, "COLUMNS"));
    let number = |set: &[(String, f64)], wanted: &str| value(set, wanted).unwrap_or(1.0);
    all.retain(|set| {
        number(set, "DOWN") * number(set, "ACROSS") * number(set, "SUBGROUP") <= 256.0
    });
    // At most one of the two operands is a gradient.
    let both = |set: &[(String, f64)]| {
        ["LEFT_GRADIENT", "RIGHT_GRADIENT"]
            .iter()
            .all(|name| value(set, name) == Some(1.0))
    };
    all.retain(|set| !both(set));
    all
}

/// Calls `f` with every entry point at every value of its overrides, and a name for messages; fails
/// with everything that `f` reports.
fn each_variant(mut f: impl FnMut(&Module, &ModuleInfo, &str, &str) -> Result<(), String>) {
    let mut wrong = Vec::new();
    for (shader, parsed) in all() {
        for entry in parsed.entries.keys() {
            for set in variants(&parsed.module, shader.name()) {
                let name = format!("shaders/{}.wgsl, {entry} {set:?}", shader.name());
                let which = Some((ShaderStage::Compute, entry.as_str()));
                let constants = set.into_iter().collect();
                let (module, info) =
                    process_overrides(&parsed.module, &parsed.info, which, &constants)
                        .unwrap_or_else(|e| panic!("{name}: {e}"));
                wrong.extend(
                    f(&module, &info, entry, &name)
                        .err()
                        .map(|what| format!("{name}: {what}")),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// As [`each_variant`], without the Vulkan-only ones.
fn each_portable_variant(f: impl Fn(&Module, &ModuleInfo, &str, &str) -> Result<(), String>) {
    each_variant(|module, info, entry, name| {
        if name.contains(MATRICES) {
            Ok(())
        } else {
            f(module, info, entry, name)
        }
    });
}

#[test]
fn translates_to_spirv() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("shader.spv");
    let validates = Command::new("spirv-val").arg("--version").output().is_ok();
    if !validates {
        eprintln!(
            "spirv-val is not installed: SPIR-V is written, but not checked by a second program"
        );
    }
    let mut seen = BTreeSet::new();
    each_variant(|module, info, entry, name| {
        let (version, target) = if name.contains(MATRICES) {
            ((1, 6), "vulkan1.3")
        } else {
            ((1, 3), "vulkan1.1")
        };
        let options = spv::Options {
            lang_version: version,
            flags: spv::WriterFlags::empty(),
            ..Default::default()
        };
        let pipeline = spv::PipelineOptions {
            shader_stage: ShaderStage::Compute,
            entry_point: entry.to_string(),
        };
        let words =
            spv::write_vec(module, info, &options, Some(&pipeline)).map_err(|e| e.to_string())?;
        if !validates || !seen.insert(words.clone()) {
            return Ok(());
        }
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        std::fs::write(&file, bytes).expect("a temporary file");
        let checked = Command::new("spirv-val")
            .args(["--target-env", target])
            .arg(&file)
            .output();
        let checked = checked.expect("spirv-val starts");
        let said = String::from_utf8_lossy(&checked.stdout).into_owned()
            + &String::from_utf8_lossy(&checked.stderr);
        let too_old = name.contains(MATRICES) && said.contains(TOO_OLD);
        if checked.status.success() || too_old {
            Ok(())
        } else {
            Err(said)
        }
    });
    assert!(!validates || seen.len() > 30, "only {} modules", seen.len());
}

#[test]
fn translates_to_msl() {
    let options = msl::Options {
        lang_version: (2, 0),
        ..Default::default()
    };
    each_portable_variant(|module, info, entry, _| {
        let which = Some((ShaderStage::Compute, entry.to_string()));
        let pipeline = msl::PipelineOptions {
            entry_point: which,
            ..Default::default()
        };
        let (text, facts) =
            msl::write_string(module, info, &options, &pipeline).map_err(|e| e.to_string())?;
        let missing = facts.entry_point_names.into_iter().find_map(Result::err);
        assert!(missing.is_some() || text.contains("kernel void"), "{text}");
        missing.map_or(Ok(()), |e| Err(e.to_string()))
    });
}

#[test]
fn translates_to_hlsl() {
    // Immediates are root constants, in a register space of their own as in wgpu.
    let immediates = hlsl::BindTarget {
        space: 255,
        register: 0,
        ..Default::default()
    };
    let options = hlsl::Options {
        immediates_target: Some(immediates),
        ..Default::default()
    };
    each_portable_variant(|module, info, entry, _| {
        let pipeline = hlsl::PipelineOptions {
            entry_point: Some((ShaderStage::Compute, entry.to_string())),
        };
        let mut text = String::new();
        let written = hlsl::Writer::new(&mut text, &options, &pipeline).write(module, info, None);
        let missing = written
            .map_err(|e| e.to_string())?
            .entry_point_names
            .into_iter()
            .find_map(Result::err);
        assert!(missing.is_some() || text.contains("numthreads"), "{text}");
        missing.map_or(Ok(()), |e| Err(e.to_string()))
    });
}

#[test]
fn translates_to_glsl() {
    // Immediates become one plain uniform, so an entry point may use only one of them.
    let options = glsl::Options::default();
    each_portable_variant(|module, info, entry, name| {
        let has_words = WORDS.iter().any(|words| {
            name.split(".wgsl")
                .next()
                .is_some_and(|stem| stem.ends_with(words))
        });
        let stage = ShaderStage::Compute;
        let pipeline = glsl::PipelineOptions {
            shader_stage: stage,
            entry_point: entry.to_string(),
            multiview: None,
        };
        let mut text = String::new();
        let policies = naga::proc::BoundsCheckPolicies::default();
        let written = glsl::Writer::new(&mut text, module, info, &options, &pipeline, policies)
            .and_then(|mut w| w.write());
        match written {
            Ok(_) if text.contains("void main()") => Ok(()),
            Ok(_) => Err(format!("no main in {text}")),
            Err(e) if has_words && e.to_string().contains(NO_WORDS) => Ok(()),
            Err(e) => Err(e.to_string()),
        }
    });
}
