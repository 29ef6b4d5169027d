//! Flags of `export`.

use std::path::PathBuf;

use clap::Args;

use super::ExportArgs;
use crate::commands::export;
use crate::error::Result;

#[derive(Args, Debug)]
pub(crate) struct ExportFlags {
    /// A run directory.
    run: PathBuf,
    /// The safetensors file; the run's configuration goes beside it, as .toml.
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
    /// The weights of the last step instead of their running averages.
    #[arg(long)]
    raw: bool,
}

impl ExportFlags {
    pub(crate) fn run(self) -> Result<()> {
        let ExportFlags { run, out, raw } = self;
        export::run(&ExportArgs { run, out, raw })
    }
}
