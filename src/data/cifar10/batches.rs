//! Batches of CIFAR-10: files of records, read record by record or as a whole.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use image::RgbImage;

use super::CLASSES;
use crate::data::entries::{Entry, What};
use crate::data::load::{broken, from_pixels};
use crate::data::record::{PIXELS, RECORD, SIDE, interleaved};
use crate::data::source::Source;
use crate::data::store::{Batch, Place, Store, digest, read_at};
use crate::data::{Broken, Reading, reserve};
use crate::error::{Error, Result};

/// The batches of a split.
pub(in crate::data) struct Batches {
    dir: PathBuf,
    files: Vec<Batch>,
    /// The label of each record.
    labels: Vec<u8>,
    /// Stamps of the files, from their lengths and modification times.
    stamps: Vec<u64>,
}

impl Batches {
    /// Opens `paths` and reads their labels; `None` if they hold no records. A damaged batch is an
    /// error, or goes to `skipped` with [`Broken::Skip`].
    pub fn open(
        dir: &Path,
        paths: Vec<PathBuf>,
        broken: Broken,
        skipped: &mut Vec<String>,
    ) -> Result<Option<Batches>> {
        let mut all = Batches {
            dir: dir.to_path_buf(),
            files: Vec::new(),
            labels: Vec::new(),
            stamps: Vec::new(),
        };
        for path in paths {
            match (all.add(&path), broken) {
                (Err(error), Broken::Skip) => skipped.push(error.to_string()),
                (done, _) => done?,
            }
        }
        Ok((!all.labels.is_empty()).then_some(all))
    }

    fn add(&mut self, path: &Path) -> Result<()> {
        let stamp = match Entry::at(path.to_path_buf()).what {
            What::File { stamp } => stamp,
            What::Unreadable(why) => {
                return Err(broken(&path.display().to_string(), &why));
            }
            _ => {
                return Err(Error::Data(format!(
                    "{} is not a file; move it away",
                    path.display()
                )));
            }
        };
        let count = records(path)?;
        let file = File::open(path).map_err(Error::io(path))?;
        let batch = Batch {
            path: path.to_path_buf(),
            file,
            first: self.labels.len(),
        };
        let labels: Result<Vec<u8>> = (0..count).map(|i| label(&batch, i)).collect();
        self.labels.extend(labels?);
        self.stamps.push(stamp);
        self.files.push(batch);
        Ok(())
    }

    /// The images at their own size: in memory, or read from the batches on demand.
    pub fn into_store(
        self,
        on_disk: bool,
        tick: &mut dyn FnMut(usize),
    ) -> Result<(Store, Vec<u32>)> {
        let mut images = reserve(
            &self.dir,
            if on_disk {
                0
            } else {
                self.labels.len() * PIXELS
            },
        )?;
        let mut digests = Vec::with_capacity(self.labels.len());
        for batch in &self.files {
            let mut reader = BufReader::with_capacity(
                20 * RECORD,
                File::open(&batch.path).map_err(Error::io(&batch.path))?,
            );
            let mut record = vec![0; RECORD];
            let end = self
                .files
                .iter()
                .map(|b| b.first)
                .find(|first| *first > batch.first)
                .unwrap_or(self.labels.len());
            for i in batch.first..end {
                reader
                    .read_exact(&mut record)
                    .map_err(Error::io(&batch.path))?;
                if record[0] != self.labels[i] {
                    return Err(Error::Data(format!(
                        "{}: changed while being read; try again",
                        batch.path.display()
                    )));
                }
                let pixels = interleaved(&record[1..]);
                digests.push(digest(&pixels));
                if !on_disk {
                    images.extend_from_slice(&pixels);
                }
                if i.is_multiple_of(1000) {
                    tick(i);
                }
            }
        }
        tick(self.labels.len());
        let labels = self.labels.iter().map(|&label| u32::from(label)).collect();
        let place = if on_disk {
            Place::Records(self.files)
        } else {
            Place::Memory(images)
        };
        Ok((
            Store {
                bytes: PIXELS,
                digests,
                place,
            },
            labels,
        ))
    }
}

impl Source for Batches {
    fn root(&self) -> &Path {
        &self.dir
    }

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn label(&self, i: usize) -> u32 {
        u32::from(self.labels[i])
    }

    fn name(&self, i: usize) -> String {
        let batch = Batch::holding(&self.files, i);
        format!("record {} of {}", i - batch.first, batch.path.display())
    }

    fn decode(&self, i: usize, reading: &Reading) -> Result<RgbImage, String> {
        let batch = Batch::holding(&self.files, i);
        let mut record = vec![0; RECORD];
        let offset = ((i - batch.first) * RECORD) as u64;
        read_at(&batch.file, &mut record, offset).map_err(|e| format!("cannot be read ({e})"))?;
        let image = RgbImage::from_raw(SIDE as u32, SIDE as u32, interleaved(&record[1..]));
        Ok(from_pixels(image.expect("three bytes a pixel"), reading))
    }

    fn identify(&self, hasher: &mut blake3::Hasher) {
        for (batch, stamp) in self.files.iter().zip(&self.stamps) {
            hasher
                .update(batch.path.as_os_str().as_encoded_bytes())
                .update(&stamp.to_le_bytes());
        }
    }
}

/// The label of record `i` of `batch`.
fn label(batch: &Batch, i: usize) -> Result<u8> {
    let mut label = [0];
    let offset = (i * RECORD) as u64;
    read_at(&batch.file, &mut label, offset).map_err(Error::io(&batch.path))?;
    if usize::from(label[0]) < CLASSES.len() {
        return Ok(label[0]);
    }
    Err(Error::Data(format!(
        "{}: the byte at offset {offset} is {}, and a CIFAR-10 label is at most 9; the file is damaged or not the \
         binary version of CIFAR-10",
        batch.path.display(),
        label[0]
    )))
}

/// Number of records in `file`, from its size.
fn records(file: &Path) -> Result<usize> {
    let bytes = std::fs::metadata(file).map_err(Error::io(file))?.len();
    let whole = bytes / RECORD as u64;
    let rest = bytes % RECORD as u64;
    let wrong = |what: String| {
        Err(Error::Data(format!(
            "{}: {what}; fetch it again",
            file.display()
        )))
    };
    match (whole, rest) {
        (0, 0) => wrong("is empty".into()),
        (_, 0) => Ok(whole as usize),
        _ => wrong(format!(
            "its {bytes} bytes are not a whole number of CIFAR-10 records of {RECORD}: the record at offset {} has only {rest}",
            whole * RECORD as u64
        )),
    }
}
