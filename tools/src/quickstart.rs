//! `cargo xtask quickstart`: from a fresh clone to a trained bridge, its figures and a table.

use crate::process::{self, cargo, heading, seconds};
use crate::{Result, packages, report, vulkan};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Exit code of `dbvq-wgpu` when there is no adapter.
const NO_ADAPTER: i32 = 4;

/// Sequences that are sampled for the table.
pub const SAMPLES: u32 = 16_384;

/// Options of `cargo xtask quickstart`.
#[derive(Debug, Default, PartialEq)]
pub struct Options {
    /// Folder of the run, kept between calls.
    pub out: Option<PathBuf>,
    /// GPU to use, as `dbvq-wgpu --adapter` takes it.
    pub adapter: Option<String>,
    /// Never call the package manager.
    pub no_install: bool,
}

/// The built program and what all calls of it share.
struct Engine<'a> {
    /// The built program.
    program: PathBuf,
    /// Folder of the run, relative to the workspace if inside it.
    run: PathBuf,
    /// What the person chose.
    options: &'a Options,
}

/// Runs every step.
pub fn run(options: &Options) -> Result<()> {
    let run = run_folder(options)?;
    let installed = !vulkan::likely() && install(options, "no Vulkan driver was found")?;
    heading("Building dbvq-wgpu (release)");
    let engine = Engine {
        program: build()?,
        run,
        options,
    };
    engine.require_adapter(installed)?;
    let start = Instant::now();
    engine.train()?;
    engine.draw()?;
    println!(
        "\nTraining, sampling and drawing took {}.",
        seconds(start.elapsed())
    );
    report::print(&crate::root().join(&engine.run), &engine.run)
}

/// The folder of the run relative to the workspace, where the program runs.
fn run_folder(options: &Options) -> Result<PathBuf> {
    let Some(out) = &options.out else {
        return Ok(Path::new("runs").join("quickstart"));
    };
    let whole =
        std::path::absolute(out).map_err(|e| format!("cannot use --out {}: {e}", out.display()))?;
    Ok(whole
        .strip_prefix(crate::root())
        .map_or(whole.clone(), Path::to_path_buf))
}

/// Installs Mesa's Vulkan driver if possible and allowed; returns whether it did.
fn install(options: &Options, why: &str) -> Result<bool> {
    match packages::manager().filter(|_| !options.no_install) {
        Some(manager) => vulkan::install(manager, why).map(|()| true),
        None => Ok(false),
    }
}

/// Builds the program and returns where cargo put it.
fn build() -> Result<PathBuf> {
    // The messages on stdout name the executable wherever the target folder is; everything for
    // people goes to stderr.
    let mut command = cargo([
        "build",
        "--release",
        "--bin",
        "dbvq-wgpu",
        "--message-format",
        "json-render-diagnostics",
    ]);
    command.stderr(std::process::Stdio::inherit());
    let output = process::capture(&mut command)?;
    if !output.status.success() {
        return Err("dbvq-wgpu does not build".to_owned());
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    executable(&messages).ok_or_else(|| "cargo did not say where it put dbvq-wgpu".to_owned())
}

/// The executable named `dbvq-wgpu` among cargo's messages, one JSON object a line.
fn executable(messages: &str) -> Option<PathBuf> {
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ours = messages.filter(|message| message["target"]["name"] == "dbvq-wgpu");
    ours.filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back()
}

/// The adapters that `dbvq-wgpu adapters --json` lists.
pub fn adapters(command: &mut Command) -> Result<Vec<Value>> {
    let output = process::capture(command)?;
    if output.status.code() == Some(NO_ADAPTER) {
        return Ok(Vec::new());
    }
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "`dbvq-wgpu adapters` failed ({}): {}",
            output.status,
            said.trim()
        ));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|e| format!("`dbvq-wgpu adapters --json` wrote no list: {e}"))
}

/// True unless the adapter is listed as one that cannot run the kernels: `"usable": {"Err": why}`.
fn usable(adapter: &Value) -> bool {
    adapter["usable"].get("Err").is_none() && adapter["usable"] != false
}

impl Engine<'_> {
    /// A call of the program in the workspace.
    fn command<S: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(crate::root());
        command
    }

    /// Makes sure that there is something to compute on; `installed` says that the package manager
    /// has already been called.
    fn require_adapter(&self, installed: bool) -> Result<()> {
        if self.has_adapter()? {
            return Ok(());
        }
        let now = !installed
            && install(
                self.options,
                "the installed drivers offer no usable GPU, not even a software one",
            )?;
        if now && self.has_adapter()? {
            return Ok(());
        }
        Err(match packages::manager() {
            _ if now || installed => "Mesa's Vulkan driver is installed but no usable adapter is seen; \
                                      `vulkaninfo --summary` (package vulkan-tools) tells what the loader finds"
                .to_owned(),
            Some(manager) => {
                format!(
                    "there is no usable GPU adapter; install a software one with: {}",
                    manager.one_line(manager.vulkan)
                )
            }
            None if cfg!(target_os = "linux") => {
                "there is no usable GPU adapter, and no known package manager to install one: \
                                                  install Mesa's Vulkan driver (lavapipe) and the Vulkan loader"
                    .to_owned()
            }
            None => "there is no usable GPU adapter: update the system's graphics driver".to_owned(),
        })
    }

    /// True if at least one of the adapters can run the kernels.
    fn has_adapter(&self) -> Result<bool> {
        Ok(adapters(&mut self.command(["adapters", "--json"]))?
            .iter()
            .any(usable))
    }

    /// Runs one command of the program on this terminal, with the chosen adapter.
    fn step(&self, title: &str, command: &mut Command) -> Result<()> {
        if let Some(adapter) = &self.options.adapter {
            command.args(["--adapter", adapter]);
        }
        heading(title);
        println!("   {}", process::shown(command));
        process::run(command)
    }

    /// Trains the shortened toy, or resumes an existing run.
    fn train(&self) -> Result<()> {
        let mut command = self.command(["train", "toy-quick", "--out"]);
        command.arg(&self.run);
        let begun = ["config.toml", "checkpoint.safetensors"]
            .map(|file| crate::root().join(&self.run).join(file));
        if begun.iter().any(|file| file.exists()) {
            command.arg("--resume");
        }
        let again = "call `cargo xtask quickstart` again to go on from the last checkpoint";
        self.step("Training, shortened", &mut command)
            .map_err(|message| format!("{message}; {again}"))
    }

    /// Samples, inpaints and draws the figures.
    fn draw(&self) -> Result<()> {
        let folder = |name: &str| self.run.join(name);
        let mut sample = self.command(["sample".as_ref(), self.run.as_os_str()]);
        sample.args([
            "--count",
            &SAMPLES.to_string(),
            "--sampler",
            "ancestral",
            "--seed",
            "1",
            "--out",
        ]);
        self.step("Sampling", sample.arg(folder("samples")))?;
        let mut inpaint = self.command(["inpaint".as_ref(), self.run.as_os_str()]);
        inpaint.args(["--known", "0=0,4=4", "--resample", "10", "--out"]);
        self.step(
            "Inpainting: the first code is 0, the last one 4",
            inpaint.arg(folder("inpaint")),
        )?;
        let mut figures = self.command(["figures".as_ref(), self.run.as_os_str()]);
        self.step(
            "Drawing the figures",
            figures.arg("--out").arg(folder("figures")),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adapters_that_cannot_run_the_kernels_do_not_count() {
        let list = r#"[{"usable": {"Ok": null}}, {}, {"usable": true}, {"usable": {"Err": "why"}}, {"usable": false}]"#;
        let list: Vec<Value> = serde_json::from_str(list).expect("a JSON list");
        assert_eq!(
            list.iter().map(usable).collect::<Vec<_>>(),
            [true, true, true, false, false]
        );
    }

    #[test]
    fn the_executable_is_found_among_cargo_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"libc"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"dbvq-wgpu"},"executable":"/t/release/dbvq-wgpu"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#
        );
        assert_eq!(
            executable(messages),
            Some(PathBuf::from("/t/release/dbvq-wgpu"))
        );
    }
}
