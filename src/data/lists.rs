//! Lists of images: CSV files of file name and class.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::entries::is_file;
use crate::error::{Error, Result};

/// Accepted headers of the column of file names, lower-case.
const FILES: [&str; 9] = [
    "filename",
    "file_name",
    "file",
    "image",
    "image_name",
    "image_id",
    "path",
    "filepath",
    "name",
];
/// Accepted headers of the column of classes, lower-case.
const CLASSES: [&str; 7] = [
    "label",
    "labels",
    "class",
    "class_name",
    "classname",
    "category",
    "target",
];

/// A list of images.
#[derive(Debug)]
pub(super) struct List {
    /// (file name or path below the images, class), in the order of the list.
    pub entries: Vec<(String, String)>,
}

impl List {
    /// Class by file name.
    pub fn by_name(&self) -> HashMap<&str, &str> {
        self.entries
            .iter()
            .map(|(name, class)| (name.as_str(), class.as_str()))
            .collect()
    }

    /// Reads the list at `path`: two columns, `filename,label`, or more with a header that names
    /// those two.
    ///
    /// # Errors
    /// [`Error::Data`] naming the line that is wrong, [`Error::Io`] if the file cannot be read.
    pub fn read(path: &Path) -> Result<List> {
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
        let wrong =
            |line: u64, what: &str| Error::Data(format!("{}: line {line}: {what}", path.display()));
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(text);
        let mut columns = None;
        let mut entries = Vec::new();
        let mut record = csv::StringRecord::new();
        loop {
            let line = reader.position().line();
            match reader.read_record(&mut record) {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => {
                    return Err(wrong(
                        line,
                        "is not UTF-8 text; a list has `filename,label` on each line",
                    ));
                }
            }
            let line = record.position().map_or(line, csv::Position::line);
            let [file, class] = match columns {
                Some(columns) => columns,
                None => {
                    let header = header(&record);
                    let plain = if record.len() == 2 {
                        Some([0, 1])
                    } else {
                        None
                    };
                    let Some(found) = header.or(plain) else {
                        return Err(wrong(line, &unlike(&record)));
                    };
                    columns = Some(found);
                    if header.is_some() {
                        continue;
                    }
                    found
                }
            };
            match (record.get(file), record.get(class)) {
                (Some(name), Some(label)) if !name.is_empty() && !label.is_empty() => {
                    entries.push((name.replace('\\', "/"), label.to_string()));
                }
                _ => return Err(wrong(line, &unlike(&record))),
            }
        }
        Ok(List { entries })
    }
}

/// The columns of file names and classes, if `record` is a header.
fn header(record: &csv::StringRecord) -> Option<[usize; 2]> {
    let find = |names: &[&str]| {
        record
            .iter()
            .position(|field| names.contains(&field.to_lowercase().as_str()))
    };
    Some([find(&FILES)?, find(&CLASSES)?])
}

fn unlike(record: &csv::StringRecord) -> String {
    let shown: String = record
        .iter()
        .collect::<Vec<_>>()
        .join(",")
        .chars()
        .take(60)
        .collect();
    format!("`{shown}` is not `filename,label`, and there is no header naming these two columns")
}

/// The list called `name` in `dir` or in `dir/splits`.
///
/// # Errors
/// [`Error::Data`] if an entry of that name exists but cannot be accessed.
pub(super) fn find(dir: &Path, name: &str) -> Result<Option<PathBuf>> {
    for path in [
        dir.join("splits").join(format!("{name}.csv")),
        dir.join(format!("{name}.csv")),
    ] {
        if is_file(&path)? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Vec<(String, String)>> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("a temporary file");
        Ok(List::read(file.path())?.entries)
    }

    #[test]
    fn lists_are_read_as_programs_write_them() {
        let expected = vec![
            ("a.png".to_string(), "cat".to_string()),
            ("b c.png".into(), "dog".into()),
        ];
        for text in [
            "filename,label\na.png,cat\nb c.png,dog\n",
            "a.png,cat\r\nb c.png,dog\r\n",
            "\u{FEFF}filename,label\n\na.png , cat\n\"b c.png\",\"dog\"",
            "id,Label,Image\n0,cat,a.png\n1,dog,b c.png\n",
        ] {
            assert_eq!(read(text.as_bytes()).expect(text), expected, "{text}");
        }
    }

    #[test]
    fn lists_that_are_none_name_the_line() {
        for (text, words) in [
            (&b"filename,label\na.png cat\n"[..], ["line 2", "a.png cat"]),
            (b"a,b,c\n1,2,3\n", ["line 1", "no header"]),
            (b"filename,label\na.png,\n", ["line 2", "a.png,"]),
            (b"filename,label\na.png,\xFF\xFE\n", ["line 2", "UTF-8"]),
        ] {
            let said = read(text).expect_err("refused").to_string();
            assert!(words.iter().all(|word| said.contains(word)), "{said}");
        }
    }
}
