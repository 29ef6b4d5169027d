//! Folder listings that keep entries which cannot be accessed.
//!
//! `Path::is_file` returns false for a broken link and for a file in a folder without permission.
//! Here such an entry is [`What::Unreadable`] with the reason, so that no image is skipped
//! silently.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::error::{Error, Result};

/// Folders that systems and file managers keep beside images, with copies or thumbnails of them.
const JUNK: [&str; 6] = [
    "__macosx",
    "@eadir",
    "#recycle",
    "$recycle.bin",
    "system volume information",
    "lost+found",
];

/// One entry of a folder; links are followed.
pub(super) struct Entry {
    pub path: PathBuf,
    pub what: What,
}

/// What an entry is.
pub(super) enum What {
    Folder,
    /// A file, with a number that changes when its length or modification time does.
    File {
        stamp: u64,
    },
    /// Hidden, or named like a folder that only a system or a file manager needs.
    Junk,
    /// A pipe, a socket or a device.
    Special,
    /// Cannot be accessed; the reason.
    Unreadable(String),
}

impl Entry {
    /// The entry at `path`.
    pub fn at(path: PathBuf) -> Entry {
        let what = match std::fs::metadata(&path) {
            _ if is_junk(&path) => What::Junk,
            Ok(facts) if facts.is_dir() => What::Folder,
            Ok(facts) if facts.is_file() => What::File {
                stamp: stamp(&facts),
            },
            Ok(_) => What::Special,
            Err(e) => What::Unreadable(reason(&path, &e)),
        };
        Entry { path, what }
    }

    pub fn is_folder(&self) -> bool {
        matches!(self.what, What::Folder)
    }

    /// Its name in its folder.
    pub fn name(&self) -> String {
        name_of(&self.path)
    }
}

/// The last component of `path`.
pub(super) fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// The entries of `folder`, sorted by path.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be listed.
pub(super) fn entries(folder: &Path) -> Result<Vec<Entry>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        all.push(Entry::at(entry.map_err(Error::io(folder))?.path()));
    }
    all.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(all)
}

/// Whether `path` is a folder.
///
/// # Errors
/// [`Error::Data`] if the entry exists but cannot be accessed: a broken link, a folder without
/// permission.
pub(super) fn is_folder(path: &Path) -> Result<bool> {
    Ok(look(path)?.is_some_and(|facts| facts.is_dir()))
}

/// Whether `path` is a file; errors as in [`is_folder`].
pub(super) fn is_file(path: &Path) -> Result<bool> {
    Ok(look(path)?.is_some_and(|facts| facts.is_file()))
}

fn look(path: &Path) -> Result<Option<Metadata>> {
    match std::fs::metadata(path) {
        Ok(facts) => Ok(Some(facts)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && path.symlink_metadata().is_err() => {
            Ok(None)
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => Ok(None),
        Err(e) => Err(Error::Data(format!(
            "{} {}",
            path.display(),
            reason(path, &e)
        ))),
    }
}

fn reason(path: &Path, error: &std::io::Error) -> String {
    match std::fs::read_link(path) {
        Ok(target) => format!(
            "is a link to {}, which cannot be reached ({error})",
            target.display()
        ),
        Err(_) => format!("cannot be inspected ({error})"),
    }
}

fn is_junk(path: &Path) -> bool {
    let name = name_of(path).to_lowercase();
    name.starts_with('.') || JUNK.contains(&name.as_str())
}

fn stamp(facts: &Metadata) -> u64 {
    let changed = facts
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let nanoseconds = changed.map_or(0, |since| since.as_nanos() as u64);
    nanoseconds.rotate_left(20) ^ facts.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn what_cannot_be_looked_at_has_a_reason() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let dir = dir.path();
        std::fs::create_dir(dir.join("a")).expect("a folder");
        std::fs::write(dir.join("b.png"), "x").expect("a file");
        std::fs::write(dir.join(".c.png"), "x").expect("a file");
        std::fs::create_dir(dir.join("@eaDir")).expect("a folder");
        std::os::unix::fs::symlink("nowhere", dir.join("d")).expect("a link");
        std::os::unix::fs::symlink("e", dir.join("e")).expect("a link to itself");
        std::os::unix::fs::symlink("a", dir.join("f")).expect("a link");
        let said = entries(dir).expect("a folder");
        let word = |entry: &Entry| match &entry.what {
            What::Folder => "folder".to_string(),
            What::File { .. } => "file".into(),
            What::Junk => "junk".into(),
            What::Special => "special".into(),
            What::Unreadable(why) => why.clone(),
        };
        let words: Vec<(String, String)> = said
            .iter()
            .map(|entry| (entry.name(), word(entry)))
            .collect();
        let plain = [
            (".c.png", "junk"),
            ("@eaDir", "junk"),
            ("a", "folder"),
            ("b.png", "file"),
        ];
        for ((name, word), expected) in words.iter().zip(plain) {
            assert_eq!((name.as_str(), word.as_str()), expected);
        }
        assert!(words[4].1.contains("link to nowhere"), "{words:?}");
        assert!(words[5].1.contains("link to e"), "{words:?}");
        assert_eq!(words[6].1, "folder", "a link to a folder is one");
        assert!(is_folder(&dir.join("d")).is_err() && is_file(&dir.join("e")).is_err());
        assert!(
            !is_folder(&dir.join("none")).expect("nothing is there")
                && is_folder(&dir.join("f")).expect("a link")
        );
    }
}
