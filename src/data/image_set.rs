//! Pictures in memory.

use crate::error::{Error, Result};

/// Pictures of one size with their classes: 8-bit RGB, `[n, height, width, 3]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageSet {
    /// What it is, for messages: `cifar10 train`.
    pub name: String,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[n, height, width, 3]`.
    pub images: Vec<u8>,
    /// The class of each picture, an index into `classes`.
    pub labels: Vec<u32>,
    /// The classes' names.
    pub classes: Vec<String>,
}

impl ImageSet {
    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Picture `i`, `[height, width, 3]`.
    ///
    /// # Panics
    /// If there is no picture `i`.
    pub fn image(&self, i: usize) -> &[u8] {
        let bytes = self.height * self.width * 3;
        &self.images[i * bytes..(i + 1) * bytes]
    }

    /// The pictures `indices` as a network takes them: `[indices.len(), height, width, 3]` in −1..1.
    ///
    /// # Panics
    /// If an index is none of the set.
    pub fn floats(&self, indices: &[u32]) -> Vec<f32> {
        indices.iter().flat_map(|&i| self.image(i as usize)).map(|&value| float(value)).collect()
    }

    /// Pictures of each class.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        self.labels.iter().for_each(|&label| counts[label as usize] += 1);
        counts
    }

    /// The set of the pictures `indices`, in that order.
    ///
    /// # Panics
    /// If an index is none of the set.
    pub fn select(&self, indices: &[usize]) -> ImageSet {
        ImageSet {
            images: indices.iter().flat_map(|&i| self.image(i)).copied().collect(),
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
            name: self.name.clone(),
            classes: self.classes.clone(),
            ..*self
        }
    }

    /// Mean and standard deviation of each channel, of values in 0..1.
    pub fn moments(&self) -> [[f64; 2]; 3] {
        let mut sums = [[0u64; 2]; 3];
        for pixel in self.images.chunks_exact(3) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                let value = u64::from(value);
                *sum = [sum[0] + value, sum[1] + value * value];
            }
        }
        let n = (self.images.len() / 3) as f64;
        sums.map(|[sum, squares]| {
            let mean = sum as f64 / n;
            [mean / 255.0, (squares as f64 / n - mean * mean).max(0.0).sqrt() / 255.0]
        })
    }
}

/// 0..255 to −1..1.
pub(super) fn float(value: u8) -> f32 {
    f32::from(value) / 127.5 - 1.0
}

/// How much [`hold_out`] sets aside of each class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Held {
    /// That share, 0..1, rounded; of a class of at least two, at least one picture.
    Share(f64),
    /// So many pictures.
    PerClass(usize),
}

/// Sets part of each class aside: what is left, and what was held out.
///
/// The same pictures every time: the class's pictures 0, m/k, 2m/k, … in the order of the set, k of m.
///
/// # Errors
/// [`Error::Data`] if a class would keep no picture, or none would be held out.
pub fn hold_out(set: &ImageSet, held: Held) -> Result<[ImageSet; 2]> {
    let counts = set.counts();
    let wrong = |what: String| Error::Data(format!("{}: cannot hold out {held:?}: {what}", set.name));
    let mut quotas = Vec::new();
    for (class, &count) in set.classes.iter().zip(&counts) {
        let quota = match held {
            Held::Share(share) if !(0.0..1.0).contains(&share) => return Err(wrong("a share lies in 0..1".into())),
            Held::Share(share) => ((share * count as f64).round() as usize).max(usize::from(count > 1)),
            Held::PerClass(quota) => quota,
        };
        if quota >= count && count > 0 {
            return Err(wrong(format!("class {class} has {count} pictures, and must keep one")));
        }
        quotas.push(quota);
    }
    let mut seen = vec![0; counts.len()];
    let (aside, kept): (Vec<usize>, Vec<usize>) = (0..set.len()).partition(|&i| {
        let class = set.labels[i] as usize;
        let (rank, quota, count) = (seen[class], quotas[class], counts[class]);
        seen[class] += 1;
        // Whether rank is floor(j · count / quota) for some j < quota.
        let j = (rank * quota).div_ceil(count);
        j < quota && j * count / quota == rank
    });
    if aside.is_empty() {
        return Err(wrong("that is nothing".into()));
    }
    let held_out = ImageSet { name: format!("{} held out", set.name), ..set.select(&aside) };
    Ok([set.select(&kept), held_out])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `counts[c]` pictures of class c, 1×2, interleaved, each with its number in its first byte.
    fn set(counts: &[usize]) -> ImageSet {
        let longest = counts.iter().copied().max().unwrap_or(0);
        let turns = (0..longest).flat_map(|turn| (0..counts.len()).filter(move |&c| counts[c] > turn));
        let labels: Vec<u32> = turns.map(|c| c as u32).collect();
        let images = (0..labels.len()).flat_map(|i| [i as u8, 0, 255, 51, 0, 255]).collect();
        let classes = (0..counts.len()).map(|c| format!("class {c}")).collect();
        ImageSet { name: "test".into(), height: 1, width: 2, images, labels, classes }
    }

    #[test]
    fn a_hold_out_divides_every_class_evenly() {
        let set = set(&[10, 4, 7]);
        for (held, expected) in
            [(Held::PerClass(3), [3, 3, 3]), (Held::Share(0.3), [3, 1, 2]), (Held::Share(0.01), [1, 1, 1])]
        {
            let [kept, aside] = hold_out(&set, held).expect("it can be held out");
            assert_eq!(aside.counts(), expected, "{held:?}");
            let mut all: Vec<u8> = [&kept, &aside].iter().flat_map(|s| s.images.iter().step_by(6).copied()).collect();
            all.sort_unstable();
            assert_eq!(all, (0..21).collect::<Vec<u8>>(), "every picture is in one of the two");
            assert_eq!(hold_out(&set, held).expect("again"), [kept, aside]);
        }
    }

    #[test]
    fn a_hold_out_that_leaves_nothing_is_refused() {
        for (held, word) in [
            (Held::PerClass(4), "class 1 has 4 pictures"),
            (Held::PerClass(0), "nothing"),
            (Held::Share(0.9), "class 1"),
            (Held::Share(1.0), "0..1"),
            (Held::Share(f64::NAN), "0..1"),
        ] {
            let said = hold_out(&set(&[10, 4]), held).expect_err("refused").to_string();
            assert!(said.contains(word), "{held:?}: {said}");
        }
    }

    #[test]
    fn moments_and_floats() {
        let set = set(&[2]);
        let [red, green, blue] = set.moments();
        assert_eq!((green, blue), ([0.0, 0.0], [1.0, 0.0]));
        // Red is 0, 51, 1, 51.
        assert!(
            (red[0] - 103.0 / 4.0 / 255.0).abs() < 1e-12 && (red[1] - 25.252_475_1 / 255.0).abs() < 1e-9,
            "{red:?}"
        );
        assert_eq!(set.floats(&[0]), [-1.0, -1.0, 1.0, float(51), -1.0, 1.0]);
        assert_eq!(set.counts(), [2]);
    }
}
