//! Output files of commands. An existing file is replaced only if this program wrote it; a folder
//! that a command created is removed again if it stays empty.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::file;
use crate::error::{Error, Result};

/// Format of a file, and how one that this program wrote is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// PNG: by a text chunk.
    Picture,
    /// safetensors: by their metadata.
    Tensors,
    /// JSON: by its keys.
    Json,
    /// Markdown or XML: by a comment.
    Page,
    /// TOML, which users also write: by the checksum of the rest in its first line.
    Settings,
}

/// The program's name in the text chunk `Software` of pictures and the comment of pages.
pub const PROGRAM: &str = "dbvq-wgpu";
/// Text by which our pages are recognised; all but the first are for pages older than that mark.
const MARKS: [&str; 4] = [
    "<!-- written by dbvq-wgpu",
    "<testsuites name=\"dbvq-wgpu conformance\"",
    "A cell says how many cases pass, and the worst error as a share of its bound",
    "Wall time is that of the steps that count, as the log of the run has it",
];
/// Sets of keys that identify our JSON: of samples, evaluations, reports, stored results and
/// conformance.
const KEYS: [&[&str]; 5] = [
    &["adapter", "seconds"],
    &["adapter", "second_draw", "runs"],
    &["title", "version", "figures"],
    &["from", "files", "result"],
    &["schema", "adapters", "shaders"],
];
/// Start of the first line of settings.
const SETTINGS: &str =
    "# Written by dbvq-wgpu; if the checksum still fits, it may replace this file. blake3 ";
/// Most bytes of a file that is examined, and of the header of a safetensors file.
const LONGEST: u64 = 256 << 20;
const LONGEST_HEADER: u64 = 16 << 20;

/// Writes `bytes` to `file` atomically, with the mark of its `form`.
///
/// # Errors
/// Those of [`check`], and [`Error::Io`].
pub fn write(file: &Path, form: Form, bytes: &[u8]) -> Result<()> {
    check(file, form)?;
    let marked = match form {
        Form::Page if !is_ours(bytes, form) => {
            let mark = format!("\n{} {} -->\n", MARKS[0], env!("CARGO_PKG_VERSION"));
            [bytes, mark.as_bytes()].concat()
        }
        Form::Settings => format!("{SETTINGS}{}\n", blake3::hash(bytes))
            .into_bytes()
            .into_iter()
            .chain(bytes.iter().copied())
            .collect(),
        _ => bytes.to_vec(),
    };
    debug_assert!(
        is_ours(&marked, form),
        "{}: what is written is known again",
        file.display()
    );
    file::write(file, &marked)
}

/// Checks that `file` may be written: it does not exist, is empty, is not a regular file, or was
/// written by this program.
///
/// # Errors
/// [`Error::Usage`] if it is another file or a folder, [`Error::Io`] if it cannot be read.
pub fn check(file: &Path, form: Form) -> Result<()> {
    let found = match std::fs::metadata(file) {
        Ok(found) => found,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(());
        }
        Err(e) => return Err(Error::io(file)(e)),
    };
    if found.is_dir() {
        return Err(Error::Usage(format!(
            "{} is a folder, but a file must be written there; choose another name",
            file.display()
        )));
    }
    if !found.is_file()
        || found.len() == 0
        || head(file, form)
            .map_err(Error::io(file))?
            .is_some_and(|b| is_ours(&b, form))
    {
        return Ok(());
    }
    let what = "already exists and was not made by dbvq-wgpu; move it away, or write elsewhere";
    Err(Error::Usage(format!("{} {what}", file.display())))
}

/// The part of `file` that identifies its origin; `None` if it is too long to be ours.
fn head(file: &Path, form: Form) -> std::io::Result<Option<Vec<u8>>> {
    let mut opened = File::open(file)?;
    let length = std::fs::metadata(file)?.len();
    let mut bytes = Vec::new();
    if form == Form::Tensors {
        opened.by_ref().take(8).read_to_end(&mut bytes)?;
        let header = bytes
            .first_chunk::<8>()
            .map_or(u64::MAX, |h| u64::from_le_bytes(*h));
        if header > LONGEST_HEADER {
            return Ok(None);
        }
        opened.take(header).read_to_end(&mut bytes)?;
        return Ok(Some(bytes));
    }
    if length > LONGEST {
        return Ok(None);
    }
    BufReader::new(opened).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Whether `bytes` are those of a file that this program wrote.
fn is_ours(bytes: &[u8], form: Form) -> bool {
    match form {
        Form::Picture => picture(bytes).unwrap_or(false),
        Form::Tensors => tensors(bytes).unwrap_or(false),
        Form::Json => serde_json::from_slice(bytes).is_ok_and(|object: Map<String, Value>| {
            KEYS.iter()
                .any(|keys| keys.iter().all(|key| object.contains_key(*key)))
        }),
        Form::Page => std::str::from_utf8(bytes)
            .is_ok_and(|text| MARKS.iter().any(|mark| text.contains(mark))),
        Form::Settings => settings(bytes).unwrap_or(false),
    }
}

fn picture(bytes: &[u8]) -> Option<bool> {
    let reader = png::Decoder::new(std::io::Cursor::new(bytes))
        .read_info()
        .ok()?;
    let info = reader.info();
    let latin = info
        .uncompressed_latin1_text
        .iter()
        .map(|chunk| (chunk.keyword.as_str(), chunk.text.as_str()));
    let texts: Vec<(&str, &str)> = latin
        .chain(
            info.utf8_text
                .iter()
                .map(|chunk| (chunk.keyword.as_str(), "")),
        )
        .collect();
    let has = |keys: &[&str]| {
        keys.iter()
            .all(|key| texts.iter().any(|(keyword, _)| keyword == key))
    };
    let said = texts
        .iter()
        .any(|(keyword, text)| *keyword == "Software" && text.starts_with(PROGRAM));
    // Pictures older than the `Software` chunk.
    Some(said || has(&["seed", "run"]) || has(&["seed", "runs"]) || has(&["seed", "count"]))
}

fn tensors(bytes: &[u8]) -> Option<bool> {
    let header = u64::from_le_bytes(*bytes.first_chunk::<8>()?);
    let text = bytes.get(8..8 + usize::try_from(header).ok()?)?;
    let header: Map<String, Value> = serde_json::from_slice(text).ok()?;
    let metadata = header.get("__metadata__")?.as_object()?;
    // Samples, and weights for PyTorch; never a checkpoint, which only its training may replace.
    Some(
        metadata.contains_key("made_by")
            || (metadata.contains_key("weights") && metadata.contains_key("step")),
    )
}

fn settings(bytes: &[u8]) -> Option<bool> {
    let (first, rest) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
    Some(first.strip_prefix(SETTINGS)? == blake3::hash(rest.as_bytes()).to_hex().as_str())
}

/// An error if a command would write one of the files that it reads.
///
/// # Errors
/// [`Error::Usage`].
pub fn spare<'a>(
    files: impl IntoIterator<Item = PathBuf>,
    inputs: impl IntoIterator<Item = &'a Path>,
) -> Result<()> {
    let inputs: Vec<PathBuf> = inputs
        .into_iter()
        .filter_map(|input| input.canonicalize().ok())
        .collect();
    let mut written = files
        .into_iter()
        .filter(|file| file.canonicalize().is_ok_and(|file| inputs.contains(&file)));
    written.next().map_or(Ok(()), |file| {
        Err(Error::Usage(format!(
            "--out would replace {}, which this command reads; choose another --out",
            file.display()
        )))
    })
}

/// An output folder. On drop, the folders that it created are removed if they are empty.
pub struct Folder {
    made: Vec<PathBuf>,
}

impl Folder {
    /// Creates the folder `path` if it is missing, after checking that all of `files` may be
    /// written in it; `inputs` are what the command reads.
    ///
    /// # Errors
    /// Those of [`check`] and [`spare`], and [`Error::Io`].
    pub fn open<'a>(
        path: &Path,
        files: &[(&str, Form)],
        inputs: impl IntoIterator<Item = &'a Path>,
    ) -> Result<Folder> {
        spare(files.iter().map(|(name, _)| path.join(name)), inputs)?;
        files
            .iter()
            .try_for_each(|(name, form)| check(&path.join(name), *form))?;
        Folder::make(path)
    }

    /// Creates the folder `path` if it is missing.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn make(path: &Path) -> Result<Folder> {
        let missing = path
            .ancestors()
            .filter(|folder| *folder != Path::new("") && !folder.exists());
        let made = missing.map(Path::to_path_buf).collect();
        std::fs::create_dir_all(path).map_err(Error::io(path))?;
        Ok(Folder { made })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Innermost first; only empty folders are removed.
        self.made
            .iter()
            .for_each(|folder| _ = std::fs::remove_dir(folder));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::figures;
    use crate::report::samples_file;
    use crate::report::samples_file::Values;

    #[test]
    fn what_we_wrote_is_replaced_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = |name: &str| dir.path().join(name);
        let picture = image::RgbImage::new(2, 2);
        figures::save(&file("a.png"), &picture, &[]).expect("written");
        figures::save(&file("a.png"), &picture, &[("seed", "1".into())]).expect("ours is replaced");
        let numbers = [("x", vec![1], Values::F32(&[1.0]))];
        samples_file::write(&file("a.safetensors"), &numbers, &[]).expect("written");
        samples_file::write(&file("a.safetensors"), &numbers, &[]).expect("ours is replaced");
        for (name, form, bytes) in [
            (
                "a.json",
                Form::Json,
                &br#"{"adapter": "x", "seconds": 1}"#[..],
            ),
            ("a.md", Form::Page, b"# Page\n"),
            ("a.xml", Form::Page, b"<x/>"),
            ("a.toml", Form::Settings, b"seed = 1\n"),
        ] {
            write(&file(name), form, bytes).expect(name);
            write(&file(name), form, bytes).expect(name);
        }
        // The user edits the settings.
        let edited = std::fs::read_to_string(file("a.toml")).expect("written") + "steps = 2\n";
        std::fs::write(file("a.toml"), &edited).expect("a file");
        assert_eq!(
            write(&file("a.toml"), Form::Settings, b"")
                .expect_err("edited")
                .exit_code(),
            2
        );
        assert_eq!(std::fs::read_to_string(file("a.toml")).ok(), Some(edited));
        picture.save(file("theirs.png")).expect("a picture");
        std::fs::write(file("theirs.json"), r#"{"accuracy": 0.9}"#).expect("a file");
        for name in ["theirs.png", "theirs.json", "a.md"] {
            let before = std::fs::read(file(name)).expect("it is there");
            for form in [Form::Picture, Form::Tensors, Form::Json, Form::Settings] {
                let error = write(&file(name), form, b"").expect_err(name);
                assert!(
                    error.exit_code() == 2 && error.to_string().contains(name),
                    "{error}"
                );
            }
            assert_eq!(std::fs::read(file(name)).expect("it is there"), before);
        }
        std::fs::write(file("empty.png"), "").expect("a file");
        figures::save(&file("empty.png"), &picture, &[]).expect("nothing is lost");
        assert_eq!(
            check(dir.path(), Form::Json)
                .expect_err("a folder")
                .exit_code(),
            2
        );
    }

    #[test]
    fn a_folder_of_which_nothing_came_goes_away() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let deep = dir.path().join("a/b/c");
        let kept = dir.path().join("d");
        drop(Folder::make(&deep).expect("made"));
        assert!(!dir.path().join("a").exists());
        let folder = Folder::open(&kept, &[("x.json", Form::Json)], None).expect("made");
        std::fs::write(kept.join("x.json"), "{}").expect("a file");
        drop(folder);
        assert!(kept.join("x.json").exists());
        let input = kept.join("x.json");
        let error = Folder::open(&kept, &[("x.json", Form::Json)], Some(input.as_path()))
            .err()
            .expect("it is read");
        assert!(
            error.to_string().contains("which this command reads"),
            "{error}"
        );
    }
}
