//! Runs other programs, and reports what runs and how long it took.

use crate::Result;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

/// The cargo that runs this tool, in the workspace folder.
pub fn cargo<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(crate::root());
    command
}

/// The command as one would type it, the program without its folder.
pub fn shown(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let program = program
        .file_stem()
        .unwrap_or(command.get_program())
        .to_string_lossy()
        .into_owned();
    let arguments = command
        .get_args()
        .map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once(program)
        .chain(arguments)
        .map(quoted)
        .collect::<Vec<_>>()
        .join(" ")
}

/// `word`, in single quotes if a shell would split it.
fn quoted(word: String) -> String {
    if word.contains(|c: char| c.is_whitespace() || "*?$'\"".contains(c)) {
        format!("'{word}'")
    } else {
        word
    }
}

/// Runs a program on this terminal; an error says which command failed and how.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .map_err(|e| format!("cannot start `{}`: {e}", shown(command)))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`{}` failed ({status})", shown(command)))
    }
}

/// Runs a program and captures what it writes to both streams.
pub fn capture(command: &mut Command) -> Result<Output> {
    command
        .output()
        .map_err(|e| format!("cannot start `{}`: {e}", shown(command)))
}

/// True if the program starts and succeeds; its output is discarded.
pub fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// The program of this name in the folders of `PATH`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(&file))
        .find(|program| program.is_file())
}

/// Prints a heading for a part of the output.
pub fn heading(text: &str) {
    println!("\n== {text}");
}

/// `0.4 s`, `12.3 s`, `4 min 07 s`.
pub fn seconds(time: Duration) -> String {
    if time.as_secs() < 60 {
        return format!("{:.1} s", time.as_secs_f64());
    }
    format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_typed() {
        let mut command = Command::new("/some/where/cargo");
        command.args(["test", "--out", "two words"]);
        assert_eq!(shown(&command), "cargo test --out 'two words'");
    }

    #[test]
    fn times_are_short() {
        assert_eq!(seconds(Duration::from_millis(1234)), "1.2 s");
        assert_eq!(seconds(Duration::from_secs(247)), "4 min 07 s");
    }
}
