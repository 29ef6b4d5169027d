//! `dbvq-wgpu data`: what a data set contains, whether it is complete, and what it looks like.

mod contact_sheet;
mod flags;

pub(crate) use flags::DataFlags;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::download::{self, md5};
use crate::data::cifar10::{self, place};
use crate::data::{Broken, Fit, ImageSet, Kind, Reading, Splits};
use crate::error::{Error, Result};
use crate::experiment::dataset::{keep_apart, open_showing, pack_folder};
use crate::number::thousands;
use crate::report::console::print_document;
use crate::report::figures;
use crate::report::product::{self, Form};

/// Arguments of `data`.
pub struct DataArgs {
    /// Kind of data set.
    pub kind: Kind,
    /// `--dir`.
    pub dir: PathBuf,
    /// `--skip-broken`.
    pub broken: Broken,
    /// `--size`, [height, width].
    pub size: Option<[usize; 2]>,
    /// `--crop`, or squash.
    pub fit: Fit,
    /// `--memory`, bytes.
    pub memory: u64,
    /// `--download`.
    pub download: bool,
    /// Alternative URL of the archive.
    pub url: Option<String>,
    /// `--out`: the contact sheet.
    pub out: Option<PathBuf>,
}

/// Maximum number of skipped files listed by name.
const LISTED: usize = 20;
/// Width of the list of classes.
const LINE: usize = 100;

/// Reads the data set, prints a report, and draws the contact sheet.
///
/// # Errors
/// Those of [`crate::data::open`]; [`Error::Data`] if the download fails; [`Error::Io`] for the
/// contact sheet.
pub fn run(args: &DataArgs) -> Result<()> {
    args.out
        .as_deref()
        .map_or(Ok(()), |out| product::check(out, Form::Picture))?;
    if args.download {
        download::cifar10(&args.dir, args.url.as_deref())?;
    }
    if let Some(out) = &args.out {
        keep_apart(out, &args.dir)?;
    }
    let begin = Instant::now();
    let splits = read(args)?;
    let seconds = begin.elapsed().as_secs_f64();
    let count: usize = splits.each().map(|(_, set)| set.len()).sum();
    let rate = thousands((count as f64 / seconds.max(1e-9)) as usize);
    let mut text = format!(
        "{}, read in {seconds:.1} s ({rate} images/s)\n",
        args.dir.display()
    );
    if let (Kind::Cifar10, Some(folder)) = (args.kind, place::folder(&args.dir)) {
        text += &batches(&folder)?;
    }
    text += &report(&splits)?;
    if let Some(out) = &args.out {
        let sheet = contact_sheet::contact_sheet(&splits.train)?;
        if let Some(folder) = out.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        figures::save(
            out,
            &sheet,
            &[
                ("Software", "dbvq-wgpu".into()),
                ("Title", splits.train.name.clone()),
            ],
        )?;
        let _ = writeln!(text, "wrote {}", out.display());
    } else {
        text += "--out FILE.png draws some images of every class\n";
    }
    print_document(&text)
}

fn read(args: &DataArgs) -> Result<Splits> {
    let reading = Reading {
        size: args.size,
        fit: args.fit,
        broken: args.broken,
        memory: args.memory,
        cache: pack_folder(),
        progress: None,
        resizing: "--size N squashes each to N×N, with --crop its middle square",
    };
    open_showing("read", &args.dir, Some(args.kind), reading)
}

/// A line for each batch of CIFAR-10: whether it is the official file.
fn batches(folder: &Path) -> Result<String> {
    let mut text = String::new();
    let files = place::batches(folder)?;
    for file in &files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        // An unreadable file was an error before, or is listed as skipped.
        let Ok(bytes) = std::fs::metadata(file).map(|facts| facts.len()) else {
            continue;
        };
        let official = place::OFFICIAL
            .iter()
            .find(|(official, _)| *official == name);
        let md5 = md5(file)?;
        let word = match official {
            Some((_, right)) if md5 == *right => "official".into(),
            Some(_) if bytes < cifar10::OFFICIAL_BYTES => {
                format!(
                    "shorter than the official {}; its checksum cannot be checked",
                    thousands(10_000)
                )
            }
            _ => format!("not the official file (MD5 {md5})"),
        };
        let records = thousands(bytes as usize / cifar10::RECORD);
        let _ = writeln!(text, "    {name:18} {records:>6} records, {word}");
    }
    let here = |name: &str| files.iter().any(|file| file.ends_with(name));
    let missing: Vec<&str> = place::OFFICIAL
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !here(name))
        .collect();
    if !missing.is_empty() {
        let _ = writeln!(text, "    missing: {}", missing.join(", "));
    }
    Ok(text)
}

fn report(splits: &Splits) -> Result<String> {
    let mut text = String::new();
    for (split, set) in splits.each() {
        let count = thousands(set.len());
        let classes = set.classes.len();
        let plural = if classes == 1 { "class" } else { "classes" };
        let images = if set.len() == 1 { "image" } else { "images" };
        let place = if set.is_on_disk() {
            ", read from disk as they are needed"
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "{split}: {count} {images} of {}×{}, {classes} {plural}{place}",
            set.width, set.height
        );
        text += &class_counts(set);
        text += &equal_images(split, set, splits);
        for ([mean, std], channel) in set.moments()?.into_iter().zip(["red", "green", "blue"]) {
            let _ = writeln!(
                text,
                "    {channel:6} mean {mean:.4}, standard deviation {std:.4}"
            );
        }
    }
    text.extend(splits.notes.iter().map(|note| format!("note: {note}\n")));
    if !splits.skipped.is_empty() {
        let _ = writeln!(text, "{} left out:", thousands(splits.skipped.len()));
        text.extend(
            splits
                .skipped
                .iter()
                .take(LISTED)
                .map(|what| format!("    {what}\n")),
        );
        if let Some(more @ 1..) = splits.skipped.len().checked_sub(LISTED) {
            let _ = writeln!(text, "    and {more} more");
        }
    }
    Ok(text)
}

/// Lines about duplicate images, if there are any.
fn equal_images(split: &str, set: &ImageSet, splits: &Splits) -> String {
    let mut text = String::new();
    let repeats = set.repeats();
    if repeats > 0 {
        let _ = writeln!(
            text,
            "    {} of them are copies of others",
            thousands(repeats)
        );
    }
    if split != "train" {
        let shared = set.shared_with(&splits.train);
        if shared > 0 {
            let _ = writeln!(text, "    {} of them are also in train", thousands(shared));
        }
    }
    text
}

/// Images per class, in one line if the classes are equally large.
fn class_counts(set: &ImageSet) -> String {
    let counts = set.counts();
    if let [first, rest @ ..] = &counts[..]
        && rest.iter().all(|count| count == first)
    {
        let names = if set.classes.len() <= 10 {
            set.classes.join(", ")
        } else {
            "each class".into()
        };
        return format!("    {} of {names}\n", thousands(*first));
    }
    let mut lines = vec![String::from("   ")];
    for (name, count) in set.classes.iter().zip(&counts) {
        let entry = format!(" {name} {},", thousands(*count));
        let line = lines.last_mut().expect("it begins with one");
        if line.chars().count() + entry.chars().count() > LINE {
            lines.push(format!("   {entry}"))
        } else {
            *line += &entry
        }
    }
    lines.join("\n").trim_end_matches(',').to_string() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_short_where_they_are_equal() {
        let set = |labels: Vec<u32>, classes: Vec<String>| {
            ImageSet::from_pixels("test", [1, 1], vec![0; 3 * labels.len()], labels, classes)
        };
        assert_eq!(
            class_counts(&set(vec![0, 1], vec!["a".into(), "b".into()])),
            "    1 of a, b\n"
        );
        assert_eq!(
            class_counts(&set(vec![0, 1, 1], vec!["a".into(), "b".into()])),
            "    a 1, b 2\n"
        );
        let many: Vec<String> = (0..40).map(|c| format!("class {c:02}")).collect();
        let text = class_counts(&set(vec![3], many));
        assert!(
            text.lines().count() == 5 && text.lines().all(|line| line.len() <= LINE),
            "{text}"
        );
    }
}
