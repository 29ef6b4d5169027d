//! Tells the program from which commit it is built: what `DBVQ_REVISION` says, else in a release
//! build where git's HEAD stands, else that nobody knows. A debug build does not look, or each
//! commit would have everything compiled again.

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=DBVQ_REVISION");
    let said = std::env::var("DBVQ_REVISION")
        .ok()
        .filter(|revision| !revision.trim().is_empty());
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let revision = match said {
        Some(revision) => revision,
        None if release => head(&root).unwrap_or_else(|| "unknown (built outside git)".into()),
        None => "unknown (a debug build)".into(),
    };
    println!("cargo::rustc-env=DBVQ_REVISION={}", revision.trim());
}

/// The commit that is checked out. Files may differ from it, which only git itself could say.
fn head(root: &Path) -> Option<String> {
    let folder = git_folder(root)?;
    let head = read(&folder.join("HEAD"))?;
    let Some(reference) = head.strip_prefix("ref: ") else {
        return hash(&head);
    };
    // A worktree keeps its HEAD to itself, and its branches with the others.
    let common =
        read(&folder.join("commondir")).map_or(folder.clone(), |common| folder.join(common));
    read(&common.join(reference))
        .and_then(|text| hash(&text))
        .or_else(|| packed(&common, reference))
}

/// `.git`, or where it points.
fn git_folder(root: &Path) -> Option<PathBuf> {
    let place = root.join(".git");
    if place.is_dir() {
        return Some(place);
    }
    let text = std::fs::read_to_string(place).ok()?;
    Some(root.join(text.trim().strip_prefix("gitdir: ")?))
}

fn packed(common: &Path, reference: &str) -> Option<String> {
    let text = std::fs::read_to_string(common.join("packed-refs")).ok()?;
    let line = text
        .lines()
        .find(|line| line.split(' ').nth(1) == Some(reference))?;
    hash(line)
}

/// The first twelve digits of a hash at the beginning of `text`.
fn hash(text: &str) -> Option<String> {
    let digits: String = text.chars().take_while(char::is_ascii_hexdigit).collect();
    (digits.len() >= 40).then(|| digits[..12].to_string())
}

/// A line, read again by cargo when it changes.
fn read(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    println!("cargo::rerun-if-changed={}", file.display());
    Some(text.trim().to_string())
}
