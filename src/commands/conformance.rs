//! The flags of `conformance`.

use std::path::PathBuf;

use clap::Args;

use crate::conformance::{self, ConformanceArgs};
use crate::error::{Error, Result};

/// Flags that make no sense where nothing is run; not `--adapter`, which a variable may stand in
/// for.
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

/// What `conformance` takes.
#[derive(Args, Debug)]
pub struct ConformanceFlags {
    /// The GPU: index, part of its name, or backend (see `adapters`).
    #[arg(long, env = "DBVQ_ADAPTER")]
    adapter: Option<String>,
    /// Every usable adapter instead of one, OpenGL's as well.
    #[arg(long)]
    all: bool,
    /// Only the cases of this op.
    #[arg(long, value_name = "NAME")]
    op: Option<String>,
    /// Only the case of this name, or those with this in their names.
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    case: Option<String>,
    /// Only cases, and vectors, whose gradient is checked.
    #[arg(long)]
    grad: bool,
    /// Only the probes: what the driver does where WGSL leaves it a choice.
    #[arg(long, conflicts_with_all = ["op", "case", "grad", "vectors"])]
    probes: bool,
    /// Longest that a case may take, seconds [default: 120].
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    timeout: Option<f64>,
    /// Write FILE (JSON), and beside it .xml (JUnit) and .md (Markdown).
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Run vectors from a file or folder instead of the built-in cases; with --op or --case, those
    /// cases as well.
    #[arg(long, value_name = "DIR")]
    vectors: Option<PathBuf>,
    /// Write numbers, WGSL and SPIR-V of each case that fails into this folder, which must be new
    /// or empty.
    #[arg(long, value_name = "DIR", conflicts_with = "probes")]
    dump: Option<PathBuf>,
    /// A TOML file of failures that are known, beside the built-in list.
    #[arg(long, value_name = "FILE")]
    known_failures: Option<PathBuf>,
    /// Run nothing: list the ops and cases that --op, --case, --grad and --vectors choose.
    #[arg(long, conflicts_with_all = ["all", "probes", "timeout", "report", "dump", "known_failures"])]
    list: bool,
    /// Run nothing: print the Markdown page of these reports.
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
