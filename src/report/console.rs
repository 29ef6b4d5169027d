//! Printing: lines to standard output and standard error, whole documents.

use std::io::Write;

use crate::error::{Error, Result};

/// Prints a line to standard output. Errors are ignored: a closed pipe or a full disk must not fail
/// the command.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// The same for standard error.
macro_rules! note {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        _ = writeln!(std::io::stderr(), $($text)*);
    }};
}

/// The commit that this program was built from, set by `build.rs`.
pub const REVISION: &str = env!("DBVQ_REVISION");

/// Prints a whole document. A closed pipe (`| head`) is not an error.
///
/// # Errors
/// [`Error::Io`] for any other failure to write to standard output.
pub fn print_document(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::io("standard output")(e))
        }
        _ => Ok(()),
    }
}

/// The date and time, as `2022-07-17T12:00:00Z`.
pub fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
