//! `cargo xtask`: a first run and all checks, each in one command on a fresh machine.
//!
//! * [`quickstart`] builds, trains a shortened toy run, samples, inpaints and shows what was
//!   reached;
//! * [`check`] fetches what the tests need and runs every check, as CI does;
//! * [`peers`] runs the same work on this engine and on others;
//! * [`table`] makes one page of conformance reports, of several machines or of this one.
//!
//! Below them: [`arguments`] reads the command line, [`vulkan`] finds drivers, [`packages`]
//! installs them with the machine's package manager, [`debs`] unpacks Debian packages without
//! installing them, [`python`] makes Python environments, [`onnx`] makes vectors of ONNX's cases,
//! [`twin`] compares with PyTorch, [`tensorboard`] has TensorBoard read a training, [`process`]
//! runs other programs. Only `packages` changes the machine.

mod arguments;
mod check;
mod debs;
mod onnx;
mod packages;
mod peers;
mod process;
mod python;
mod quickstart;
mod report;
mod table;
mod tensorboard;
mod twin;
mod vulkan;

use arguments::Task;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Result of every fallible function here; the error is one sentence for the person at the
/// terminal.
type Result<T> = std::result::Result<T, String>;

/// The folder of the workspace.
fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// Runs the task that was asked for.
fn dispatch() -> Result<()> {
    match arguments::parse(std::env::args_os().skip(1))? {
        Task::Help => println!("{}", arguments::HELP),
        Task::Quickstart(options) => quickstart::run(&options)?,
        Task::Test(options) => check::run(&options)?,
        Task::ConformanceTable(options) => table::run(&options)?,
        Task::Peers(options) => peers::run(&options)?,
    }
    Ok(())
}

fn main() -> ExitCode {
    match dispatch() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("\nerror: {message}");
            ExitCode::FAILURE
        }
    }
}
