//! The structs passed from Rust to WGSL as immediates agree: the same fields at the same offsets
//! with the same types.
//!
//! A WGSL struct `X` corresponds to a `#[repr(C)]` struct `X` or `XParams` in the file that says
//! `shader!("stem")`, `variants!` or `tiled!`.

use std::collections::BTreeMap;
use std::path::Path;

use dbvq_wgpu::gpu::parse;
use dbvq_wgpu::ops;
use naga::{AddressSpace, Module, Scalar, ScalarKind, TypeInner};

/// 4-byte words in order: the field's path, and its type.
type Words = Vec<(String, &'static str)>;

fn scalar_name(scalar: Scalar) -> &'static str {
    match scalar.kind {
        ScalarKind::Uint => "u32",
        ScalarKind::Float => "f32",
        other => panic!("immediates have u32 and f32, not {other:?}"),
    }
}

/// Adds the words of a WGSL type at byte offset `at` to `words`, by their offset.
fn wgsl_words(
    module: &Module,
    ty: &TypeInner,
    path: &str,
    at: u32,
    words: &mut BTreeMap<u32, (String, &'static str)>,
) {
    match ty {
        TypeInner::Scalar(scalar) => {
            words.insert(at, (path.into(), scalar_name(*scalar)));
        }
        TypeInner::Vector { size, scalar } => {
            (0..*size as u32).for_each(|i| {
                drop(words.insert(at + 4 * i, (format!("{path}[{i}]"), scalar_name(*scalar))))
            });
        }
        TypeInner::Array {
            base,
            size: naga::ArraySize::Constant(count),
            stride,
        } => {
            for i in 0..count.get() {
                wgsl_words(
                    module,
                    &module.types[*base].inner,
                    &format!("{path}[{i}]"),
                    at + stride * i,
                    words,
                );
            }
        }
        TypeInner::Struct { members, .. } => {
            for member in members {
                let name = member.name.as_deref().expect("fields have names");
                let path = if path.is_empty() {
                    name.into()
                } else {
                    format!("{path}.{name}")
                };
                wgsl_words(
                    module,
                    &module.types[member.ty].inner,
                    &path,
                    at + member.offset,
                    words,
                );
            }
        }
        other => panic!("{path}: this test does not know {other:?}"),
    }
}

/// `ty`, with a constant of the file as an array length replaced by its value.
fn with_length(text: &str, ty: &str) -> String {
    let Some((base, count)) = ty.strip_suffix(']').and_then(|t| t.split_once("; ")) else {
        return ty.into();
    };
    let value = text
        .split_once(&format!("const {count}: usize = "))
        .and_then(|(_, rest)| rest.split_once(';'));
    format!("{base}; {}]", value.map_or(count, |(value, _)| value))
}

/// The `#[repr(C)]` structs of a Rust file, by name, with their fields.
fn structs(text: &str) -> BTreeMap<String, Vec<(String, String)>> {
    let mut found = BTreeMap::new();
    for part in text.split("#[repr(C)]").skip(1) {
        let (head, rest) = part.split_once('{').expect("a struct has a body");
        let name = head.split_whitespace().last().expect("a struct has a name");
        let body = rest.split_once('}').expect("a struct ends").0;
        let field = |line: &str| {
            let (name, ty) = line.trim().trim_end_matches(',').split_once(": ")?;
            Some((
                name.trim_start_matches("pub ").to_string(),
                with_length(text, ty),
            ))
        };
        assert!(
            found
                .insert(name.to_string(), body.lines().filter_map(field).collect())
                .is_none(),
            "two structs {name}"
        );
    }
    found
}

/// The words of Rust type `ty`, which consists of words only, so that `repr(C)` adds no padding.
fn rust_words(all: &BTreeMap<String, Vec<(String, String)>>, ty: &str, path: &str) -> Words {
    if let Some((base, count)) = ty
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']')?.split_once("; "))
    {
        let count: usize = count
            .parse()
            .expect("arrays of immediates have a written length");
        return (0..count)
            .flat_map(|i| rust_words(all, base, &format!("{path}[{i}]")))
            .collect();
    }
    if let Some(fields) = all.get(ty) {
        let inner = |name: &str| {
            if path.is_empty() {
                name.to_string()
            } else {
                format!("{path}.{name}")
            }
        };
        return fields
            .iter()
            .flat_map(|(name, ty)| rust_words(all, ty, &inner(name)))
            .collect();
    }
    let name = ["u32", "f32"].into_iter().find(|n| *n == ty);
    vec![(
        path.to_string(),
        name.unwrap_or_else(|| panic!("{path}: {ty} is no word nor a struct of words")),
    )]
}

/// What differs between a WGSL struct and its Rust counterpart.
fn compare(wgsl: &BTreeMap<u32, (String, &'static str)>, rust: &Words) -> Option<String> {
    for (at, (path, ty)) in rust.iter().enumerate() {
        let there = wgsl.get(&(4 * at as u32));
        let padding = path == "pad" || path.starts_with("pad[");
        if there.is_some() == padding || there.is_some_and(|(p, t)| (p, t) != (path, ty)) {
            return Some(format!(
                "at byte {}: `{path}: {ty}` in Rust, {there:?} in WGSL",
                4 * at
            ));
        }
    }
    wgsl.keys()
        .find(|&&at| at as usize >= 4 * rust.len())
        .map(|at| format!("at byte {at}: only in WGSL"))
}

fn source_files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let folder =
        |name: &str| std::fs::read_dir(root.join(name)).expect("the source tree is readable");
    let paths = folder("ops")
        .chain(folder("tensor"))
        .map(|entry| entry.expect("the source tree is readable").path());
    paths
        .filter(|path| path.is_file())
        .map(|path| (path.display().to_string(), with_folder(&path)))
        .collect()
}

/// The text of a file and of the files in its folder, if it has one.
fn with_folder(path: &Path) -> String {
    let text = |path: &Path| std::fs::read_to_string(path).expect("a source file is readable");
    let inside = std::fs::read_dir(path.with_extension("")).into_iter();
    let inside = inside.flatten().map(|entry| entry.expect("it is readable"));
    let inside: String = inside.map(|entry| text(&entry.path())).collect();
    text(path) + &inside
}

#[test]
fn immediates_are_the_same_on_both_sides() {
    let files = source_files();
    let shared = structs(
        &files
            .iter()
            .find(|(path, _)| path.ends_with("random.rs"))
            .expect("it is there")
            .1,
    );
    let mut wrong = Vec::new();
    let mut seen = 0;
    for shader in ops::shaders() {
        let says =
            ["shader", "variants", "tiled"].map(|with| format!("{with}!(\"{}\"", shader.stem()));
        let (path, text) = files
            .iter()
            .find(|(_, text)| says.iter().any(|s| text.contains(s)))
            .expect("an op dispatches every shader");
        let mut all = structs(text);
        all.extend(
            shared
                .clone()
                .into_iter()
                .filter(|(name, _)| name == "StreamWords"),
        );
        let parsed = parse(shader).unwrap_or_else(|e| panic!("{e}"));
        for (_, variable) in parsed
            .module
            .global_variables
            .iter()
            .filter(|(_, v)| v.space == AddressSpace::Immediate)
        {
            let ty = &parsed.module.types[variable.ty];
            let name = ty.name.clone().expect("immediates are a struct");
            let found = [name.clone(), format!("{name}Params")]
                .into_iter()
                .find(|n| all.contains_key(n));
            let Some(rust) = found else {
                wrong.push(format!(
                    "{path}: no #[repr(C)] struct {name} or {name}Params"
                ));
                continue;
            };
            let mut words = BTreeMap::new();
            wgsl_words(&parsed.module, &ty.inner, "", 0, &mut words);
            let differs = compare(&words, &rust_words(&all, &rust, ""));
            wrong.extend(differs.map(|what| {
                format!(
                    "{path}, {rust} and {name} of {}.wgsl: {what}",
                    shader.name()
                )
            }));
            seen += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 15, "only {seen} structs");
}

#[test]
fn disagreements_are_found() {
    let rust = |body: &str| {
        let all = structs(&format!("#[repr(C)]\nstruct P {{\n{body}\n}}"));
        rust_words(&all, "P", "")
    };
    let wgsl = BTreeMap::from([
        (0, ("n".to_string(), "u32")),
        (4, ("eps".to_string(), "f32")),
    ]);
    assert_eq!(compare(&wgsl, &rust("n: u32,\neps: f32,")), None);
    assert_eq!(
        compare(&wgsl, &rust("n: u32,\neps: f32,\npad: [u32; 2],")),
        None
    );
    for body in [
        "eps: f32,\nn: u32,",
        "n: u32,\nepsilon: f32,",
        "n: f32,\neps: f32,",
        "n: u32,",
        "n: u32,\neps: f32,\nk: u32,",
    ] {
        assert!(compare(&wgsl, &rust(body)).is_some(), "{body}");
    }
}
