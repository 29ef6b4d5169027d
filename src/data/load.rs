//! From files to an [`ImageSet`]: every image is decoded once, checked, and kept in memory or in a
//! packed file.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use image::RgbImage;
use rayon::prelude::*;

use super::decode::{fitted, size_of};
use super::pack::{self, Packer};
use super::source::{Skipped, Source};
use super::store::{Digest, Place, Store, digest};
use super::{Broken, ImageSet, Reading};
use crate::error::{Error, Result};

/// Images decoded at a time.
const CHUNK: usize = 256;

/// Reads the sources of one data set, which share the size of the first image.
pub(super) struct Reader<'a> {
    reading: &'a Reading<'a>,
    total: u64,
    done: AtomicU64,
    /// The first image and its [height, width].
    first: Option<(String, [usize; 2])>,
    /// Whether the images go to packed files.
    packs: bool,
    pub skipped: Skipped,
    /// What to tell the user.
    pub notes: Vec<String>,
}

/// Why an image is not in the set.
enum Unfit {
    Broken(String),
    Size([usize; 2]),
}

/// An image that fits.
struct Fit {
    pixels: Vec<u8>,
    digest: Digest,
}

impl<'a> Reader<'a> {
    /// A reader of all `sources`, which decides by the size of the first image whether they fit
    /// into memory.
    ///
    /// # Errors
    /// [`Error::Data`] if the first image is broken (or all, when broken ones are skipped), if the
    /// sources are too large for memory and there is no cache, or if they have more than `u32::MAX`
    /// images.
    pub fn new(sources: &[&dyn Source], reading: &'a Reading) -> Result<Reader<'a>> {
        let total = sources.iter().map(|source| source.len() as u64).sum();
        let mut reader = Reader {
            reading,
            total,
            done: AtomicU64::new(0),
            first: None,
            packs: false,
            skipped: Vec::new(),
            notes: Vec::new(),
        };
        let Some(first) = sources.first() else {
            return Ok(reader);
        };
        let size = reader.size(*first)?;
        let needed = u128::from(total) * (size[0] * size[1] * 3) as u128;
        reader.packs = needed > u128::from(reading.memory);
        if total > u64::from(u32::MAX) {
            return Err(Error::Data(format!(
                "{}: {total} images are more than {}",
                first.root().display(),
                u32::MAX
            )));
        }
        if reader.packs && reading.cache.is_none() {
            let gib = needed as f64 / f64::from(1 << 30);
            let root = first.root().display();
            return Err(Error::Data(format!(
                "{root}: its images take {gib:.2} GiB decoded, over the memory limit, and there is no cache directory \
                 to pack them into; set XDG_CACHE_HOME or HOME, or raise the limit with --memory MIB"
            )));
        }
        Ok(reader)
    }

    /// Reads all images of `source`.
    ///
    /// # Errors
    /// [`Error::Data`] naming the image that is broken or of another size; [`Error::Io`] for the
    /// packed file.
    pub fn read(
        &mut self,
        source: &dyn Source,
        name: String,
        classes: Vec<String>,
    ) -> Result<ImageSet> {
        let size = self.size(source)?;
        let (kept, store) = match self.reading.cache.as_deref().filter(|_| self.packs) {
            Some(cache) => self.packed(source, size, cache)?,
            None => self.in_memory(source, size)?,
        };
        if kept.is_empty() {
            return Err(all_broken(source));
        }
        let labels = kept.into_iter().map(|i| source.label(i as usize)).collect();
        Ok(ImageSet::from_store(name, size, store, labels, classes))
    }

    fn in_memory(&mut self, source: &dyn Source, size: [usize; 2]) -> Result<(Vec<u32>, Store)> {
        let bytes = size[0] * size[1] * 3;
        let mut images = super::reserve(source.root(), source.len() * bytes)?;
        let mut digests = Vec::with_capacity(source.len());
        let kept = self.each(source, size, &mut |image| {
            images.extend_from_slice(&image.pixels);
            digests.push(image.digest);
            Ok(())
        })?;
        Ok((
            kept.0,
            Store {
                bytes,
                digests,
                place: Place::Memory(images),
            },
        ))
    }

    fn packed(
        &mut self,
        source: &dyn Source,
        size: [usize; 2],
        cache: &Path,
    ) -> Result<(Vec<u32>, Store)> {
        let path = pack::path(cache, source, self.reading, size);
        let bytes = size[0] * size[1] * 3;
        let gib = (source.len() * bytes) as f64 / f64::from(1 << 30);
        self.notes.push(format!(
            "{gib:.2} GiB of decoded images are packed in {}",
            path.display()
        ));
        if let Some(found) = pack::open(&path, bytes) {
            self.done.fetch_add(source.len() as u64, Ordering::Relaxed);
            self.skipped.extend(found.skipped);
            return Ok((found.kept, found.store));
        }
        let mut packer = Packer::new(&path, (source.len() * bytes) as u64)?;
        let mut digests = Vec::with_capacity(source.len());
        let (kept, skipped) = self.each(source, size, &mut |image| {
            digests.push(image.digest);
            packer.put(&image.pixels)
        })?;
        let store = packer.finish(bytes, digests, &kept, &skipped)?;
        Ok((kept, store))
    }

    /// Decodes all images of `source` and passes those that fit to `take`, in order. Returns their
    /// indices and what was left out.
    fn each(
        &mut self,
        source: &dyn Source,
        size: [usize; 2],
        take: &mut dyn FnMut(&Fit) -> Result<()>,
    ) -> Result<(Vec<u32>, Skipped)> {
        let mut kept = Vec::new();
        let mut skipped = Vec::new();
        for from in (0..source.len()).step_by(CHUNK) {
            let chunk = from..(from + CHUNK).min(source.len());
            let decoded: Vec<_> = chunk
                .clone()
                .into_par_iter()
                .map(|i| self.decode(source, i, size))
                .collect();
            for (i, image) in chunk.zip(decoded) {
                match image {
                    Ok(image) => {
                        take(&image)?;
                        kept.push(i as u32);
                    }
                    Err(Unfit::Broken(why)) if self.reading.broken == Broken::Skip => {
                        skipped.push(format!("{} {why}", source.name(i)));
                    }
                    Err(Unfit::Broken(why)) => return Err(broken(&source.name(i), &why)),
                    Err(Unfit::Size(other)) => return Err(self.unequal(&source.name(i), other)),
                }
            }
        }
        self.skipped.extend(skipped.iter().cloned());
        Ok((kept, skipped))
    }

    fn decode(&self, source: &dyn Source, i: usize, size: [usize; 2]) -> Result<Fit, Unfit> {
        let image = source.decode(i, self.reading);
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        self.reading
            .progress
            .iter()
            .for_each(|progress| progress(done, self.total));
        match image {
            Ok(image) if size_of(&image) == size => {
                let pixels = image.into_raw();
                Ok(Fit {
                    digest: digest(&pixels),
                    pixels,
                })
            }
            Ok(image) => Err(Unfit::Size(size_of(&image))),
            Err(why) => Err(Unfit::Broken(why)),
        }
    }

    /// The size required of every image: that of the first one that can be decoded.
    fn size(&mut self, source: &dyn Source) -> Result<[usize; 2]> {
        for i in 0..source.len() {
            if let Some((_, size)) = &self.first {
                return Ok(*size);
            }
            match source.decode(i, self.reading) {
                Ok(image) => self.first = Some((source.name(i), size_of(&image))),
                Err(why) if self.reading.broken == Broken::Error => {
                    return Err(broken(&source.name(i), &why));
                }
                Err(_) => {}
            }
        }
        self.first
            .as_ref()
            .map(|(_, size)| *size)
            .ok_or_else(|| all_broken(source))
    }

    /// The error for image `name` of another size, [height, width].
    fn unequal(&self, name: &str, [height, width]: [usize; 2]) -> Error {
        let (first, [rows, columns]) = self.first.as_ref().expect("a size that others differ from");
        Error::Data(format!(
            "{name} has {width}×{height} pixels, but {first} has {columns}×{rows}; all must have the same size: {}",
            self.reading.resizing
        ))
    }
}

/// The error for an image or file `name` that cannot be used.
pub(super) fn broken(name: &str, why: &str) -> Error {
    Error::Data(format!(
        "{name} {why}; repair or remove it, or skip all such files with --skip-broken"
    ))
}

fn all_broken(source: &dyn Source) -> Error {
    let root = source.root().display();
    let count = source.len();
    let plural = if count == 1 {
        "its only image is"
    } else {
        "all its images are"
    };
    Error::Data(format!(
        "{root}: {plural} broken ({count}); omit --skip-broken to see what is wrong"
    ))
}

/// Decodes an image file, at the size that `reading` asks for.
pub(super) fn from_file(path: &Path, reading: &Reading) -> Result<RgbImage, String> {
    let image = super::decode::picture(path, reading.size.map(|size| (size, reading.fit)))?;
    if image.dimensions() == (1, 1) && reading.size.is_none() {
        let resizing = reading.resizing;
        return Err(format!(
            "is a single pixel (a placeholder?); remove it, or have all images resized: {resizing}"
        ));
    }
    Ok(image)
}

/// An already decoded image, at the size that `reading` asks for.
pub(super) fn from_pixels(image: RgbImage, reading: &Reading) -> RgbImage {
    match reading.size {
        Some(size) => fitted(image, size, reading.fit),
        None => image,
    }
}
