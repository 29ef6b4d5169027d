//! The data set of a run: how it is read, what is held out, and what the run records of it to
//! recognise it on resume.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::config::{DataConfig, GridConfig, Resize};
use crate::data::codes::CodeSet;
use crate::data::{self, Broken, Fit, Format, Held, ImageSet, Kind, Reading, Splits};
use crate::error::{Error, Result};
use crate::experiment::cache;
use crate::report::file;
use crate::report::progress::Progress;

/// Share of the images held out if a data set has no split of its own.
const HELD_OUT: f64 = 0.1;
/// The file in the run directory with the images' folder, counts and checksums.
const DATA_FILE: &str = "data.txt";
/// Prefixes of its lines.
const FOLDER: &str = "folder: ";
const SETS: [&str; 2] = ["train: ", "held out: "];
/// Maximum number of skipped images listed by name.
const LISTED: usize = 20;

/// Flags for reading a data set; those not given default to the run's configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadingFlags {
    /// `--skip-broken`.
    pub skip_broken: bool,
    /// `--resize` or `--crop`.
    pub resize: Option<Resize>,
    /// `--memory`, bytes.
    pub memory: Option<u64>,
}

impl ReadingFlags {
    /// Whether any flag is given.
    pub fn are_given(&self) -> bool {
        self.skip_broken || self.resize.is_some() || self.memory.is_some()
    }

    /// `config`, overridden by the given flags.
    pub fn over(&self, config: DataConfig) -> DataConfig {
        DataConfig {
            skip_broken: self.skip_broken || config.skip_broken,
            resize: self.resize.unwrap_or(config.resize),
        }
    }
}

/// The folder of packed images in the user's cache directory.
pub fn pack_folder() -> Option<PathBuf> {
    Some(cache::folder()?.join("images"))
}

/// Training and held-out images.
pub(crate) struct Pictures {
    pub train: Arc<ImageSet>,
    pub held_out: ImageSet,
}

impl Pictures {
    /// Reads the data set in `folder` as configured by `config`, overridden by `flags`. Its images
    /// must have the model's size.
    ///
    /// # Errors
    /// [`Error::Data`] and [`Error::Io`], as [`data::open`].
    pub fn read(folder: &Path, config: &GridConfig, flags: &ReadingFlags) -> Result<Pictures> {
        let how = flags.over(config.data);
        let splits = opened(folder, how, flags.memory, config.vqvae.size)?;
        fits(folder, &splits, config)?;
        // A class-conditional model knows only the classes it was trained on; mini-ImageNet's
        // splits have different ones.
        let classes = config.classes;
        let known = |set: &ImageSet| classes == 0 || set.classes == splits.train.classes;
        let split = [splits.test, splits.val].into_iter().flatten().find(known);
        let pictures = match split {
            Some(held_out) => Pictures {
                train: Arc::new(splits.train),
                held_out,
            },
            None => {
                let [train, held_out] = data::hold_out(&splits.train, Held::Share(HELD_OUT))?;
                Pictures {
                    train: Arc::new(train),
                    held_out,
                }
            }
        };
        pictures.describe();
        Ok(pictures)
    }

    /// Splits the samples of `set`, which is called `name`.
    ///
    /// # Errors
    /// [`Error::Data`] if there are too few.
    pub fn of_codes(set: &CodeSet, name: &str) -> Result<Pictures> {
        let [train, held_out] = set.split(name)?;
        let pictures = Pictures {
            train: Arc::new(train),
            held_out,
        };
        pictures.describe();
        Ok(pictures)
    }

    /// Prints the number of images, and how many of them are duplicates.
    fn describe(&self) {
        let train = &self.train;
        let held_out = &self.held_out;
        let place = if train.is_on_disk() {
            ", read from disk as they are needed"
        } else {
            ""
        };
        let what = match train.format {
            Format::Pixels => "images",
            Format::Codes => "samples",
        };
        note!(
            "{} {what} to train on, {} held out{place}",
            train.len(),
            held_out.len()
        );
        let shared = held_out.shared_with(train);
        if shared > 0 {
            let of = held_out.len();
            note!(
                "warning: {shared} of the {of} held-out {what} are also in the training set, so their results look too good"
            );
        }
        let repeats = train.repeats();
        if repeats > 0 {
            note!(
                "note: {repeats} of the {} {what} to train on are copies of others",
                train.len()
            );
        }
    }

    /// The lines of [`DATA_FILE`] that identify a data set.
    fn facts(&self) -> [String; 2] {
        let line = |what: &str, set: &ImageSet| {
            format!(
                "{what}{} images of {}x{}, checksum {}",
                set.len(),
                set.width,
                set.height,
                set.checksum()
            )
        };
        [line(SETS[0], &self.train), line(SETS[1], &self.held_out)]
    }

    /// The same lines as written by versions up to 0.1.0, with a checksum of all pixels.
    fn former_facts(&self) -> Result<[String; 2]> {
        let line = |what: &str, set: &ImageSet| -> Result<String> {
            let checksum = set.checksum_of_pixels()?;
            Ok(format!(
                "{what}{} pictures of {}x{}, blake3 {checksum}",
                set.len(),
                set.width,
                set.height
            ))
        };
        Ok([line(SETS[0], &self.train)?, line(SETS[1], &self.held_out)?])
    }

    /// Writes [`DATA_FILE`] into the run at `out`.
    pub fn keep_facts(&self, out: &Path, folder: &Path) -> Result<()> {
        let place = folder
            .canonicalize()
            .unwrap_or_else(|_| folder.to_path_buf());
        let [train, held_out] = self.facts();
        let text = format!("{FOLDER}{}\n{train}\n{held_out}\n", place.display());
        file::write(&out.join(DATA_FILE), text.as_bytes())
    }

    /// Returns an error if the run at `out` was started on other images than these of `folder`.
    pub fn are_those_of(&self, out: &Path, folder: &Path) -> Result<()> {
        let file = out.join(DATA_FILE);
        let Some(before) = kept(out)? else {
            return Ok(());
        };
        let sets: Vec<&str> = before
            .lines()
            .filter(|line| SETS.iter().any(|begin| line.starts_with(begin)))
            .collect();
        let now = if before.contains(", blake3 ") {
            self.former_facts()?
        } else {
            self.facts()
        };
        if sets == now {
            return Ok(());
        }
        Err(Error::Data(format!(
            "{}: these are not the images that the run began with (see {}); give --resume the same --data and flags \
             (--skip-broken, --resize, --crop), or train on other images with another --out",
            folder.display(),
            file.display()
        )))
    }
}

/// The text of the data file of the run at `out`; `None` for older runs without one.
fn kept(out: &Path) -> Result<Option<String>> {
    let file = out.join(DATA_FILE);
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(&file)(e)),
    }
}

/// The folder of the images that the run at `run` was trained on, if it is recorded.
fn folder_of(run: &Path) -> Option<PathBuf> {
    let text = kept(run).ok()??;
    text.lines()
        .find_map(|line| line.strip_prefix(FOLDER))
        .map(PathBuf::from)
}

/// Returns an error if `out` lies in the image folder that the run at `run` was trained on.
pub(crate) fn keep_out_of_images(out: &Path, run: &Path) -> Result<()> {
    match folder_of(run) {
        Some(folder) => keep_apart(out, &folder),
        None => Ok(()),
    }
}

/// Returns an error if `out` lies in an image folder, which would read files written there as
/// images.
pub(crate) fn keep_apart(out: &Path, folder: &Path) -> Result<()> {
    // `out` may not exist yet, so take its nearest existing ancestor. `ancestors` of a relative
    // path ends with the empty path.
    let there = |path: &Path| {
        if path == Path::new("") {
            Path::new(".")
        } else {
            path
        }
        .canonicalize()
        .ok()
    };
    let (Some(nearest), Some(folder)) = (out.ancestors().find_map(there), there(folder)) else {
        return Ok(());
    };
    if !nearest.starts_with(&folder) || data::find(&folder).is_ok_and(|kind| kind == Kind::Cifar10)
    {
        return Ok(());
    }
    let out = out.display();
    let folder = folder.display();
    let what = format!(
        "--out {out} is inside the image folder {folder}, so what is written there would be read as images"
    );
    Err(Error::Usage(format!("{what}; choose another --out")))
}

/// [`data::open`] with a progress bar called `what`.
pub(crate) fn open_showing(
    what: &'static str,
    folder: &Path,
    kind: Option<Kind>,
    reading: Reading,
) -> Result<Splits> {
    let bar: Mutex<Option<Progress>> = Mutex::new(None);
    let progress = |done: u64, total: u64| {
        let mut bar = bar.lock().unwrap_or_else(|e| e.into_inner());
        bar.get_or_insert_with(|| Progress::new(what, 0, total))
            .at(done, String::new);
    };
    let splits = data::open(
        folder,
        kind,
        &Reading {
            progress: Some(&progress),
            ..reading
        },
    );
    bar.lock()
        .unwrap_or_else(|e| e.into_inner())
        .iter()
        .for_each(Progress::finish);
    splits
}

fn opened(folder: &Path, how: DataConfig, memory: Option<u64>, size: usize) -> Result<Splits> {
    let fit = match how.resize {
        Resize::Off => None,
        Resize::Squash => Some(Fit::Squash),
        Resize::Crop => Some(Fit::Crop),
    };
    let reading = Reading {
        size: fit.map(|_| [size; 2]),
        fit: fit.unwrap_or_default(),
        broken: if how.skip_broken {
            Broken::Skip
        } else {
            Broken::Error
        },
        memory: memory.unwrap_or(data::MEMORY),
        cache: pack_folder(),
        progress: None,
        resizing: "--resize squashes each to the model's size, --crop takes its middle square",
    };
    let splits = open_showing("reading", folder, None, reading)?;
    let kind = match splits.kind {
        Kind::Cifar10 => "CIFAR-10",
        Kind::MiniImageNet => "mini-ImageNet",
        Kind::Folder => "a folder of images",
    };
    note!("{}: read as {kind}", folder.display());
    splits.notes.iter().for_each(|note| note!("note: {note}"));
    splits
        .skipped
        .iter()
        .take(LISTED)
        .for_each(|what| note!("left out: {what}"));
    if let Some(more @ 1..) = splits.skipped.len().checked_sub(LISTED) {
        note!("left out: {more} more");
    }
    Ok(splits)
}

/// Returns an error if the size or the number of classes of `splits` does not fit the model.
fn fits(folder: &Path, splits: &Splits, config: &GridConfig) -> Result<()> {
    let folder = folder.display();
    let size = config.vqvae.size;
    let [height, width] = [splits.train.height, splits.train.width];
    if [height, width] != [size, size] {
        let own = if height == width && height.is_multiple_of(4) && height >= 8 {
            format!(", or train a model of their size with --set vqvae.size={height}")
        } else {
            String::new()
        };
        return Err(Error::Data(format!(
            "{folder}: its images are {width}×{height}, but the model takes {size}×{size}; --resize squashes them, --crop \
             takes their middle squares{own}"
        )));
    }
    let classes = config.classes;
    let found = splits.train.classes.len();
    if classes > 0 && classes != found {
        let what = format!(
            "its images have {found} classes, but the model has {classes}; train with --set classes={found}"
        );
        return Err(Error::Data(format!("{folder}: {what}")));
    }
    Ok(())
}
