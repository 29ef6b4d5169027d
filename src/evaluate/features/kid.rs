//! Kernel Inception distance (Bińkowski et al. 2018), which unlike FID is unbiased for any number
//! of images.

use faer::{Mat, MatRef};

use super::Features;
use super::statistics::add_gram;
use crate::error::{Error, Result};
use crate::philox::{Draw, Stream};

/// Number of subsets in published values; each has [`SUBSET_SIZE`] images.
const SUBSETS: usize = 100;
/// See [`SUBSETS`].
const SUBSET_SIZE: usize = 1000;

/// KID over subsets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kid {
    /// Mean of the subsets' values.
    pub mean: f64,
    /// Their standard deviation (divided by n, not n − 1); `None` for a single subset.
    pub std: Option<f64>,
    /// Images in a subset.
    pub size: usize,
}

/// Number of subsets and images in each, for sets of `count` images: the published 100 of 1,000
/// above 1,000 images, 100 of half the images from 4 on, and below that the whole set as a single
/// subset.
pub fn subsets(count: usize) -> [usize; 2] {
    match count {
        0..=3 => [1, count],
        4..=SUBSET_SIZE => [SUBSETS, count / 2],
        _ => [SUBSETS, SUBSET_SIZE],
    }
}

/// Mean and standard deviation over `subsets` of [`mmd2`] between `size` images of each set, drawn
/// without replacement. `done` is called with the number of finished subsets.
///
/// # Errors
/// [`Error::Data`] if widths differ, a set has fewer than `size` images, or `size` is below 2.
pub fn kid(
    a: &Features,
    b: &Features,
    subsets: usize,
    size: usize,
    seed: u64,
    done: &mut dyn FnMut(usize),
) -> Result<Kid> {
    let least = a.count().min(b.count());
    if size < 2 || size > least || subsets == 0 {
        let what = format!(
            "KID over {subsets} subsets of {size} images: use at least one subset, of 2 to {least} images"
        );
        return Err(Error::Data(what));
    }
    let mut values = Vec::with_capacity(subsets);
    for subset in 0..subsets {
        let of = |features: &Features, what: Draw| {
            let stream = Stream {
                seed,
                step: subset as u32,
                stream: what.stream(),
                first: 0,
            };
            rows(features, &draw(features.count(), size, stream))
        };
        values.push(between(
            of(a, Draw::KidSubsets).as_ref(),
            of(b, Draw::KidOthers).as_ref(),
        )?);
        done(subset + 1);
    }
    let mean = values.iter().sum::<f64>() / subsets as f64;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / subsets as f64;
    Ok(Kid {
        mean,
        std: (subsets > 1).then(|| variance.sqrt()),
        size,
    })
}

/// Unbiased estimator of the squared maximum mean discrepancy of two sets with the kernel k(x, y) =
/// (x·y / d + 1)³: the means of k within each set over pairs of different images, minus twice the
/// mean between the sets.
///
/// # Errors
/// [`Error::Data`] if widths differ or a set has fewer than two images.
pub fn mmd2(a: &Features, b: &Features) -> Result<f64> {
    let all = |features: &Features| rows(features, &(0..features.count()).collect::<Vec<_>>());
    between(all(a).as_ref(), all(b).as_ref())
}

/// `size` distinct indices below `count`, by a partial Fisher-Yates shuffle.
fn draw(count: usize, size: usize, stream: Stream) -> Vec<usize> {
    let mut all: Vec<usize> = (0..count).collect();
    for i in 0..size {
        all.swap(i, i + stream.below(i as u32, (count - i) as u32) as usize);
    }
    all.truncate(size);
    all
}

/// The features of `images` as columns, [width, n].
fn rows(features: &Features, images: &[usize]) -> Mat<f64> {
    Mat::from_fn(features.width(), images.len(), |i, j| {
        f64::from(features.row(images[j])[i])
    })
}

/// [`mmd2`] of features stored as columns.
fn between(x: MatRef<'_, f64>, y: MatRef<'_, f64>) -> Result<f64> {
    if x.nrows() != y.nrows() || x.ncols() < 2 || y.ncols() < 2 {
        let [a, b] = [x, y].map(|m| format!("{} images of {} features", m.ncols(), m.nrows()));
        return Err(Error::Data(format!(
            "KID of {a} and {b}: it needs at least two images each, and features of the same network"
        )));
    }
    let d = x.nrows() as f64;
    let kernel = |dot: f64| (dot / d + 1.0).powi(3);
    let within = |x: MatRef<'_, f64>| {
        let n = x.ncols();
        let mut gram = Mat::zeros(n, n);
        add_gram(&mut gram, x.transpose());
        let below: f64 = (0..n)
            .map(|j| (j + 1..n).map(|i| kernel(gram[(i, j)])).sum::<f64>())
            .sum();
        2.0 * below / (n * (n - 1)) as f64
    };
    let cross = x.transpose() * y;
    let sum: f64 = (0..y.ncols())
        .map(|j| (0..x.ncols()).map(|i| kernel(cross[(i, j)])).sum::<f64>())
        .sum();
    Ok(within(x) + within(y) - 2.0 * sum / (x.ncols() * y.ncols()) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(values: &[f32]) -> Features {
        Features::new(values.to_vec(), 2).expect("rows of two")
    }

    #[test]
    fn the_estimator_leaves_out_equal_pairs() {
        // d = 2: k(x, y) = (x·y / 2 + 1)³.
        let a = features(&[2.0, 0.0, 0.0, 2.0]);
        let b = features(&[2.0, 2.0, 0.0, 0.0, 2.0, 0.0]);
        // Within a: dot 0 → 1. Within b: dots 0, 4, 0 → (1 + 27 + 1) / 3. Between: 4, 0, 4, 4, 0, 0
        // → (3·27 + 3) / 6.
        let expected = 1.0 + 29.0 / 3.0 - 2.0 * 14.0;
        assert!((mmd2(&a, &b).expect("a number") - expected).abs() < 1e-12);
    }

    #[test]
    fn subsets_of_all_images_are_the_whole() {
        let a = features(&[1.0, 0.5, -0.3, 2.0, 0.1, 0.2]);
        let b = features(&[0.7, 0.1, 1.0, 1.0, 0.0, -2.0]);
        let mut told = Vec::new();
        let found = kid(&a, &b, 4, 3, 9, &mut |n| told.push(n)).expect("subsets");
        assert!(
            (found.mean - mmd2(&a, &b).expect("a number")).abs() < 1e-12
                && found.std.is_some_and(|std| std < 1e-12)
        );
        assert_eq!(told, [1, 2, 3, 4]);
        let smaller = kid(&a, &b, 50, 2, 9, &mut |_| ()).expect("subsets");
        assert!(
            smaller.std.is_some_and(|std| std > 0.0)
                && smaller != kid(&a, &b, 50, 2, 10, &mut |_| ()).expect("subsets")
        );
        assert!(kid(&a, &b, 1, 4, 0, &mut |_| ()).is_err());
        assert_eq!(
            kid(&a, &b, 1, 3, 0, &mut |_| ()).expect("one subset").std,
            None,
            "one value has no spread"
        );
    }

    #[test]
    fn the_number_of_subsets_follows_from_the_number_of_images() {
        for (count, rule) in [
            (2, [1, 2]),
            (3, [1, 3]),
            (4, [100, 2]),
            (16, [100, 8]),
            (1000, [100, 500]),
        ] {
            assert_eq!(subsets(count), rule);
        }
        assert_eq!([1001, 50_000].map(subsets), [[100, 1000]; 2]);
    }

    #[test]
    fn draws_are_different_and_cover_all() {
        let stream = |step| Stream {
            seed: 3,
            step,
            stream: Draw::KidSubsets.stream(),
            first: 0,
        };
        let mut seen = [0; 7];
        for step in 0..700 {
            let mut drawn = draw(7, 3, stream(step));
            drawn.iter().for_each(|&i| seen[i] += 1);
            drawn.sort_unstable();
            drawn.dedup();
            assert_eq!(drawn.len(), 3);
        }
        // Each is expected 300 times, with a standard deviation of 13.
        assert!(seen.iter().all(|&n| (240..360).contains(&n)), "{seen:?}");
    }
}
