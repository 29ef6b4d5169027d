//! Extracts single files from Debian packages, without root and without installing anything.
//!
//! SwiftShader comes inside Chromium, 290 MB of browser when installed; the tests need one library
//! of it.

use crate::Result;
use crate::packages::{is_root, patiently};
use crate::process;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Whether a package was fetched.
#[derive(Clone, Copy, PartialEq)]
pub enum Fetched {
    /// The files are there.
    Yes,
    /// This distribution has no such package.
    NoSuchPackage,
}

/// Downloads `package` and unpacks the files that match `patterns` below `into`, which appears only
/// when complete.
pub fn fetch(package: &str, patterns: &[&str], into: &Path) -> Result<Fetched> {
    let work = into.with_extension("partial");
    empty(&work)?;
    println!(
        "fetching the Debian package {package} into {} (nothing is installed)",
        into.display()
    );
    let fetched = download(package, &work)?;
    if fetched == Fetched::Yes {
        let archive = archive_in(&work)?;
        unpack(&archive, patterns, &work)?;
        fs::remove_file(&archive)
            .map_err(|e| format!("cannot remove {}: {e}", archive.display()))?;
        remove(into)?;
        fs::rename(&work, into).map_err(|e| format!("cannot make {}: {e}", into.display()))?;
    }
    remove(&work)?;
    Ok(fetched)
}

/// Downloads with the system's package lists or, if these are absent or stale, with fresh ones of
/// our own, which needs no root either.
fn download(package: &str, folder: &Path) -> Result<Fetched> {
    if process::succeeds(&mut apt("apt-get", &[], &["download", package], folder)) {
        return Ok(Fetched::Yes);
    }
    let state = folder.join("apt");
    for part in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(state.join(part))
            .map_err(|e| format!("cannot make {}: {e}", state.display()))?;
    }
    let options = [
        format!("Dir::State::Lists={}", state.join("lists").display()),
        format!("Dir::Cache={}", state.join("cache").display()),
        "APT::Update::Error-Mode=any".to_owned(),
    ];
    let refreshed = patiently(|| apt("apt-get", &options, &["update"], folder));
    if !process::succeeds(&mut apt("apt-cache", &options, &["show", package], folder)) {
        // Without any lists nobody can tell whether the package exists, and no check may silently
        // disappear because the network is down.
        let why = format!(
            "the package {package} cannot be fetched, since apt's lists of packages could not be: is there a network?"
        );
        return refreshed.map(|()| Fetched::NoSuchPackage).map_err(|_| why);
    }
    process::run(&mut apt(
        "apt-get",
        &options,
        &["download", package],
        folder,
    ))?;
    remove(&state)?;
    Ok(Fetched::Yes)
}

/// A call of an apt program in `folder`.
fn apt(program: &str, options: &[String], arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .args(["-o", "Acquire::Retries=3"]);
    // As root, apt downloads as a user who cannot write here, and warns each time.
    if is_root() {
        command.args(["-o", "APT::Sandbox::User=root"]);
    }
    for option in options {
        command.args(["-o", option]);
    }
    command.args(arguments);
    command
}

/// The one `.deb` in a folder.
fn archive_in(folder: &Path) -> Result<PathBuf> {
    let entries =
        fs::read_dir(folder).map_err(|e| format!("cannot read {}: {e}", folder.display()))?;
    let archive = entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "deb"));
    archive.ok_or_else(|| format!("apt-get left no package in {}", folder.display()))
}

/// Pipes the files of a package through tar, which keeps those that match.
fn unpack(archive: &Path, patterns: &[&str], into: &Path) -> Result<()> {
    let mut unpacked = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(archive)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot start dpkg-deb: {e}"))?;
    let stream = unpacked.stdout.take().map_or_else(Stdio::null, Stdio::from);
    let mut tar = Command::new("tar");
    tar.args(["-x", "-f", "-", "--wildcards", "-C"])
        .arg(into)
        .args(patterns)
        .stdin(stream);
    let kept = process::run(&mut tar);
    let whole = unpacked.wait().is_ok_and(|status| status.success());
    if kept.is_ok() && whole {
        Ok(())
    } else {
        Err(format!("{} does not hold {patterns:?}", archive.display()))
    }
}

/// Makes `folder` an empty folder.
fn empty(folder: &Path) -> Result<()> {
    remove(folder)?;
    fs::create_dir_all(folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))
}

/// Removes `folder` and its contents, if it exists.
fn remove(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    fs::remove_dir_all(folder).map_err(|e| format!("cannot remove {}: {e}", folder.display()))
}
