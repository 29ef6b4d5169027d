//! Statistics in pytorch-fid's format: a zip of NumPy arrays `mu` [d] and `sigma` [d, d], to which
//! our files add `n`.
//!
//! The files are untrusted input: an array never takes more memory than [`WIDEST`] features need.

use std::fs::File;
use std::io::{Cursor, Write};
use std::path::Path;

use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::Statistics;
use crate::data::npy::{self, Array};
use crate::error::{Error, Result};
use crate::models::inception::FEATURES;
use crate::report::file;

/// Maximum number of features that are read.
const WIDEST: usize = FEATURES;
/// Largest accepted asymmetry of a covariance, relative to its largest entry.
const ASYMMETRY: f64 = 1e-5;

/// Reads statistics.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Data`] if it does not hold such statistics.
pub fn read_npz(path: &Path) -> Result<Statistics> {
    let file = File::open(path).map_err(Error::io(path))?;
    let wrong = |what: String| {
        let hint = "statistics come from `python -m pytorch_fid --save-stats`, or from `evaluate --save-stats`";
        Error::Data(format!("{}: {what}; {hint}", path.display()))
    };
    let mut archive =
        ZipArchive::new(file).map_err(|e| wrong(format!("it is not an .npz file ({e})")))?;
    let mut array = |name: &str, most: usize| {
        let entry = archive
            .by_name(&format!("{name}.npy"))
            .map_err(|e| match e {
                ZipError::FileNotFound => format!("it has no array `{name}`"),
                other => format!("array `{name}`: {other}"),
            })?;
        let Array { shape, values, .. } =
            npy::read(entry, most).map_err(|e| format!("array `{name}`: {e}"))?;
        Ok((shape, values))
    };
    let (shape, mean) = array("mu", WIDEST).map_err(wrong)?;
    let d = mean.len();
    // Fortran order would give the transpose, which is the same for a covariance.
    let (square, covariance) = array("sigma", d * d).map_err(wrong)?;
    if shape != [d] || square != [d, d] {
        return Err(wrong(format!(
            "mu is {shape:?} and sigma {square:?}, not [d] and [d, d]"
        )));
    }
    if mean.iter().chain(&covariance).any(|v| !v.is_finite()) {
        return Err(wrong("it has numbers that are not finite".into()));
    }
    if !is_covariance(&covariance, d) {
        return Err(wrong(
            "sigma is not a covariance: it is not symmetric, or a variance is negative".into(),
        ));
    }
    // pytorch-fid does not say how many images there were.
    let n = array("n", 1)
        .ok()
        .and_then(|(_, n)| n.first().copied())
        .filter(|n| (1.0..1e15).contains(n));
    Ok(Statistics {
        n: n.map(|n| n as usize),
        mean,
        covariance,
    })
}

/// Whether `matrix` [d, d] is symmetric up to rounding, with a non-negative diagonal.
fn is_covariance(matrix: &[f64], d: usize) -> bool {
    let most = matrix.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
    let symmetric =
        |at: usize| (matrix[at] - matrix[at % d * d + at / d]).abs() <= ASYMMETRY * most;
    (0..d * d).all(symmetric)
        && matrix
            .iter()
            .step_by(d + 1)
            .all(|&variance| variance >= -ASYMMETRY * most)
}

/// Writes statistics atomically.
///
/// # Errors
/// [`Error::Io`].
pub fn write_npz(path: &Path, statistics: &Statistics) -> Result<()> {
    let d = statistics.mean.len();
    let pack = || -> std::io::Result<Vec<u8>> {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        let mut add = |name: &str, shape: &[usize], values: &[f64]| {
            archive.start_file(format!("{name}.npy"), options)?;
            archive.write_all(&npy::header(shape))?;
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            archive.write_all(&bytes)
        };
        add("mu", &[d], &statistics.mean)?;
        add("sigma", &[d, d], &statistics.covariance)?;
        if let Some(n) = statistics.n {
            add("n", &[], &[n as f64])?;
        }
        Ok(archive.finish()?.into_inner())
    };
    file::write(path, &pack().map_err(Error::io(path))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of a file with these arrays.
    fn zipped(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in arrays {
            archive
                .start_file(format!("{name}.npy"), SimpleFileOptions::default())
                .expect("an entry");
            archive.write_all(bytes).expect("memory");
        }
        archive.finish().expect("a zip").into_inner()
    }

    fn array(shape: &[usize], values: &[f64]) -> Vec<u8> {
        [
            npy::header(shape),
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ]
        .concat()
    }

    fn read(bytes: &[u8]) -> Result<Statistics> {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let file = folder.path().join("statistics.npz");
        std::fs::write(&file, bytes).expect("a temporary file");
        read_npz(&file)
    }

    #[test]
    fn what_is_no_statistics_is_said_in_a_sentence() {
        let mu = ("mu", array(&[2], &[0.5, 1.0]));
        let sigma = |values: [f64; 4]| ("sigma", array(&[2, 2], &values));
        let good = read(&zipped(&[mu.clone(), sigma([2.0, 1.0, 1.0, 2.0])])).expect("statistics");
        assert_eq!((good.n, good.covariance), (None, vec![2.0, 1.0, 1.0, 2.0]));
        let flat = ("sigma", array(&[4], &[2.0, 1.0, 1.0, 2.0]));
        for (arrays, words) in [
            (vec![], "it has no array `mu`"),
            (vec![mu.clone()], "it has no array `sigma`"),
            (vec![mu.clone(), flat], "mu is [2] and sigma [4]"),
            (
                vec![
                    ("mu", array(&[1, 2], &[0.5, 1.0])),
                    sigma([2.0, 1.0, 1.0, 2.0]),
                ],
                "mu is [1, 2]",
            ),
            (
                vec![mu.clone(), sigma([2.0, 1.0, 0.5, 2.0])],
                "not symmetric",
            ),
            (
                vec![mu.clone(), sigma([-2.0, 1.0, 1.0, 2.0])],
                "a variance is negative",
            ),
            (
                vec![mu.clone(), sigma([2.0, f64::NAN, f64::NAN, 2.0])],
                "not finite",
            ),
            (
                vec![mu.clone(), ("sigma", array(&[3, 3], &[0.0; 9]))],
                "[3, 3] does not hold 1 to 4",
            ),
            (
                vec![("mu", npy::header(&[2048])), sigma([0.0; 4])],
                "after 0 of 2048 numbers",
            ),
            (vec![("mu", array(&[4096], &[0.0; 4096]))], "1 to 2048"),
            (
                vec![("mu", b"mu = [1, 2]".to_vec())],
                "does not begin like a NumPy array",
            ),
        ] {
            let error = read(&zipped(&arrays)).expect_err(words);
            assert!(
                error.exit_code() == 8 && error.to_string().contains(words),
                "{words}: {error}"
            );
        }
    }

    /// Changes each byte of a file and truncates the file at each; the result must be statistics or
    /// a one-line error.
    #[test]
    fn any_bytes_end_in_statistics_or_a_sentence() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let file = folder.path().join("statistics.npz");
        let statistics = Statistics {
            n: Some(9),
            mean: vec![0.5, 1.0],
            covariance: vec![2.0, 1.0, 1.0, 2.0],
        };
        write_npz(&file, &statistics).expect("a file");
        let whole = std::fs::read(&file).expect("it was written");
        for at in 0..whole.len() {
            for value in [0, 1, 0x7F, 0xFF, whole[at] ^ 0x10] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                std::fs::write(&file, &bytes).expect("a temporary file");
                _ = read_npz(&file).map_err(|e| assert!(!e.to_string().contains('\n'), "{e}"));
            }
            std::fs::write(&file, &whole[..at]).expect("a temporary file");
            assert_eq!(read_npz(&file).expect_err("cut off").exit_code(), 8);
        }
    }
}
