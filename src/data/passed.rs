//! Counts of the entries in an image tree that are not read, and the notes that report them.

use std::collections::BTreeMap;
use std::path::Path;

use super::decode::EXTENSIONS;
use super::entries::name_of;

/// Most names shown of each kind.
const SHOWN: usize = 3;
/// Most file extensions listed separately.
const KINDS: usize = 8;
/// Extensions of image formats that are not supported.
const FOREIGN: [&str; 14] = [
    "heic", "heif", "avif", "jxl", "jp2", "psd", "svg", "raw", "dng", "cr2", "nef", "arw", "tga",
    "exr",
];

/// What was not read below one root.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// Number of files by extension, lower-case.
    endings: BTreeMap<String, u64>,
    hidden: Vec<String>,
    special: Vec<String>,
    /// Folders of the root without an image.
    pub empty: Vec<String>,
    /// Images beside the folders of splits.
    pub beside: Vec<String>,
}

impl Passed {
    /// Counts a file without the extension of an image.
    pub fn file(&mut self, path: &Path) {
        let ending = path
            .extension()
            .map(|ending| ending.to_string_lossy().to_lowercase());
        *self.endings.entry(ending.unwrap_or_default()).or_default() += 1;
    }

    /// Counts a hidden entry, or one that only a file manager needs.
    pub fn junk(&mut self, path: &Path) {
        self.hidden.push(name_of(path));
    }

    /// Counts a pipe, socket or device.
    pub fn special(&mut self, path: &Path) {
        self.special.push(name_of(path));
    }

    /// Notes on the tree called `whose`, one sentence each.
    pub fn notes(&self, whose: &str) -> Vec<String> {
        let mut parts = Vec::new();
        let mut kinds: Vec<(&String, u64)> = self
            .endings
            .iter()
            .map(|(ending, count)| (ending, *count))
            .collect();
        kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        for (ending, count) in kinds.iter().take(KINDS) {
            let ending = if ending.is_empty() {
                "without an extension".into()
            } else {
                format!(".{ending}")
            };
            parts.push(format!("{count} {ending}"));
        }
        let more: u64 = kinds.iter().skip(KINDS).map(|(_, count)| count).sum();
        if more > 0 {
            parts.push(format!("{more} of other kinds"));
        }
        for (names, what) in [
            (&self.hidden, "hidden or from a file manager"),
            (&self.special, "neither file nor folder"),
        ] {
            if !names.is_empty() {
                parts.push(format!("{} {what} ({})", names.len(), shown(names)));
            }
        }
        let mut notes = Vec::new();
        if !parts.is_empty() {
            notes.push(format!(
                "{whose}: skipped {}; reads .{}",
                parts.join(", "),
                EXTENSIONS.join(" .")
            ));
        }
        let foreign: Vec<&str> = kinds
            .iter()
            .map(|(ending, _)| ending.as_str())
            .filter(|ending| FOREIGN.contains(ending))
            .collect();
        if !foreign.is_empty() {
            notes.push(format!(
                "{whose}: convert .{} to PNG or JPEG to include them",
                foreign.join(", .")
            ));
        }
        if !self.beside.is_empty() {
            let count = self.beside.len();
            notes.push(format!(
                "{count} next to {whose} in no split, not read: {}",
                shown(&self.beside)
            ));
        }
        if !self.empty.is_empty() {
            let count = self.empty.len();
            let what = if count == 1 {
                "folder without images is not a class"
            } else {
                "folders without images are not classes"
            };
            notes.push(format!("{whose}: {count} {what}: {}", shown(&self.empty)));
        }
        notes
    }
}

/// The first of `names`, and how many more there are.
pub(super) fn shown(names: &[String]) -> String {
    let first = names
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_passed_over_is_counted_by_kind() {
        let mut passed = Passed::default();
        assert_eq!(passed.notes("data"), Vec::<String>::new());
        for name in ["a.txt", "b.TXT", "c.heic", "README"] {
            passed.file(Path::new(name));
        }
        for name in [".DS_Store", "._a.png", "@eaDir", ".git"] {
            passed.junk(Path::new(name));
        }
        passed.empty.push("c".into());
        let notes = passed.notes("data");
        assert!(
            notes[0].starts_with("data: skipped 2 .txt, 1 without an extension, 1 .heic, 4 hidden"),
            "{notes:?}"
        );
        assert!(
            notes[0].contains(".DS_Store, ._a.png, @eaDir and 1 more"),
            "{notes:?}"
        );
        assert!(notes[1].contains("convert .heic to PNG"), "{notes:?}");
        assert!(
            notes[2].contains("1 folder without images is not a class: c"),
            "{notes:?}"
        );
    }

    #[test]
    fn many_kinds_stay_one_line() {
        let mut passed = Passed::default();
        for i in 0..20 {
            passed.file(Path::new(&format!("a.x{i}")));
        }
        assert!(
            passed.notes("data")[0].contains("12 of other kinds"),
            "{:?}",
            passed.notes("data")
        );
    }
}
