//! Vulkan drivers on this machine, as files: every driver announces itself to the loader with a
//! JSON file.
//!
//! Files are only a hint of what will run; `dbvq-wgpu adapters` has the last word.

use crate::Result;
use crate::packages::Manager;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Replace the loader's search with a list of files. Loaders since 1.3.207 look at the first, older
/// ones only at the second, so both are set here. `VK_ADD_DRIVER_FILES` would be shorter, but older
/// loaders ignore it.
const DRIVER_LISTS: [&str; 2] = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"];

/// Where browsers keep SwiftShader.
const BROWSERS: [&str; 5] = [
    "/usr/lib/chromium",
    "/usr/lib/chromium-browser",
    "/usr/lib64/chromium-browser",
    "/opt/google/chrome",
    "/snap/chromium/current/usr/lib/chromium-browser",
];

/// SwiftShader's file in a browser's folder; it names the library beside it.
pub const SWIFTSHADER_FILE: &str = "vk_swiftshader_icd.json";

/// Points at SwiftShader's file if it is elsewhere.
pub const SWIFTSHADER_VARIABLE: &str = "DBVQ_SWIFTSHADER";

/// The folders in which the loader looks for drivers when nothing tells it otherwise.
fn driver_folders() -> Vec<PathBuf> {
    let or = |name: &str, otherwise: &str| env::var_os(name).unwrap_or_else(|| otherwise.into());
    let home = env::home_dir().unwrap_or_default();
    let mut parents =
        vec![env::var_os("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from)];
    parents.extend(env::split_paths(&or("XDG_CONFIG_DIRS", "/etc/xdg")));
    parents.push("/etc".into());
    parents.push(
        env::var_os("XDG_DATA_HOME").map_or_else(|| home.join(".local/share"), PathBuf::from),
    );
    parents.extend(env::split_paths(&or(
        "XDG_DATA_DIRS",
        "/usr/local/share:/usr/share",
    )));
    // Distributions that set the variable without these still keep their drivers there.
    parents.extend(["/usr/local/share".into(), "/usr/share".into()]);
    parents
        .into_iter()
        .map(|parent| parent.join("vulkan/icd.d"))
        .collect()
}

/// The JSON files of a folder, sorted; for a file, the file itself.
fn driver_files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_path_buf()];
    }
    let Ok(entries) = path.read_dir() else {
        return Vec::new();
    };
    let files = entries.flatten().map(|entry| entry.path());
    let mut files: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|e| e == "json"))
        .collect();
    files.sort();
    files
}

/// The driver files in the loader's folders.
fn found() -> Vec<PathBuf> {
    unique(
        driver_folders()
            .iter()
            .flat_map(|folder| driver_files(folder))
            .collect(),
    )
}

/// The driver files that the loader will use: the person's list if there is one, else what it
/// finds.
fn in_use() -> Vec<PathBuf> {
    let Some(list) = DRIVER_LISTS
        .iter()
        .find_map(env::var_os)
        .filter(|list| !list.is_empty())
    else {
        return found();
    };
    env::split_paths(&list)
        .flat_map(|path| driver_files(&path))
        .collect()
}

/// The paths in their order, without repetitions.
fn unique(paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut kept: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !kept.contains(&path) {
            kept.push(path);
        }
    }
    kept
}

/// True if the Vulkan loader is where the dynamic linker usually looks.
fn loader() -> bool {
    let triple = format!("{}-linux-gnu", env::consts::ARCH);
    let usual = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib"];
    let mut folders: Vec<PathBuf> = usual.iter().map(PathBuf::from).collect();
    folders.extend(["/lib", "/usr/lib"].map(|parent| Path::new(parent).join(&triple)));
    folders.extend(env::split_paths(
        &env::var_os("LD_LIBRARY_PATH").unwrap_or_default(),
    ));
    folders
        .iter()
        .any(|folder| folder.join("libvulkan.so.1").exists())
}

/// A quick check, before anything is built: could there be a Vulkan adapter?
pub fn likely() -> bool {
    loader() && !in_use().is_empty()
}

/// Installs Mesa's Vulkan driver, which brings the software GPU lavapipe.
pub fn install(manager: &Manager, why: &str) -> Result<()> {
    manager.install(manager.vulkan, why)
}

/// Lavapipe's driver file, if the loader is there to read it.
pub fn lavapipe() -> Option<PathBuf> {
    let named = |file: &PathBuf| {
        file.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("lvp_icd"))
    };
    found()
        .into_iter()
        .chain(in_use())
        .find(named)
        .filter(|_| loader())
}

/// SwiftShader's driver file: the one in the variable, else a browser's, else the one in `fetched`.
pub fn swiftshader(fetched: &Path) -> Result<Option<PathBuf>> {
    if let Some(file) = env::var_os(SWIFTSHADER_VARIABLE).map(PathBuf::from) {
        let here = file.is_file().then(|| file.clone());
        return here.map(Some).ok_or(format!(
            "{SWIFTSHADER_VARIABLE} points at {}: no such file",
            file.display()
        ));
    }
    let inside = BROWSERS
        .iter()
        .map(PathBuf::from)
        .chain(fetched_folders(fetched));
    Ok(inside
        .map(|folder| folder.join(SWIFTSHADER_FILE))
        .find(|file| complete(file)))
}

/// The folders of browsers below one into which a package was unpacked.
fn fetched_folders(fetched: &Path) -> impl Iterator<Item = PathBuf> {
    BROWSERS
        .iter()
        .map(move |folder| fetched.join(folder.trim_start_matches('/')))
}

/// True if the library is beside the driver file; some packages ship one without the other.
fn complete(file: &Path) -> bool {
    file.is_file() && file.with_file_name("libvk_swiftshader.so").is_file()
}

/// Variables that make the loader see all its own drivers and these too.
pub fn with_drivers(added: &[PathBuf]) -> Result<Vec<(&'static str, OsString)>> {
    let files = unique(in_use().into_iter().chain(added.iter().cloned()).collect());
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let list = env::join_paths(&files)
        .map_err(|e| format!("a Vulkan driver file has an unusable path: {e}"))?;
    Ok(DRIVER_LISTS.map(|name| (name, list.clone())).to_vec())
}
