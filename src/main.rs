//! The program: parse, run, print the error, exit with its code.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use dbvq_wgpu::commands::Cli;
use dbvq_wgpu::gpu;

fn main() -> ExitCode {
    quiet_device_selection();
    outlive_large_files();
    let cli = Cli::parse();
    match gpu::catch(|| cli.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed.
            _ = writeln!(std::io::stderr(), "dbvq-wgpu: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Mesa's device-select layer asks a Wayland compositor which GPU to put first, and complains on
/// stderr where there is none. Adapters are chosen here by kind and name, so the layer is asked to
/// stand aside.
#[expect(
    unsafe_code,
    reason = "setting a variable is safe while no other thread runs, and none has been started yet"
)]
fn quiet_device_selection() {
    // SAFETY: the first statement of `main`.
    unsafe { std::env::set_var("NODEVICE_SELECT", "1") }
}

/// Makes exceeding the file size limit (`ulimit -f`) an error that says so, instead of a fatal
/// signal.
fn outlive_large_files() {
    #[cfg(unix)]
    // Where no handler can be installed, the limit still ends the program.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, std::sync::Arc::default());
}
