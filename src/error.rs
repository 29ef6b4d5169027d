//! The few ways in which the outside world can fail. Each message says what happened, where, and what to do.
//!
//! Mistakes inside the program (shapes that do not fit) panic instead: no user can cause them.

use std::any::Any;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a panic said that was caught.
pub fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// What the outside world did. Each variant has its own documented exit code ([`Error::exit_code`]).
#[derive(Debug)]
pub enum Error {
    /// A flag or an argument makes no sense, or `--out` would replace what this program did not write. Exit code 2 (clap's own
    /// code for wrong usage).
    Usage(String),
    /// A configuration file, preset or `--set` is wrong. Exit code 3.
    Config(String),
    /// No adapter, or none that fits. Exit code 4.
    Adapter(String),
    /// The driver took the device away. Exit code 5.
    DeviceLost(String),
    /// GPU memory is exhausted, or a tensor is over the adapter's limit. Exit code 6.
    OutOfMemory(String),
    /// A checkpoint is missing, damaged, or of another model. Exit code 7.
    Checkpoint {
        /// The file that could not be used.
        path: PathBuf,
        /// What is wrong with it and what to do.
        what: String,
    },
    /// A data set is missing or damaged. Exit code 8.
    Data(String),
    /// A file could not be read or written. Exit code 9.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The operating system's word.
        source: std::io::Error,
    },
    /// Training left the finite numbers. Exit code 10.
    Diverged(String),
    /// Another process works in the same run directory. Exit code 11.
    Locked(PathBuf),
    /// Cases of the conformance suite failed. Exit code 12.
    Conformance(String),
    /// Stopped by SIGHUP (129), SIGINT (130) or SIGTERM (143) after the state was saved.
    Interrupted {
        /// 128 + the signal's number.
        code: u8,
        /// What was saved.
        what: String,
    },
}

impl Error {
    /// The process's exit code for this error; listed by `dbvq-wgpu --help`.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Usage(_) => 2,
            Error::Config(_) => 3,
            Error::Adapter(_) => 4,
            Error::DeviceLost(_) => 5,
            Error::OutOfMemory(_) => 6,
            Error::Checkpoint { .. } => 7,
            Error::Data(_) => 8,
            Error::Io { .. } => 9,
            Error::Diverged(_) => 10,
            Error::Locked(_) => 11,
            Error::Conformance(_) => 12,
            Error::Interrupted { code, .. } => *code,
        }
    }

    /// An [`Error::Io`] for `path`; made for `map_err(Error::io(path))`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Io { path, source }
    }

    /// An [`Error::Checkpoint`] for `path`.
    pub fn checkpoint(path: impl AsRef<Path>, what: impl Into<String>) -> Error {
        Error::Checkpoint { path: path.as_ref().to_path_buf(), what: what.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(what)
            | Error::Config(what)
            | Error::Adapter(what)
            | Error::DeviceLost(what)
            | Error::OutOfMemory(what)
            | Error::Data(what)
            | Error::Diverged(what)
            | Error::Conformance(what)
            | Error::Interrupted { what, .. } => f.write_str(what),
            Error::Checkpoint { path, what } => write!(f, "{}: {what}", path.display()),
            Error::Io { path, source } => write!(f, "{}: {source}{}", path.display(), remedy(source.kind())),
            Error::Locked(path) => {
                write!(
                    f,
                    "{}: another process is working in this run directory; wait for it or choose another --out",
                    path.display()
                )
            }
        }
    }
}

/// What to do about trouble with a file, where its name does not say it already.
fn remedy(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; make room, and go on with --resume if it is a training",
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
            "; choose another place, or change its permissions"
        }
        ErrorKind::FileTooLarge => "; raise the limit on the size of files (ulimit -f)",
        ErrorKind::NotFound => "; check the name",
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory | ErrorKind::IsADirectory => "; choose another name",
        _ => "",
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
