//! Statistics in pytorch-fid's files: a zip of NumPy arrays `mu` [d] and `sigma` [d, d], to which ours add `n`.

use std::fs::File;
use std::io::{Cursor, Read, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::Statistics;
use crate::error::{Error, Result};
use crate::run::run_dir;

/// Most features that are read.
const WIDEST: usize = 1 << 14;
/// How an array's file begins.
const MAGIC: &[u8] = b"\x93NUMPY";

/// Reads statistics.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Data`] if it is not of this kind.
pub fn read_npz(path: &Path) -> Result<Statistics> {
    let file = File::open(path).map_err(Error::io(path))?;
    let wrong = |what: String| {
        let hint = "statistics come from `python -m pytorch_fid --save-stats`, or from this program";
        Error::Data(format!("{}: {what}; {hint}", path.display()))
    };
    let mut archive = ZipArchive::new(file).map_err(|e| wrong(format!("it is no .npz ({e})")))?;
    let mut array = |name: &str, most: usize| {
        let entry = archive.by_name(&format!("{name}.npy")).map_err(|e| format!("array `{name}`: {e}"))?;
        parse(entry, most).map_err(|e| format!("array `{name}`: {e}"))
    };
    let (shape, mean) = array("mu", WIDEST).map_err(wrong)?;
    let d = mean.len();
    let (square, covariance) = array("sigma", d * d).map_err(wrong)?;
    if shape != [d] || square != [d, d] {
        return Err(wrong(format!("mu is {shape:?} and sigma {square:?}, not [d] and [d, d]")));
    }
    if mean.iter().chain(&covariance).any(|v| !v.is_finite()) {
        return Err(wrong("it has numbers that are not finite".into()));
    }
    // pytorch-fid does not say how many images there were.
    let n = array("n", 1).ok().and_then(|(_, n)| n.first().map(|&n| n as usize));
    Ok(Statistics { n, mean, covariance })
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
    run_dir::write(path, &pack().map_err(Error::io(path))?)
}

/// The head of an array's file, NumPy's format 1.0: magic, length, a Python dictionary, padded to a multiple of 64 bytes.
fn header(shape: &[usize]) -> Vec<u8> {
    let sides: String = shape.iter().map(|side| format!("{side},")).collect();
    let text = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({sides}), }}");
    let length = (10 + text.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = [MAGIC, &[1, 0], &(length as u16).to_le_bytes(), text.as_bytes()].concat();
    bytes.resize(10 + length - 1, b' ');
    bytes.push(b'\n');
    bytes
}

/// Shape and numbers of an array's file with at most `most` numbers.
fn parse(mut file: impl Read, most: usize) -> Result<(Vec<usize>, Vec<f64>), String> {
    let mut start = [0; 12];
    file.read_exact(&mut start[..10]).map_err(|e| e.to_string())?;
    if &start[..6] != MAGIC {
        return Err("it does not begin as NumPy's arrays do".into());
    }
    let mut length = usize::from(u16::from_le_bytes([start[8], start[9]]));
    if start[6] > 1 {
        // Format 2 and 3 have two bytes more for the length, which nobody needs here.
        file.read_exact(&mut start[10..]).map_err(|e| e.to_string())?;
        length |= usize::from(u16::from_le_bytes([start[10], start[11]])) << 16;
    }
    let mut text = Vec::new();
    file.by_ref().take(length.min(1 << 16) as u64).read_to_end(&mut text).map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&text).replace(' ', "");
    let bytes = match field(&text, "descr") {
        Some("'<f8'") => 8,
        Some("'<f4'") => 4,
        other => return Err(format!("its type is {}, not '<f8' or '<f4'", other.unwrap_or("missing"))),
    };
    let shape = field(&text, "shape").and_then(|sides| {
        let sides = sides.strip_prefix('(')?.split(',').filter(|side| !side.is_empty());
        sides.map(|side| side.parse().ok()).collect::<Option<Vec<usize>>>()
    });
    let shape = shape.ok_or("its shape cannot be read")?;
    let count = shape.iter().try_fold(1, |count: usize, &side| count.checked_mul(side));
    let count = count.filter(|&n| n > 0 && n <= most).ok_or(format!("its shape {shape:?} does not fit"))?;
    let mut data = vec![0; count * bytes];
    file.read_exact(&mut data).map_err(|e| format!("it ends early ({e})"))?;
    let number = |b: &[u8]| match *b {
        [a, b, c, d] => f64::from(f32::from_le_bytes([a, b, c, d])),
        _ => f64::from_le_bytes(b.try_into().expect("eight bytes")),
    };
    // The order of a covariance's dimensions does not matter.
    Ok((shape, data.chunks_exact(bytes).map(number).collect()))
}

/// The value of `key` in a dictionary without spaces; of a tuple all but its end.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("'{key}':"))?;
    rest.split(if rest.starts_with('(') { ')' } else { ',' }).next()
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
        let text = |old: &str, new: &str| String::from_utf8_lossy(&header(&[3])[10..]).replace(old, new);
        let with = |old: &str, new: &str| [&header(&[3])[..10], text(old, new).as_bytes(), &[0; 24]].concat();
        assert_eq!(parse(&with("<f8", "<f4")[..], 3), Ok((vec![3], vec![0.0; 3])));
        assert!(parse(&with("<f8", "<i8")[..], 3).is_err_and(|e| e.contains("'<i8'")));
        assert!(parse(&with("(3,)", "(9,)")[..], 3).is_err_and(|e| e.contains("[9]")));
        assert!(parse(&b"PK"[..], 3).is_err());
    }
}
