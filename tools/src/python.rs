//! Python environments below the target folder, for the scripts in `tools/`.

use crate::process::{self, find_program};
use crate::{Result, packages};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian's package of the module `venv`, which its Python lacks.
const VENV: &str = "python3-venv";

/// What a script needs.
pub struct Needs {
    /// The oldest Python, (major, minor).
    pub oldest: (u32, u32),
    /// The file that lists its packages.
    pub requirements: &'static str,
    /// The environment's folder, below the target folder.
    pub folder: &'static str,
    /// The modules that it imports.
    pub imports: &'static str,
}

impl Needs {
    /// The Python of an environment that has what the script needs, created if incomplete; an error
    /// says why there is none.
    pub fn environment(&self, target: &Path) -> Result<PathBuf> {
        let folder = target.join(self.folder);
        let inside = if cfg!(windows) {
            "Scripts/python.exe"
        } else {
            "bin/python"
        };
        let python = folder.join(inside);
        let stamp = folder.join("installed.txt");
        let file = crate::root().join(self.requirements);
        let wanted =
            fs::read_to_string(&file).map_err(|e| format!("{}: {e}", self.requirements))?;
        // The environment is kept between runs; a stamp shows that it is complete.
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted)
            && self.has_all(&python)
        {
            return Ok(python);
        }
        let system = self.system_python()?;
        println!("making a Python environment in {}", folder.display());
        process::run(
            Command::new(system)
                .args(["-m", "venv", "--clear"])
                .arg(&folder),
        )?;
        let mut install = Command::new(&python);
        install.args([
            "-m",
            "pip",
            "--disable-pip-version-check",
            "install",
            "--quiet",
            "-r",
        ]);
        process::run(install.arg(file))?;
        fs::write(&stamp, wanted).map_err(|e| format!("cannot write {}: {e}", stamp.display()))?;
        Ok(python)
    }

    /// Whether a Python is new enough and can import what the script imports.
    pub fn has_all(&self, python: &Path) -> bool {
        let import = format!("import {}", self.imports);
        version(python) >= Some(self.oldest)
            && process::succeeds(Command::new(python).args(["-c", &import]))
    }

    /// The machine's Python with the module `venv`; installs both where apt is available.
    fn system_python(&self) -> Result<PathBuf> {
        let complete = |python: &PathBuf| {
            version(python) >= Some(self.oldest)
                && process::succeeds(Command::new(python).args(["-c", "import venv, ensurepip"]))
        };
        let found = || pythons().find(complete);
        let what = format!(
            "Python {}.{} or newer with its module venv was not found",
            self.oldest.0, self.oldest.1
        );
        if let (None, Some(manager)) = (
            found(),
            packages::manager().filter(|manager| manager.is_apt()),
        ) {
            manager.install(&[VENV], &what)?;
        }
        found().ok_or(what)
    }
}

/// The machine's own Pythons.
pub fn pythons() -> impl Iterator<Item = PathBuf> {
    ["python3", "python"].into_iter().filter_map(find_program)
}

/// (major, minor) of a Python.
fn version(python: &Path) -> Option<(u32, u32)> {
    let output = process::capture(Command::new(python).arg("--version")).ok()?;
    parse(&String::from_utf8_lossy(&output.stdout))
}

/// The two first numbers of `Python 3.11.2`.
fn parse(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().strip_prefix("Python ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        assert_eq!(parse("Python 3.11.2\n"), Some((3, 11)));
        assert_eq!(parse("Python 3.13.0rc1"), Some((3, 13)));
        assert_eq!(parse("zsh: command not found"), None);
        assert!(
            parse("Python 3.9.18") < Some((3, 10))
                && None < Some((3, 10))
                && parse("Python 4.0") > Some((3, 10))
        );
    }
}
