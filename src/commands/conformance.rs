//! The flags of `conformance`.

use std::path::PathBuf;

use clap::Args;

use crate::conformance::{self, ConformanceArgs};
use crate::error::{Error, Result};

/// Flags that conflict with `--merge`, which runs nothing; `--adapter` is allowed because an
/// environment variable may set it.
const OF_A_RUN: [&str; 11] = [
    "all",
    "op",
    "case",
    "grad",
    "probes",
    "timeout",
    "report",
    "vectors",
    "dump",
    "known_failures",
    "list",
];

/// Flags of `conformance`.
#[derive(Args, Debug)]
pub struct ConformanceFlags {
    /// The GPU: index, part of its name, or backend (see `adapters`).
    #[arg(long, env = "DBVQ_ADAPTER")]
    adapter: Option<String>,
    /// Run on every usable adapter instead of one, including OpenGL adapters.
    #[arg(long)]
    all: bool,
    /// Run only the cases of this op.
    #[arg(long, value_name = "NAME")]
    op: Option<String>,
    /// Run only the case of this name, or the cases whose names contain it.
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    case: Option<String>,
    /// Run only cases and vectors whose gradient is checked.
    #[arg(long)]
    grad: bool,
    /// Run only the probes: what the driver does where WGSL leaves it a choice.
    #[arg(long, conflicts_with_all = ["op", "case", "grad", "vectors"])]
    probes: bool,
    /// Maximum time of a case, seconds [default: 120].
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    timeout: Option<f64>,
    /// Write FILE (JSON), and next to it .xml (JUnit) and .md (Markdown).
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Run vectors from a file or folder instead of the built-in cases; --op or --case run those
    /// cases too.
    #[arg(long, value_name = "DIR")]
    vectors: Option<PathBuf>,
    /// Write the numbers, WGSL and SPIR-V of each failed case into this folder, which must be new
    /// or empty.
    #[arg(long, value_name = "DIR", conflicts_with = "probes")]
    dump: Option<PathBuf>,
    /// A TOML file of known failures, in addition to the built-in list.
    #[arg(long, value_name = "FILE")]
    known_failures: Option<PathBuf>,
    /// Run nothing: list the ops and cases that --op, --case, --grad and --vectors select.
    #[arg(long, conflicts_with_all = ["all", "probes", "timeout", "report", "dump", "known_failures"])]
    list: bool,
    /// Run nothing: merge these reports into a Markdown page and print it.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = OF_A_RUN)]
    merge: Vec<PathBuf>,
}

impl ConformanceFlags {
    /// Runs the suite, or merges reports.
    ///
    /// # Errors
    /// The command's own.
    pub fn run(self) -> Result<()> {
        let ConformanceFlags {
            adapter,
            all,
            op,
            case,
            grad,
            probes,
            timeout,
            report,
            vectors,
            ..
        } = self;
        let ConformanceFlags {
            dump,
            known_failures,
            list,
            merge,
            ..
        } = self;
        if !merge.is_empty() {
            return conformance::merge(&merge);
        }
        if timeout.is_some_and(|seconds| !(seconds > 0.0 && seconds <= 1e6)) {
            return Err(Error::Usage(
                "--timeout must be above 0 and at most 1000000 seconds".into(),
            ));
        }
        let args = ConformanceArgs {
            adapter,
            all,
            op,
            case,
            grad,
            probes,
            timeout,
            report,
            vectors,
            dump,
            known_failures,
        };
        if list {
            conformance::list(&args)
        } else {
            conformance::run(&args)
        }
    }
}
