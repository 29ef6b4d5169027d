//! The program: parse, run, print the error, exit with its code.

use std::process::ExitCode;

use clap::Parser;
use dbvq_wgpu::cli::Cli;
use dbvq_wgpu::error::Error;

fn main() -> ExitCode {
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
