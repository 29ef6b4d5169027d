//! The program: parse, run, print the error, exit with its code.

use std::process::ExitCode;

use clap::Parser;
use dbvq_wgpu::cli::Cli;
use dbvq_wgpu::error::Error;

fn main() -> ExitCode {
    quiet_device_selection();
    let cli = Cli::parse();
    // The engine leaves by unwinding with an `Error` when the driver fails it (see `gpu`); real panics pass on.
    let outcome = match std::panic::catch_unwind(|| cli.run()) {
        Ok(outcome) => outcome,
        Err(payload) => match payload.downcast::<Error>() {
            Ok(error) => Err(*error),
            Err(panic) => std::panic::resume_unwind(panic),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dbvq-wgpu: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Mesa's device-select layer asks a Wayland compositor which GPU to put first, and complains on stderr where there is
/// none. Adapters are chosen here by kind and name, so the layer is asked to stand aside.
#[expect(unsafe_code, reason = "setting a variable is safe while no other thread runs, and none has been started yet")]
fn quiet_device_selection() {
    // SAFETY: the first statement of `main`.
    unsafe { std::env::set_var("NODEVICE_SELECT", "1") }
}
