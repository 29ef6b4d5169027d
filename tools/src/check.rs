//! `cargo xtask test`: everything that must hold before a change goes in, as CI runs it.

use crate::debs::{self, Fetched};
use crate::process::{self, cargo, find_program, heading, seconds};
use crate::{Result, onnx, packages, quickstart, tensorboard, twin, vulkan};
use serde_json::Value;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Options of `cargo xtask test`.
#[derive(Debug, Default, PartialEq)]
pub struct Options {
    /// Leave out lints, documentation and PyTorch.
    pub fast: bool,
}

/// What is available to the tests on this machine.
#[derive(Default)]
pub struct Tools {
    /// Names of adapters that must be listed, since their driver files are there.
    adapters: Vec<&'static str>,
    /// Environment of the tests.
    pub variables: Vec<(&'static str, OsString)>,
    /// What is missing and therefore not tested.
    left_out: Vec<String>,
}

/// Runs every step, and stops at the first that fails.
pub fn run(options: &Options) -> Result<()> {
    let start = Instant::now();
    heading("what the tests need");
    let mut tools = prepare()?;
    step(&mut cargo(["fmt", "--all", "--check"]))?;
    if !options.fast {
        step(&mut cargo([
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]))?;
        step(&mut engine_alone(
            "clippy",
            &["--lib", "--examples", "--", "-D", "warnings"],
        ))?;
        step(cargo(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    }
    adapters(&tools)?;
    let variables = tools.variables.iter().cloned();
    let shared = twin::folder(&target()?);
    step(
        cargo(["test", "--workspace"])
            .envs(variables)
            .env(twin::VARIABLE, shared),
    )?;
    step(engine_alone("test", &[]).envs(tools.variables.iter().cloned()))?;
    match onnx::vectors(&target()?)? {
        Some(folder) => step(onnx::conformance(&folder).envs(tools.variables.iter().cloned()))?,
        None => tools.left_out.push("ONNX's cases".into()),
    }
    if !tensorboard::check(&target()?, &tools.variables)? {
        tools.left_out.push("TensorBoard's reading".into());
    }
    if options.fast {
        tools
            .left_out
            .push("lints, documentation and the comparisons with PyTorch".into());
    } else {
        match twin::comparisons(&target()?) {
            Some(mut comparisons) => comparisons.iter_mut().try_for_each(step)?,
            None => tools.left_out.push("the comparisons with PyTorch".into()),
        }
    }
    println!(
        "\n{}",
        conclusion(&seconds(start.elapsed()), &tools.left_out)
    );
    Ok(())
}

/// A Cargo command on the engine without the program, with its own test.
fn engine_alone(command: &str, rest: &[&str]) -> Command {
    let mut arguments = vec![command, "--no-default-features", "--test", "library"];
    arguments.extend(rest);
    cargo(arguments)
}

/// The last line: that everything passed, and what was left out.
fn conclusion(took: &str, left_out: &[String]) -> String {
    if left_out.is_empty() {
        format!("all checks passed ({took})")
    } else {
        format!(
            "all checks passed ({took}, {} left out)",
            left_out.join(", ")
        )
    }
}

/// Runs one step under a heading and prints its time.
fn step(command: &mut Command) -> Result<()> {
    let name = process::shown(command);
    heading(&name);
    let start = Instant::now();
    let done = process::run(command);
    println!(
        "-- {}: {}",
        if done.is_ok() { "passed" } else { "failed" },
        seconds(start.elapsed())
    );
    done.map_err(|_| format!("`{name}` failed: the checks stopped here"))
}

/// Finds what the tests need, or fetches it where apt is available.
pub fn prepare() -> Result<Tools> {
    components()?;
    let mut tools = Tools::default();
    if cfg!(target_os = "linux") {
        let mut drivers = Vec::new();
        for (adapter, driver) in [("llvmpipe", lavapipe()?), ("SwiftShader", swiftshader()?)] {
            let left_out = format!("not found: the tests on {adapter} are left out");
            say(adapter, driver.as_deref(), &left_out);
            match driver {
                Some(driver) => {
                    tools.adapters.push(adapter);
                    drivers.push(driver);
                }
                None => tools.left_out.push(format!("tests on {adapter}")),
            }
        }
        tools.variables = vulkan::with_drivers(&drivers)?;
        // Mesa's device-select layer complains at every start where there is no display.
        tools.variables.push(("NODEVICE_SELECT", "1".into()));
    } else {
        say(
            "drivers",
            None,
            "those of the system; the software GPUs lavapipe and SwiftShader are left out",
        );
        tools
            .left_out
            .push("tests on lavapipe and SwiftShader".into());
    }
    let validator = spirv_val()?;
    say(
        "spirv-val",
        validator.as_deref(),
        "not found: the validation of SPIR-V is left out",
    );
    match validator.as_deref().and_then(Path::parent) {
        Some(folder) => tools.variables.push(("PATH", path_with(folder)?)),
        None => tools.left_out.push("validation of SPIR-V".into()),
    }
    Ok(tools)
}

/// Prints one line: what it is and where, or what its absence means.
fn say(what: &str, place: Option<&Path>, absent: &str) {
    println!(
        "{what:12} {}",
        place.map_or(absent.to_owned(), |place| place.display().to_string())
    );
}

/// Installs rustfmt and clippy, which a minimal toolchain lacks.
fn components() -> Result<()> {
    for (component, command) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        if !process::succeeds(&mut cargo([command, "--version"])) {
            let mut add = Command::new("rustup");
            add.args(["component", "add", component])
                .current_dir(crate::root());
            process::run(&mut add)
                .map_err(|_| format!("{component} is missing; install it with your toolchain"))?;
        }
    }
    Ok(())
}

/// True where Debian packages can be fetched.
fn has_apt() -> bool {
    packages::manager().is_some_and(packages::Manager::is_apt)
}

/// Lavapipe's driver file; installs Mesa's Vulkan driver for it where apt is available.
fn lavapipe() -> Result<Option<PathBuf>> {
    if let (None, Some(manager)) = (
        vulkan::lavapipe(),
        packages::manager().filter(|manager| manager.is_apt()),
    ) {
        vulkan::install(
            manager,
            "the software GPU lavapipe, on which the tests run, was not found",
        )?;
        return vulkan::lavapipe()
            .map(Some)
            .ok_or_else(|| "mesa-vulkan-drivers came without lavapipe".to_owned());
    }
    Ok(vulkan::lavapipe())
}

/// SwiftShader's driver file; extracts it from Debian's browser package where apt is available.
fn swiftshader() -> Result<Option<PathBuf>> {
    let folder = target()?.join("swiftshader");
    if vulkan::swiftshader(&folder)?.is_none() && has_apt() {
        let driver = format!("*/{}", vulkan::SWIFTSHADER_FILE);
        let fetch = |package| debs::fetch(package, &["*/libvk_swiftshader.so", &driver], &folder);
        // Debian keeps the browser's libraries in the first package; otherwise they are in the
        // second.
        let fetched = fetch("chromium-common").or_else(|message| {
            println!("{message}");
            fetch("chromium")
        })?;
        if fetched == Fetched::NoSuchPackage {
            println!(
                "this distribution does not package Chromium; {} may point elsewhere",
                vulkan::SWIFTSHADER_VARIABLE
            );
        }
    }
    vulkan::swiftshader(&folder)
}

/// The SPIR-V validator; extracts it from Debian's `spirv-tools` where apt is available.
fn spirv_val() -> Result<Option<PathBuf>> {
    let folder = target()?.join("spirv-tools");
    let fetched = folder.join("usr/bin/spirv-val");
    let runs = |program: &PathBuf| process::succeeds(Command::new(program).arg("--version"));
    let found = || {
        find_program("spirv-val")
            .or_else(|| Some(fetched.clone()))
            .filter(runs)
    };
    if found().is_none()
        && has_apt()
        && debs::fetch("spirv-tools", &["*/bin/spirv-val"], &folder)? == Fetched::Yes
    {
        return found()
            .map(Some)
            .ok_or_else(|| format!("{} does not run", fetched.display()));
    }
    Ok(found())
}

/// Cargo's target folder, in which this program was built: downloads go there and disappear with
/// `cargo clean`.
pub fn target() -> Result<PathBuf> {
    let program =
        env::current_exe().map_err(|e| format!("cannot tell where this program is: {e}"))?;
    Ok(program
        .parent()
        .and_then(Path::parent)
        .map_or_else(|| crate::root().join("target"), Path::to_path_buf))
}

/// `PATH` with one more folder at the end.
fn path_with(folder: &Path) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([folder.to_path_buf()]);
    env::join_paths(folders)
        .map_err(|e| format!("{} cannot be put into PATH: {e}", folder.display()))
}

/// Lists the adapters that the tests will run on. Otherwise a driver whose file exists but that
/// does not start would silently leave its tests out.
fn adapters(tools: &Tools) -> Result<()> {
    step(&mut cargo(["build", "--bin", "dbvq-wgpu"]))?;
    let mut list = cargo([
        "run",
        "--quiet",
        "--bin",
        "dbvq-wgpu",
        "--",
        "adapters",
        "--json",
    ]);
    let listed = quickstart::adapters(list.envs(tools.variables.iter().cloned()))?;
    for adapter in &listed {
        println!(
            "adapter      {}",
            adapter["name"]
                .as_str()
                .map_or_else(|| adapter.to_string(), str::to_owned)
        );
    }
    // The same software GPU may also be listed under OpenGL, which says nothing about its Vulkan
    // driver.
    let vulkan = |adapter: &&Value| {
        adapter["backend"]
            .as_str()
            .is_none_or(|name| name.eq_ignore_ascii_case("vulkan"))
    };
    let seen = |name: &str| {
        listed
            .iter()
            .filter(vulkan)
            .any(|adapter| adapter.to_string().contains(name))
    };
    match tools.adapters.iter().find(|name| !seen(name)) {
        Some(name) => Err(format!(
            "the driver of {name} is there but `dbvq-wgpu adapters` does not list it"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_names_what_was_left_out() {
        assert_eq!(conclusion("2.0 s", &[]), "all checks passed (2.0 s)");
        let left_out = [
            "ONNX's cases".to_owned(),
            "the comparisons with PyTorch".to_owned(),
        ];
        let line = conclusion("2.0 s", &left_out);
        assert_eq!(
            line,
            "all checks passed (2.0 s, ONNX's cases, the comparisons with PyTorch left out)"
        );
    }
}
