//! No file of `src` or `kernels_test` depends on itself through others. A folder's own front
//! (`mod.rs`, or the file with its name) and the files inside it may use each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{ItemMod, ItemUse, UseTree};

/// A module's path, from below the crate.
type Module = Vec<String>;

/// Paths that the files of the crate use.
#[derive(Default)]
struct Crate {
    /// The modules that have a file.
    modules: BTreeSet<Module>,
    /// What each module imports, by its local name.
    imports: BTreeMap<Module, BTreeMap<String, Module>>,
    /// The paths that each module names.
    named: BTreeMap<Module, Vec<Module>>,
}

/// Collects the paths in one file, except in its unit tests.
struct Reader<'a> {
    module: &'a Module,
    modules: &'a BTreeSet<Module>,
    /// Inline modules around the item being read.
    inside: Module,
    imports: BTreeMap<String, Module>,
    named: Vec<Module>,
}

impl Reader<'_> {
    /// The path from the crate root; `None` if it begins at an import, a prelude or another crate.
    fn absolute(&self, path: &[String]) -> Option<Module> {
        let here = [self.module.as_slice(), &self.inside].concat();
        let first = path.first()?.as_str();
        match first {
            "crate" | "dbvq_wgpu" => Some(path[1..].to_vec()),
            "self" => Some([here.as_slice(), &path[1..]].concat()),
            "super" => {
                let up = path.iter().take_while(|part| *part == "super").count();
                let kept = here.len().checked_sub(up)?;
                Some([&here[..kept], &path[up..]].concat())
            }
            _ => {
                let child = [self.module.as_slice(), &path[..1]].concat();
                let is_child = self.modules.contains(&child);
                is_child.then(|| [self.module.as_slice(), path].concat())
            }
        }
    }

    fn import(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &with(&path.ident)),
            UseTree::Group(group) => {
                for item in &group.items {
                    self.import(item, before);
                }
            }
            UseTree::Glob(_) => self.named.extend(self.absolute(before)),
            UseTree::Name(name) if name.ident == "self" => {
                let last = before.last().expect("`self` follows a path").clone();
                self.bring_in(before, last);
            }
            UseTree::Name(name) => self.bring_in(&with(&name.ident), name.ident.to_string()),
            UseTree::Rename(rename) => {
                self.bring_in(&with(&rename.ident), rename.rename.to_string());
            }
        }
    }

    fn bring_in(&mut self, path: &[String], name: String) {
        if let Some(path) = self.absolute(path) {
            self.named.push(path.clone());
            if self.inside.is_empty() {
                self.imports.insert(name, path);
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if item.ident != "tests" && item.content.is_some() {
            self.inside.push(item.ident.to_string());
            visit::visit_item_mod(self, item);
            self.inside.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.import(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Module = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if parts.len() > 1 {
            self.named.extend(self.absolute(&parts));
        }
        visit::visit_path(self, path);
    }
}

impl Crate {
    fn read(files: &[(Module, PathBuf)]) -> Crate {
        let mut found = Crate {
            modules: files.iter().map(|(module, _)| module.clone()).collect(),
            ..Crate::default()
        };
        for (module, file) in files {
            let text = std::fs::read_to_string(file).expect("a source file is readable");
            found.add(module, &text);
        }
        found
    }

    fn add(&mut self, module: &Module, text: &str) {
        let mut reader = Reader {
            module,
            modules: &self.modules,
            inside: Vec::new(),
            imports: BTreeMap::new(),
            named: Vec::new(),
        };
        let file = syn::parse_file(text).expect("a source file parses");
        reader.visit_file(&file);
        let Reader { imports, named, .. } = reader;
        self.imports.insert(module.clone(), imports);
        self.named.insert(module.clone(), named);
    }

    /// The file in which `path` is defined, following re-exports.
    fn home(&self, path: &[String], depth: usize) -> Module {
        let known = |length: &usize| self.modules.contains(&path[..*length]);
        let length = (0..=path.len()).rev().find(known).unwrap_or(0);
        let (module, rest) = path.split_at(length);
        let import = rest
            .first()
            .and_then(|name| self.imports.get(module)?.get(name));
        match import {
            Some(import) if depth < 8 => self.home(&[import, &rest[1..]].concat(), depth + 1),
            _ => module.to_vec(),
        }
    }

    /// The modules that each module uses, except itself, modules inside it, and the crate root.
    fn uses(&self) -> BTreeMap<Module, BTreeSet<Module>> {
        let of = |(module, named): (&Module, &Vec<Module>)| {
            let homes = named.iter().map(|path| self.home(path, 0));
            let others = homes.filter(|home| !home.starts_with(module) && !home.is_empty());
            (module.clone(), others.collect())
        };
        self.named.iter().map(of).collect()
    }
}

/// A cycle in `uses`, if there is one: its modules in order, the first repeated at the end.
fn circle(uses: &BTreeMap<Module, BTreeSet<Module>>) -> Option<Vec<String>> {
    let mut done = BTreeSet::new();
    uses.keys()
        .find_map(|module| walk(module, uses, &mut Vec::new(), &mut done))
}

fn walk(
    module: &Module,
    uses: &BTreeMap<Module, BTreeSet<Module>>,
    way: &mut Vec<Module>,
    done: &mut BTreeSet<Module>,
) -> Option<Vec<String>> {
    if let Some(start) = way.iter().position(|before| before == module) {
        let round = way[start..].iter().chain([module]);
        return Some(round.map(|module| module.join("::")).collect());
    }
    if done.contains(module) {
        return None;
    }
    way.push(module.clone());
    let mut next = uses.get(module).into_iter().flatten();
    let found = next.find_map(|next| walk(next, uses, way, done));
    way.pop();
    done.insert(module.clone());
    found
}

/// Lists the Rust files below `folder` with their modules, which begin with `prefix`.
fn files(folder: &Path, prefix: &[String], list: &mut Vec<(Module, PathBuf)>) {
    for entry in std::fs::read_dir(folder).expect("the source tree is readable") {
        let path = entry.expect("the source tree is readable").path();
        let stem = path.file_stem().expect("it has a name").to_string_lossy();
        let inner = [prefix, &[stem.to_string()]].concat();
        if path.is_dir() {
            files(&path, &inner, list);
        } else if path.extension().is_some_and(|e| e == "rs") && stem != "main" && stem != "tests" {
            let is_front = stem == "mod" || stem == "lib";
            let module = if is_front { prefix.to_vec() } else { inner };
            list.push((module, path));
        }
    }
}

#[test]
fn no_file_depends_on_itself_through_others() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut list = Vec::new();
    files(&root.join("src"), &[], &mut list);
    let suite = "kernels_test".to_string();
    files(&root.join("kernels_test"), &[suite], &mut list);
    assert!(list.len() > 200, "only {} files", list.len());
    let uses = Crate::read(&list).uses();
    let count: usize = uses.values().map(BTreeSet::len).sum();
    assert!(count > 1000, "only {count} uses found");
    let found = circle(&uses).map(|round| round.join(" → "));
    assert_eq!(found, None, "move what both need into a file of its own");
}

#[test]
fn planted_circles_are_found() {
    let module = |path: &str| path.split("::").map(String::from).collect::<Module>();
    let circle_of = |files: &[(&str, &str)]| {
        let mut planted = Crate {
            modules: files.iter().map(|(path, _)| module(path)).collect(),
            ..Crate::default()
        };
        for (path, text) in files {
            planted.add(&module(path), text);
        }
        circle(&planted.uses()).map(|round| round.join(" → "))
    };
    let two = [
        ("a::x", "use super::y::B;"),
        ("a::y", "fn f() { crate::a::x::g() }"),
    ];
    assert_eq!(circle_of(&two).as_deref(), Some("a::x → a::y → a::x"));
    let through_a_front = [
        ("a", "mod x; pub use x::A;"),
        ("a::x", "pub struct A; use crate::b::B;"),
        ("b", "use crate::a::A;"),
    ];
    assert_eq!(
        circle_of(&through_a_front).as_deref(),
        Some("a::x → b → a::x")
    );
    let front_and_inside = [
        ("a", "mod x; use x::A; pub struct C;"),
        ("a::x", "use super::C; mod tests { use crate::b::B; }"),
        ("b", "use crate::a::C;"),
    ];
    assert_eq!(circle_of(&front_and_inside), None);
}
