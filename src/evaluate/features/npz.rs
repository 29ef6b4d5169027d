//! Statistics in pytorch-fid's files: a zip of NumPy arrays `mu` [d] and `sigma` [d, d], to which
//! ours add `n`.
//!
//! Foreign bytes: an array takes memory as it is unpacked, not as it claims to have, and no more
//! than [`WIDEST`] features have.

use std::fs::File;
use std::io::{Cursor, Read, Write};
use std::path::Path;

use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::Statistics;
use crate::error::{Error, Result};
use crate::models::inception::FEATURES;
use crate::report::file;

/// Most features that are read.
const WIDEST: usize = FEATURES;
/// Most letters of an array's head.
const HEAD: usize = 1 << 16;
/// How an array's file begins.
const MAGIC: &[u8] = b"\x93NUMPY";
/// Largest difference of a covariance from its transpose, as a share of its largest number.
const ASYMMETRY: f64 = 1e-5;

/// Reads statistics.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Data`] if it is not of this kind.
pub fn read_npz(path: &Path) -> Result<Statistics> {
    let file = File::open(path).map_err(Error::io(path))?;
    let wrong = |what: String| {
        let hint = "statistics come from `python -m pytorch_fid --save-stats`, or from `evaluate --save-stats`";
        Error::Data(format!("{}: {what}; {hint}", path.display()))
    };
    let mut archive = ZipArchive::new(file).map_err(|e| wrong(format!("it is no .npz ({e})")))?;
    let mut array = |name: &str, most: usize| {
        let entry = archive
            .by_name(&format!("{name}.npy"))
            .map_err(|e| match e {
                ZipError::FileNotFound => format!("it has no array `{name}`"),
                other => format!("array `{name}`: {other}"),
            })?;
        parse(entry, most).map_err(|e| format!("array `{name}`: {e}"))
    };
    let (shape, mean) = array("mu", WIDEST).map_err(wrong)?;
    let d = mean.len();
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
            "sigma is no covariance: it is not symmetric, or a variance is below 0".into(),
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

/// Whether `matrix` [d, d] is symmetric, but for rounding, with a diagonal that is not negative.
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

/// Writes statistics, whole or not at all.
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
            archive.write_all(&header(shape))?;
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

/// The head of an array's file, NumPy's format 1.0: magic, length, a Python dictionary, padded to a
/// multiple of 64 bytes.
fn header(shape: &[usize]) -> Vec<u8> {
    let sides: String = shape.iter().map(|side| format!("{side},")).collect();
    let text = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({sides}), }}");
    let length = (10 + text.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = [
        MAGIC,
        &[1, 0],
        &(length as u16).to_le_bytes(),
        text.as_bytes(),
    ]
    .concat();
    bytes.resize(10 + length - 1, b' ');
    bytes.push(b'\n');
    bytes
}

/// Shape and numbers of an array's file with at most `most` numbers.
fn parse(mut file: impl Read, most: usize) -> Result<(Vec<usize>, Vec<f64>), String> {
    let mut start = [0; 12];
    let short = |e: std::io::Error| format!("it ends early ({e})");
    file.read_exact(&mut start[..10]).map_err(short)?;
    if &start[..6] != MAGIC {
        return Err("it does not begin as NumPy's arrays do".into());
    }
    let mut length = usize::from(u16::from_le_bytes([start[8], start[9]]));
    if start[6] > 1 {
        // Format 2 and 3 have two bytes more for the length.
        file.read_exact(&mut start[10..]).map_err(short)?;
        length |= usize::from(u16::from_le_bytes([start[10], start[11]])) << 16;
    }
    if length > HEAD {
        return Err(format!(
            "its head has {length} letters, over the limit of {HEAD}"
        ));
    }
    let mut text = vec![0; length];
    file.read_exact(&mut text).map_err(short)?;
    let text = String::from_utf8_lossy(&text).replace(' ', "");
    let number = type_of(field(&text, "descr").unwrap_or("missing"))?;
    let shape = field(&text, "shape").and_then(|sides| {
        let sides = sides
            .strip_prefix('(')?
            .split(',')
            .filter(|side| !side.is_empty());
        sides
            .map(|side| side.parse().ok())
            .collect::<Option<Vec<usize>>>()
    });
    let shape = shape.ok_or("its shape cannot be read")?;
    let count = shape
        .iter()
        .try_fold(1, |count: usize, &side| count.checked_mul(side));
    let count = count
        .filter(|&n| n > 0 && n <= most)
        .ok_or_else(|| format!("its shape {shape:?} is not that of at most {most} numbers"))?;
    let mut data = Vec::new();
    file.take((count * number.bytes) as u64)
        .read_to_end(&mut data)
        .map_err(short)?;
    if data.len() < count * number.bytes {
        return Err(format!(
            "it ends early, after {} of {count} numbers",
            data.len() / number.bytes
        ));
    }
    // Fortran's order is that of the transpose, which of a covariance is the same.
    Ok((
        shape,
        data.chunks_exact(number.bytes).map(number.read).collect(),
    ))
}

/// How a number lies in an array's file.
struct Number {
    bytes: usize,
    read: fn(&[u8]) -> f64,
}

/// That of NumPy's name for it.
fn type_of(descr: &str) -> Result<Number, String> {
    let of = |bytes: usize, read: fn(&[u8]) -> f64| Ok(Number { bytes, read });
    match descr {
        "'<f8'" => of(8, |b| f64::from_le_bytes(b.try_into().unwrap_or_default())),
        "'>f8'" => of(8, |b| f64::from_be_bytes(b.try_into().unwrap_or_default())),
        "'<f4'" => of(4, |b| {
            f64::from(f32::from_le_bytes(b.try_into().unwrap_or_default()))
        }),
        "'>f4'" => of(4, |b| {
            f64::from(f32::from_be_bytes(b.try_into().unwrap_or_default()))
        }),
        "'|O'" => {
            Err("it holds Python objects, which are not read; save numbers of float64".into())
        }
        other => Err(format!("its numbers are {other}, not float64 or float32")),
    }
}

/// The value of `key` in a dictionary without spaces; of a tuple all but its end.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("'{key}':"))?;
    rest.split(if rest.starts_with('(') { ')' } else { ',' })
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_back_and_others_refused() {
        for shape in [&[][..], &[3], &[2, 5]] {
            let count = shape.iter().product::<usize>();
            let numbers: Vec<f64> = (0..count).map(|i| 0.1 * i as f64).collect();
            let data: Vec<u8> = numbers.iter().flat_map(|v| v.to_le_bytes()).collect();
            let file = [header(shape), data].concat();
            assert_eq!(header(shape).len() % 64, 0);
            assert_eq!(parse(&file[..], 10), Ok((shape.to_vec(), numbers)));
            assert!(parse(&file[..file.len() - 1], 10).is_err_and(|e| e.contains("ends early")));
        }
        let text =
            |old: &str, new: &str| String::from_utf8_lossy(&header(&[3])[10..]).replace(old, new);
        let with = |old: &str, new: &str| {
            [&header(&[3])[..10], text(old, new).as_bytes(), &[0; 24]].concat()
        };
        assert_eq!(
            parse(&with("<f8", "<f4")[..], 3),
            Ok((vec![3], vec![0.0; 3]))
        );
        assert_eq!(
            parse(&with("<f8", ">f8")[..], 3),
            Ok((vec![3], vec![0.0; 3]))
        );
        assert_eq!(
            parse(&with("False", "True ")[..], 3),
            Ok((vec![3], vec![0.0; 3]))
        );
        assert!(parse(&with("<f8", "<i8")[..], 3).is_err_and(|e| e.contains("'<i8'")));
        assert!(parse(&with("<f8", "|O")[..], 3).is_err_and(|e| e.contains("Python objects")));
        assert!(parse(&with("(3,)", "(9,)")[..], 3).is_err_and(|e| e.contains("[9]")));
        for shape in [
            "(99999999999999999999,)",
            "(-3,)",
            "(3",
            "(0,)",
            "(4294967296,4294967296)",
        ] {
            assert!(parse(&with("(3,)", shape)[..], 3).is_err(), "{shape}");
        }
        assert!(parse(&b"PK"[..], 3).is_err());
        // Format 2 says its length in four bytes; a gigantic head is refused before there is memory
        // for it.
        let long = [MAGIC, &[2, 0], &(1u32 << 30).to_le_bytes()].concat();
        assert!(parse(&long[..], 3).is_err_and(|e| e.contains("over the limit")));
    }

    /// A file with these arrays, unpacked.
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
            header(shape),
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
                "a variance is below 0",
            ),
            (
                vec![mu.clone(), sigma([2.0, f64::NAN, f64::NAN, 2.0])],
                "not finite",
            ),
            (
                vec![mu.clone(), ("sigma", array(&[3, 3], &[0.0; 9]))],
                "[3, 3] is not that of at most 4",
            ),
            (
                vec![("mu", header(&[2048])), sigma([0.0; 4])],
                "after 0 of 2048 numbers",
            ),
            (vec![("mu", array(&[4096], &[0.0; 4096]))], "at most 2048"),
            (
                vec![("mu", b"mu = [1, 2]".to_vec())],
                "does not begin as NumPy's",
            ),
        ] {
            let error = read(&zipped(&arrays)).expect_err(words);
            assert!(
                error.exit_code() == 8 && error.to_string().contains(words),
                "{words}: {error}"
            );
        }
    }

    /// Each byte of a file changed, and the file cut off at each: statistics or a sentence.
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
