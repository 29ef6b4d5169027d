//! Images of one size with their classes.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rayon::prelude::*;

use super::store::Store;
use crate::error::{Error, Result};

/// What an example of a set is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An image of 8-bit RGB, `[height, width, 3]`.
    Pixels,
    /// A grid of codes, `[height, width]`, as little-endian `u32`.
    Codes,
}

impl Format {
    /// Values per grid position.
    pub fn channels(self) -> usize {
        match self {
            Format::Pixels => 3,
            Format::Codes => 1,
        }
    }

    /// Converts an example's `bytes` to `f32` in `to`: pixels to −1..1, codes as they are, which
    /// `f32` holds exactly.
    pub(super) fn put(self, bytes: &[u8], to: &mut [f32]) {
        match self {
            Format::Pixels => to
                .iter_mut()
                .zip(bytes)
                .for_each(|(to, &value)| *to = float(value)),
            Format::Codes => {
                let codes = bytes.as_chunks::<4>().0;
                to.iter_mut()
                    .zip(codes)
                    .for_each(|(to, &code)| *to = u32::from_le_bytes(code) as f32);
            }
        }
    }
}

/// Images of one size with their classes: 8-bit RGB, `[n, height, width, 3]`, in memory or on disk;
/// or grids of codes, `[n, height, width]`.
///
/// A clone, a selection and the two halves of a [`hold_out`] share the pixels.
#[derive(Clone, Debug)]
pub struct ImageSet {
    /// Name for messages, such as `cifar10 train`.
    pub name: String,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// The class of each image, an index into `classes`.
    pub labels: Vec<u32>,
    /// The classes' names.
    pub classes: Vec<String>,
    /// What each example is.
    pub format: Format,
    store: Arc<Store>,
    /// Index of each image in the store.
    places: Vec<u32>,
}

impl ImageSet {
    /// A set of the `images` [labels.len(), height, width, 3] in memory.
    ///
    /// # Panics
    /// If `images` does not hold as many images as `labels`.
    pub fn from_pixels(
        name: impl Into<String>,
        [height, width]: [usize; 2],
        images: Vec<u8>,
        labels: Vec<u32>,
        classes: Vec<String>,
    ) -> ImageSet {
        let expected = labels.len() * height * width * 3;
        assert_eq!(
            images.len(),
            expected,
            "{} images of {height} x {width}",
            labels.len()
        );
        let store = Store::in_memory(images, height * width * 3);
        ImageSet::from_store(name.into(), [height, width], store, labels, classes)
    }

    /// A set of the grids `codes` [n, height, width] in memory, all of one class.
    pub fn from_codes(name: &str, [height, width]: [usize; 2], codes: &[u32]) -> ImageSet {
        let bytes = codes.iter().flat_map(|code| code.to_le_bytes()).collect();
        let store = Store::in_memory(bytes, 4 * height * width);
        let labels = vec![0; codes.len() / (height * width)];
        ImageSet {
            format: Format::Codes,
            ..ImageSet::from_store(
                name.into(),
                [height, width],
                store,
                labels,
                vec!["codes".into()],
            )
        }
    }

    /// The set of all images of `store`.
    pub(super) fn from_store(
        name: String,
        [height, width]: [usize; 2],
        store: Store,
        labels: Vec<u32>,
        classes: Vec<String>,
    ) -> ImageSet {
        let places = (0..labels.len() as u32).collect();
        ImageSet {
            name,
            height,
            width,
            labels,
            classes,
            format: Format::Pixels,
            store: Arc::new(store),
            places,
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether it holds no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Whether its pixels are read from disk on demand.
    pub fn is_on_disk(&self) -> bool {
        self.store.is_on_disk()
    }

    /// Image `i`, `[height, width, 3]`.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Data`] if it lies in a file that can no longer be read or has
    /// changed.
    ///
    /// # Panics
    /// If there is no image `i`.
    pub fn image(&self, i: usize) -> Result<Cow<'_, [u8]>> {
        self.store.image(self.places[i] as usize)
    }

    /// Values per example.
    pub fn numbers(&self) -> usize {
        self.height * self.width * self.format.channels()
    }

    /// The images `indices` as network input, `[indices.len(), height, width, 3]` in −1..1; or
    /// codes, `[indices.len(), height, width]`.
    ///
    /// # Errors
    /// Those of [`ImageSet::image`].
    ///
    /// # Panics
    /// If an index is out of range.
    pub fn floats(&self, indices: &[u32]) -> Result<Vec<f32>> {
        let mut floats = vec![0.0; indices.len() * self.numbers()];
        for (to, &i) in floats.chunks_exact_mut(self.numbers()).zip(indices) {
            self.format.put(&self.image(i as usize)?, to);
        }
        Ok(floats)
    }

    /// Number of images in each class.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        self.labels
            .iter()
            .for_each(|&label| counts[label as usize] += 1);
        counts
    }

    /// The set of the images `indices`, in that order.
    ///
    /// # Panics
    /// If an index is out of range.
    pub fn select(&self, indices: &[usize]) -> ImageSet {
        ImageSet {
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
            places: indices.iter().map(|&i| self.places[i]).collect(),
            ..self.clone()
        }
    }

    /// Mean and standard deviation of each channel, of values in 0..1.
    ///
    /// # Errors
    /// Those of [`ImageSet::image`].
    pub fn moments(&self) -> Result<[[f64; 2]; 3]> {
        let sums = (0..self.len())
            .into_par_iter()
            .map(|i| Ok(sums(&self.image(i)?)));
        let zero = || [[0u64; 2]; 3];
        let sums = sums.try_reduce(zero, |a, b| {
            Ok([0, 1, 2].map(|c| [a[c][0] + b[c][0], a[c][1] + b[c][1]]))
        })?;
        let n = (self.len() * self.height * self.width) as f64;
        Ok(sums.map(|[sum, squares]| {
            let mean = sum as f64 / n;
            [
                mean / 255.0,
                (squares as f64 / n - mean * mean).max(0.0).sqrt() / 255.0,
            ]
        }))
    }

    /// A checksum of all images and their classes without reading them: BLAKE3 of the images'
    /// stored checksums, then of the labels.
    pub fn checksum(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for &place in &self.places {
            hasher.update(&self.store.digests[place as usize]);
        }
        hasher.update(bytemuck::cast_slice(&self.labels));
        hasher.finalize().to_string()
    }

    /// BLAKE3 of all pixels, then all labels. Reads every image.
    ///
    /// # Errors
    /// Those of [`ImageSet::image`].
    pub fn checksum_of_pixels(&self) -> Result<String> {
        let mut hasher = blake3::Hasher::new();
        for i in 0..self.len() {
            hasher.update(&self.image(i)?);
        }
        Ok(hasher
            .update(bytemuck::cast_slice(&self.labels))
            .finalize()
            .to_string())
    }

    /// How many images are equal, pixel by pixel, to one of `other`.
    pub fn shared_with(&self, other: &ImageSet) -> usize {
        let there: HashSet<&[u8]> = other.digests().collect();
        self.digests()
            .filter(|digest| there.contains(digest))
            .count()
    }

    /// How many images are equal, pixel by pixel, to an earlier one of the set.
    pub fn repeats(&self) -> usize {
        let different: HashSet<&[u8]> = self.digests().collect();
        self.len() - different.len()
    }

    fn digests(&self) -> impl Iterator<Item = &[u8]> {
        self.places
            .iter()
            .map(|&place| &self.store.digests[place as usize][..])
    }
}

/// Sum and sum of squares of each channel.
fn sums(pixels: &[u8]) -> [[u64; 2]; 3] {
    let mut sums = [[0u64; 2]; 3];
    for pixel in pixels.chunks_exact(3) {
        for (sum, &value) in sums.iter_mut().zip(pixel) {
            let value = u64::from(value);
            *sum = [sum[0] + value, sum[1] + value * value];
        }
    }
    sums
}

/// 0..255 to −1..1.
pub(super) fn float(value: u8) -> f32 {
    f32::from(value) / 127.5 - 1.0
}

/// How much [`hold_out`] sets aside of each class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Held {
    /// This share of each class, 0..1, rounded, but at least one image of a class of two or more.
    /// If no class has more than one image, this share of all images regardless of class.
    Share(f64),
    /// This many images.
    PerClass(usize),
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Held::Share(share) => write!(f, "{} % of the images", share * 100.0),
            Held::PerClass(count) => write!(f, "{count} images of each class"),
        }
    }
}

/// Holds out part of each class; returns what remains and what was held out.
///
/// Deterministic: k of a class's m images are held out, those at 0, m/k, 2m/k, … in the order of
/// the set.
///
/// # Errors
/// [`Error::Data`] if a class would keep no image, or none would be held out.
pub fn hold_out(set: &ImageSet, held: Held) -> Result<[ImageSet; 2]> {
    let wrong = |what: String| Error::Data(format!("{}: cannot hold out {held}: {what}", set.name));
    let counts = set.counts();
    let singles = counts.iter().all(|&count| count <= 1);
    if let (Held::Share(share), true) = (held, singles)
        && (0.0..1.0).contains(&share)
    {
        if set.len() < 2 {
            let what =
                "there is only one; add images, or put those to hold out into a folder `test`";
            return Err(wrong(what.into()));
        }
        let quota = ((share * set.len() as f64).round() as usize).clamp(1, set.len() - 1);
        return Ok(divided(set, &[quota], &[set.len()], &|_| 0));
    }
    let mut quotas = Vec::new();
    for (class, &count) in set.classes.iter().zip(&counts) {
        let quota = match held {
            Held::Share(share) if !(0.0..1.0).contains(&share) => {
                return Err(wrong("the share must be in 0..1".into()));
            }
            Held::Share(share) => {
                ((share * count as f64).round() as usize).max(usize::from(count > 1))
            }
            Held::PerClass(quota) => quota,
        };
        if quota >= count && count > 0 {
            return Err(wrong(format!(
                "class {class} has {count} images and must keep one"
            )));
        }
        quotas.push(quota);
    }
    if quotas
        .iter()
        .zip(&counts)
        .all(|(quota, count)| *quota.min(count) == 0)
    {
        return Err(wrong("that would hold out no image".into()));
    }
    Ok(divided(set, &quotas, &counts, &|i| set.labels[i] as usize))
}

/// Holds out `quotas[g]` of the `counts[g]` images of each group.
fn divided(
    set: &ImageSet,
    quotas: &[usize],
    counts: &[usize],
    group: &dyn Fn(usize) -> usize,
) -> [ImageSet; 2] {
    let mut seen: HashMap<usize, usize> = HashMap::new();
    let (aside, kept): (Vec<usize>, Vec<usize>) = (0..set.len()).partition(|&i| {
        let group = group(i);
        let rank = seen.entry(group).or_default();
        let quota = quotas[group];
        let count = counts[group];
        // Whether rank is floor(j · count / quota) for some j < quota.
        let j = (*rank * quota).div_ceil(count);
        let chosen = j < quota && j * count / quota == *rank;
        *rank += 1;
        chosen
    });
    let held_out = ImageSet {
        name: format!("{} held out", set.name),
        ..set.select(&aside)
    };
    [set.select(&kept), held_out]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `counts[c]` images of class c, 1×2, interleaved, each with its index in its first byte.
    fn set(counts: &[usize]) -> ImageSet {
        let longest = counts.iter().copied().max().unwrap_or(0);
        let turns =
            (0..longest).flat_map(|turn| (0..counts.len()).filter(move |&c| counts[c] > turn));
        let labels: Vec<u32> = turns.map(|c| c as u32).collect();
        let images = (0..labels.len())
            .flat_map(|i| [i as u8, 0, 255, 51, 0, 255])
            .collect();
        let classes = (0..counts.len()).map(|c| format!("class {c}")).collect();
        ImageSet::from_pixels("test", [1, 2], images, labels, classes)
    }

    /// The first byte of every image.
    fn firsts(set: &ImageSet) -> Vec<u8> {
        (0..set.len())
            .map(|i| set.image(i).expect("in memory")[0])
            .collect()
    }

    #[test]
    fn classes_of_one_image_are_held_out_together() {
        for (classes, expected) in [(2, 1), (3, 1), (14, 1), (25, 3)] {
            let set = set(&vec![1; classes]);
            let [kept, aside] = hold_out(&set, Held::Share(0.1)).expect("two images at least");
            assert_eq!((kept.len(), aside.len()), (classes - expected, expected));
            assert_eq!(aside.shared_with(&kept), 0, "no image is in both");
        }
        let said = hold_out(&set(&[1]), Held::Share(0.1))
            .expect_err("refused")
            .to_string();
        assert!(
            said.contains("10 % of the images") && said.contains("there is only one"),
            "{said}"
        );
    }

    #[test]
    fn equal_images_are_counted() {
        let set = set(&[5, 5]);
        let twice = set.select(&[0, 1, 1, 2, 0]);
        assert_eq!(
            (set.repeats(), twice.repeats(), twice.shared_with(&set)),
            (0, 2, 5)
        );
        assert_eq!(set.select(&[3, 4]).shared_with(&set.select(&[0, 4])), 1);
        assert_eq!(
            set.select(&[0, 1]).checksum(),
            set.select(&[0, 1]).checksum()
        );
        assert_ne!(
            set.select(&[0, 1]).checksum(),
            set.select(&[1, 0]).checksum()
        );
    }

    #[test]
    fn a_hold_out_divides_every_class_evenly() {
        let set = set(&[10, 4, 7]);
        for (held, expected) in [
            (Held::PerClass(3), [3, 3, 3]),
            (Held::Share(0.3), [3, 1, 2]),
            (Held::Share(0.01), [1, 1, 1]),
        ] {
            let [kept, aside] = hold_out(&set, held).expect("it can be held out");
            assert_eq!(aside.counts(), expected, "{held:?}");
            let mut all = [firsts(&kept), firsts(&aside)].concat();
            all.sort_unstable();
            assert_eq!(
                all,
                (0..21).collect::<Vec<u8>>(),
                "every image is in one of the two"
            );
            assert_eq!(
                hold_out(&set, held).expect("again").map(|set| firsts(&set)),
                [firsts(&kept), firsts(&aside)]
            );
        }
    }

    #[test]
    fn a_hold_out_that_leaves_nothing_is_refused() {
        for (held, word) in [
            (Held::PerClass(4), "class 1 has 4 images"),
            (Held::PerClass(0), "no image"),
            (Held::Share(0.9), "class 1"),
            (Held::Share(1.0), "0..1"),
            (Held::Share(f64::NAN), "0..1"),
        ] {
            let said = hold_out(&set(&[10, 4]), held)
                .expect_err("refused")
                .to_string();
            assert!(said.contains(word), "{held:?}: {said}");
        }
    }

    #[test]
    fn moments_and_floats() {
        let set = set(&[2]);
        let [red, green, blue] = set.moments().expect("in memory");
        assert_eq!((green, blue), ([0.0, 0.0], [1.0, 0.0]));
        // Red is 0, 51, 1, 51.
        assert!(
            (red[0] - 103.0 / 4.0 / 255.0).abs() < 1e-12
                && (red[1] - 25.252_475_1 / 255.0).abs() < 1e-9,
            "{red:?}"
        );
        assert_eq!(
            set.floats(&[0]).expect("in memory"),
            [-1.0, -1.0, 1.0, float(51), -1.0, 1.0]
        );
        assert_eq!(set.counts(), [2]);
    }
}
