//! Errors caused by the user or the environment. Each message says what happened, where, and what
//! to do.
//!
//! Bugs in the program (shapes that do not fit) panic instead: no user can cause them.

use std::any::Any;
use std::cell::Cell;
use std::fmt::{self, Write};
use std::io::ErrorKind;
use std::panic::{UnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::sync::Once;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The message of a caught panic.
pub fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

/// Maximum characters of a message. A longer one quotes foreign text and is cut in the middle,
/// since its end says what to do.
const LONGEST: usize = 2000;
/// Maximum characters of an [`excerpt`].
const EXCERPT: usize = 80;

/// The beginning of a foreign text, to quote in a message.
pub fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

/// `text` as one line of at most [`LONGEST`] characters. File names and file contents may hold line
/// breaks and terminal escapes; they are written as escape sequences.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default())
        } else {
            line.push(c)
        }
    }
    let count = line.chars().count();
    if count <= LONGEST {
        return line;
    }
    let begin: String = line.chars().take(LONGEST / 2).collect();
    let end: String = line.chars().skip(count - LONGEST / 2).collect();
    format!("{begin}…{end}")
}

thread_local! {
    /// Whether panics of this thread are expected.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` and returns its result, or the message of its panic. The panic is not printed: decoders
/// panic on some foreign files, and the caller reports that itself.
///
/// # Errors
/// The text of the panic.
pub fn catch_quietly<R>(f: impl FnOnce() -> R + UnwindSafe) -> Result<R, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if !EXPECTED.get() {
                before(info);
            }
        }));
    });
    let outer = EXPECTED.replace(true);
    let outcome = catch_unwind(f);
    EXPECTED.set(outer);
    outcome.map_err(|payload| panic_text(&*payload).into())
}

/// An error caused by the user or the environment. Each variant has its own documented exit code
/// ([`Error::exit_code`]).
#[derive(Debug)]
pub enum Error {
    /// A flag or an argument is invalid, or `--out` would replace what this program did not write.
    /// Exit code 2 (clap's own code for wrong usage).
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
        /// The operating system's error.
        source: std::io::Error,
    },
    /// Training or sampling produced NaN or infinity. Exit code 10.
    Diverged(String),
    /// Another process is working in the same run directory. Exit code 11.
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

    /// An [`Error::Io`] for `path`, for use as `map_err(Error::io(path))`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Io { path, source }
    }

    /// An [`Error::Checkpoint`] for `path`.
    pub fn checkpoint(path: impl AsRef<Path>, what: impl Into<String>) -> Error {
        Error::Checkpoint {
            path: path.as_ref().to_path_buf(),
            what: what.into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text)?;
        f.write_str(&one_line(&text))
    }
}

impl Error {
    fn write(&self, f: &mut String) -> fmt::Result {
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
            Error::Io { path, source } => {
                write!(f, "{}: {source}{}", path.display(), remedy(source.kind()))
            }
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

/// What to do about an I/O error, where its name does not say it already.
fn remedy(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "; free space, then continue a training run with --resume"
        }
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
            "; choose another place, or change its permissions"
        }
        ErrorKind::FileTooLarge => "; raise the file size limit (ulimit -f)",
        ErrorKind::NotFound => "; check the name",
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
            "; choose another name"
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_line_whatever_a_file_is_called_or_holds() {
        let error = Error::checkpoint("a\nb\u{1b}[2J", "holds `\r\u{85}`; é ✓");
        assert_eq!(
            error.to_string(),
            "a\\nb\\u{1b}[2J: holds `\\r\\u{85}`; é ✓"
        );
        let long =
            Error::Data(format!("begins; {}; use another file", "é".repeat(1 << 20))).to_string();
        assert!(
            long.starts_with("begins; é") && long.ends_with("; use another file"),
            "{long}"
        );
        assert_eq!(long.chars().count(), LONGEST + 1);
    }

    #[test]
    fn expected_panics_are_caught_with_their_text() {
        assert_eq!(catch_quietly(|| 3), Ok(3));
        assert_eq!(
            catch_quietly(|| panic!("no such {}", "colour")),
            Err::<(), _>("no such colour".into())
        );
        assert!(!EXPECTED.get());
    }

    #[test]
    fn excerpts_end_between_characters() {
        assert_eq!(excerpt("short"), "short");
        assert_eq!(excerpt(&"é".repeat(EXCERPT)), "é".repeat(EXCERPT));
        assert_eq!(excerpt(&"é".repeat(EXCERPT + 1)), "é".repeat(EXCERPT) + "…");
    }
}
