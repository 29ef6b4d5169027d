//! The layers drawn in `src/lib.rs`: a module names only modules below it, and only its own tools.

use std::path::{Path, PathBuf};

/// From the top. A module in none of these layers is a leaf in [`LEAVES`].
const LAYERS: [&str; 10] = [
    "main",
    "commands",
    "conformance",
    "evaluate",
    "experiment",
    "models",
    "nn",
    "ops",
    "tensor",
    "gpu",
];
/// Leaves, with what each may use.
const LEAVES: [(&str, &[&str]); 8] = [
    ("bridge", &["error"]),
    ("config", &["bridge", "error"]),
    ("data", &["error", "philox"]),
    ("error", &[]),
    // Its tests draw from the toy.
    ("metrics", &["data", "philox"]),
    ("number", &[]),
    ("philox", &[]),
    ("report", &["error", "number"]),
];
/// What the conformance suite, which is compiled into the library, may use.
const SUITE: &[&str] = &[
    "ops",
    "tensor",
    "gpu",
    "bridge",
    "error",
    "number",
    "philox",
    "kernels_test",
];
/// What the prelude may re-export; `module` is a macro. Nothing in the crate uses the prelude.
const PRELUDE: &[&str] = &["nn", "ops", "tensor", "gpu", "error", "philox", "module"];
/// Modules that print messages to users.
const SPEAKERS: &[&str] = &[
    "main",
    "commands",
    "conformance",
    "evaluate",
    "experiment",
    "report",
];
/// Modules that measure or display time.
const CLOCKS: &[&str] = &[
    "commands",
    "conformance",
    "evaluate",
    "experiment",
    "report",
    // The profiler measures on the host if an adapter has no timestamps; the tuner measures as
    // users do.
    "gpu/profile.rs",
    "gpu/tuning.rs",
];
/// What is the engine: it knows no command line, so its messages name no flag.
const ENGINE: [&str; 6] = ["gpu", "tensor", "ops", "nn", "bridge", "philox"];
/// Words, with the modules or files that may contain them.
const TOOLS: [(&str, &[&str]); 10] = [
    ("wgpu::", &["gpu"]),
    ("ash::", &["gpu"]),
    (".dispatch(", &["ops", "tensor/tape.rs"]),
    // These panic if nobody reads the output; `say!` and `note!` go on.
    ("println!", &[]),
    ("eprintln!", &[]),
    ("print!", &[]),
    ("eprint!", &[]),
    ("say!", SPEAKERS),
    ("note!", SPEAKERS),
    ("Instant", CLOCKS),
];

fn may_use(from: &str, to: &str) -> bool {
    let height = |module: &str| LAYERS.iter().position(|&l| l == module);
    let leaf = LEAVES.iter().find(|(name, _)| *name == from);
    match (height(from), height(to), leaf) {
        _ if from == "kernels_test" => SUITE.contains(&to),
        _ if from == "prelude" => PRELUDE.contains(&to),
        // Only what runs the suite may name it; nothing else may depend on it.
        _ if to == "kernels_test" => ["commands", "conformance"].contains(&from),
        (Some(upper), Some(lower), _) => upper <= lower,
        // Of the leaves, `gpu` uses only `error`.
        (Some(_), None, _) => {
            LEAVES.iter().any(|(name, _)| *name == to) && (from != "gpu" || to == "error")
        }
        (None, _, Some((_, allowed))) => from == to || allowed.contains(&to),
        _ => false,
    }
}

/// Every layer violation in `text`, the content of `file` (its path below `src`).
fn violations(file: &str, text: &str) -> Vec<String> {
    let module = file.split(['/', '.']).next().unwrap_or_default();
    let top_level = !file.contains('/') || file.ends_with("/mod.rs");
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let mut breach = |what: String| found.push(format!("{file}:{}: {what}", number + 1));
        for prefix in ["crate::", "dbvq_wgpu::"] {
            for (to, nested) in paths(code, prefix) {
                if nested {
                    breach("names several modules in one path; write one line each".into());
                } else if !may_use(module, &to) {
                    breach(format!(
                        "`{module}` uses `{to}`, which does not stand below it"
                    ));
                }
            }
        }
        // In a file directly below `src`, `super` is the crate itself.
        for (to, _) in paths(code, "super::").into_iter().filter(|_| top_level) {
            let is_module =
                LAYERS.contains(&to.as_str()) || LEAVES.iter().any(|(name, _)| *name == to);
            if is_module && !may_use(module, &to) {
                breach(format!("`{module}` uses `{to}` through `super`"));
            }
        }
        let names_flag = code
            .match_indices(" --")
            .any(|(at, _)| code[at + 3..].starts_with(char::is_alphabetic));
        if ENGINE.contains(&module) && names_flag {
            breach("names a flag of the command line".into());
        }
        for (word, allowed) in TOOLS {
            let whole = code
                .match_indices(word)
                .any(|(at, _)| word.starts_with('.') || starts_word(code, at));
            if whole && !allowed.iter().any(|a| *a == module || *a == file) {
                breach(format!(
                    "says `{word}`, which belongs to {}",
                    allowed.join(", ")
                ));
            }
        }
    }
    found
}

/// What follows each `prefix` in `code`: a name, and whether a brace came instead.
fn paths(code: &str, prefix: &str) -> Vec<(String, bool)> {
    let after = code
        .match_indices(prefix)
        .filter(|&(at, _)| starts_word(code, at))
        .map(|(at, _)| &code[at..]);
    let name = |rest: &str| {
        rest[prefix.len()..]
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    after
        .map(|rest| (name(rest), rest[prefix.len()..].starts_with('{')))
        .collect()
}

fn starts_word(code: &str, at: usize) -> bool {
    !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn rust_files(dir: &Path, list: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("the source tree is readable") {
        let path = entry.expect("the source tree is readable").path();
        if path.is_dir() {
            rust_files(&path, list)
        } else if path.extension().is_some_and(|e| e == "rs") {
            list.push(path)
        }
    }
}

/// Violations in all files below `root`, whose paths get `prefix`.
fn tree(root: &str, prefix: &str) -> (usize, Vec<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    let check = |path: &PathBuf| {
        let name = path
            .strip_prefix(&root)
            .expect("it lies below")
            .to_string_lossy()
            .replace('\\', "/");
        violations(
            &format!("{prefix}{name}"),
            &std::fs::read_to_string(path).expect("a source file is readable"),
        )
    };
    (
        files.len(),
        files
            .iter()
            .filter(|path| !path.ends_with("src/lib.rs"))
            .flat_map(check)
            .collect(),
    )
}

#[test]
fn modules_use_only_what_stands_below_them() {
    let (files, found) = tree("src", "");
    assert!(files > 40, "only {files} files below src");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_conformance_suite_uses_ops_and_what_is_below() {
    // Only paths: the suite's own runner may print and wait as it likes.
    let (_, found) = tree("kernels_test", "kernels_test/");
    let found: Vec<_> = found.into_iter().filter(|f| f.contains(" uses ")).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_module_has_a_place() {
    let lib = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs"))
        .expect("it is there");
    for name in lib
        .lines()
        .filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';'))
    {
        let known = LAYERS.contains(&name)
            || LEAVES.iter().any(|(leaf, _)| *leaf == name)
            || ["kernels_test", "prelude"].contains(&name);
        assert!(
            known,
            "`{name}` stands in no layer; give it one in src/lib.rs and here"
        );
    }
}

#[test]
fn planted_violations_are_caught() {
    for (file, code) in [
        ("ops/matmul.rs", "use crate::models::toy::Toy;"),
        ("tensor/mod.rs", "fn f() { crate::ops::add(a, b) }"),
        ("gpu/memory.rs", "use crate::philox::Stream;"),
        ("bridge.rs", "use super::gpu::Gpu;"),
        ("philox.rs", "use crate::error::Error;"),
        ("nn/init.rs", "use crate::{experiment, tensor};"),
        ("nn/init.rs", "use crate::prelude::Tensor;"),
        ("gpu/mod.rs", "raise(\"choose another --adapter\")"),
        ("prelude.rs", "pub use crate::models::toy::Toy;"),
        ("ops/add.rs", "let d: wgpu::Device;"),
        ("nn/optim.rs", "gpu.dispatch(&SHADER)"),
        ("tensor/mod.rs", "gpu.dispatch(&SHADER)"),
        ("models/toy.rs", "    println!(\"here\");"),
        ("models/toy.rs", "    note!(\"here\");"),
        ("report/table.rs", "use crate::gpu::Gpu;"),
        ("experiment/train.rs", "use crate::commands::sample;"),
        ("commands.rs", "print!(\"{x}\");"),
        ("bridge/step.rs", "let t = std::time::Instant::now();"),
        ("kernels_test/real.rs", "use crate::nn::Module;"),
        ("ops/add.rs", "use crate::kernels_test::Real;"),
    ] {
        assert_eq!(
            violations(file, &format!("//! Head.\n{code}\n")).len(),
            1,
            "{file}: {code}"
        );
    }
    for (file, code) in [
        (
            "experiment/train.rs",
            "use crate::gpu::Gpu; // and crate::commands",
        ),
        ("experiment/train.rs", "note!(\"{:?}\", Instant::now());"),
        (
            "gpu/mod.rs",
            "use crate::error::Error; let d: wgpu::Device;",
        ),
        ("main.rs", "use dbvq_wgpu::commands::Cli;"),
        ("conformance.rs", "use crate::kernels_test::cases;"),
        ("tensor/tape.rs", "gpu.dispatch(&SHADER)"),
        ("ops/add.rs", "use super::grid; gpu.dispatch(&SHADER)"),
        (
            "config.rs",
            "use crate::bridge::Bridge; mod tests { use super::*; }",
        ),
        ("nn/init.rs", "/// See [`crate::experiment`]."),
    ] {
        assert_eq!(
            violations(file, code),
            Vec::<String>::new(),
            "{file}: {code}"
        );
    }
}
