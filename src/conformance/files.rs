//! The files of a report: JSON for programs, JUnit's XML for CI, Markdown for people.

use std::path::{Path, PathBuf};

use super::report::Report;
use super::{junit, markdown};
use crate::error::{Error, Result};
use crate::report::product::{self, Form};

/// Checks that [`write`] can write `file`, before hours are spent on its content.
///
/// # Errors
/// [`Error::Usage`] if it has the extension of a file written beside it, is a folder, or would
/// replace a file that is not this program's; [`Error::Io`] if its folder does not exist or is not
/// writable.
pub fn writable(file: &Path) -> Result<()> {
    let shown = file.display();
    let ending = file
        .extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    if matches!(ending.as_str(), "xml" | "md") {
        let what = format!(
            "--report {shown}: names the JSON file, and .{ending} is written next to it; name it .json"
        );
        return Err(Error::Usage(what));
    }
    if file.is_dir() || file.file_name().is_none() {
        return Err(Error::Usage(format!(
            "--report {shown}: is a folder; it must be a file"
        )));
    }
    for (file, form) in files(file) {
        product::check(&file, form)?;
    }
    // Begins as `write` does, then discards the file.
    let begun = atomic_write_file::AtomicWriteFile::open(file).map_err(Error::io(file))?;
    begun.discard().map_err(Error::io(file))
}

/// Writes the report to `file` as JSON, and beside it as JUnit XML (`.xml`) and Markdown (`.md`).
///
/// # Errors
/// [`Error::Io`].
pub fn write(report: &Report, file: &Path) -> Result<[PathBuf; 3]> {
    let files = files(file);
    let json = serde_json::to_string_pretty(report).expect("a report is plain data") + "\n";
    let texts = [
        json,
        junit::text(report),
        markdown::text(std::slice::from_ref(report)),
    ];
    for ((file, form), text) in files.iter().zip(texts) {
        product::write(file, *form, text.as_bytes())?;
    }
    Ok(files.map(|(file, _)| file))
}

/// The files of a report whose JSON is `file`.
fn files(file: &Path) -> [(PathBuf, Form); 3] {
    let beside = |ending: &str| (file.with_extension(ending), Form::Page);
    [
        (file.to_path_buf(), Form::Json),
        beside("xml"),
        beside("md"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::report::tests::example;

    #[test]
    fn a_report_can_be_read_back() {
        let folder = std::env::temp_dir().join(format!("dbvq-report-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary directory");
        let report = example();
        let [json, xml, md] =
            write(&report, &folder.join("report.json")).expect("it can be written");
        let back = Report::read(&json).expect("it can be read");
        assert_eq!(
            serde_json::to_value(&back).expect("data"),
            serde_json::to_value(&report).expect("data")
        );
        assert!(
            xml.ends_with("report.xml") && md.ends_with("report.md") && xml.exists() && md.exists()
        );
        assert!(writable(&json).is_ok() && writable(&folder.join("no ending")).is_ok());
        for (name, code) in [("a.md", 2), ("a.XML", 2), ("", 2), ("nowhere/a.json", 9)] {
            let error = writable(&folder.join(name)).expect_err("it cannot be written");
            assert!(
                error.exit_code() == code && error.to_string().contains(name),
                "{error}"
            );
        }
        assert_eq!(
            std::fs::read_dir(&folder).expect("it is ours").count(),
            3,
            "looking leaves nothing behind"
        );
        let unfit = Report::read(&xml).expect_err("no JSON");
        assert!(
            unfit.exit_code() == 8 && unfit.to_string().contains("report.xml"),
            "{unfit}"
        );
        std::fs::remove_dir_all(&folder).expect("it is ours");
    }
}
