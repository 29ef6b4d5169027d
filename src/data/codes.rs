//! Data sets of discrete codes: sequences or grids that the user supplies as `.npz`, `.safetensors`
//! or text.

use std::fs::File;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use zip::ZipArchive;
use zip::result::ZipError;

use super::npy::{self, Array};
use super::{Held, ImageSet, hold_out};
use crate::error::{Error, Result};

/// Most codes of a data set.
const MOST: usize = 1 << 27;
/// Most distinct codes, the limit of a configuration.
const MOST_DIFFERENT: usize = 1 << 16;
/// Share of the samples held out.
const HELD_OUT: f64 = 0.1;
/// The names of the arrays.
const CODES: &str = "codes";
const CODEBOOK: &str = "codebook";
const SYMBOLS: &str = "symbols";

/// Samples of discrete codes, sequences or grids.
#[derive(Clone, Debug, PartialEq)]
pub struct CodeSet {
    /// Rows and columns of a sample; sequences have one row.
    pub grid: [usize; 2],
    /// The codes of all samples, [n, h, w].
    pub codes: Vec<u32>,
    /// Number of codes, K.
    pub count: usize,
    /// Code vectors [K, d], and d.
    pub codebook: Option<(Vec<f32>, usize)>,
    /// For a text, the character of each code.
    pub symbols: Option<Vec<char>>,
}

/// How a text becomes codes.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// Characters per sample: a text is cut into consecutive windows.
    pub window: usize,
    /// The alphabet, sorted; `None` for the characters that occur.
    pub symbols: Option<&'a [char]>,
}

/// Reads the data set in `file`, which needs at least two samples.
///
/// # Errors
/// [`Error::Data`] if it is not such a data set, [`Error::Io`] if it cannot be read.
pub fn open(file: &Path, text: Text) -> Result<CodeSet> {
    read(file, text)?
        .checked()
        .map_err(|what| Error::Data(format!("{}: {what}", file.display())))
}

/// Reads the samples in `file`.
///
/// # Errors
/// [`Error::Data`] if there are none, [`Error::Io`] if it cannot be read.
pub fn read(file: &Path, text: Text) -> Result<CodeSet> {
    let wrong = |what: String| Error::Data(format!("{}: {what}", file.display()));
    if file.is_dir() {
        return Err(wrong(
            "is a folder; name a file of codes: .npz, .safetensors or text".into(),
        ));
    }
    match file.extension().and_then(|end| end.to_str()) {
        Some("npz") => {
            let mut archive = open_npz(file)?;
            let mut array = |name: &str| of_npz(&mut archive, name);
            of_arrays(&mut array).map_err(wrong)
        }
        Some("safetensors") => {
            let bytes = std::fs::read(file).map_err(Error::io(file))?;
            let tensors = SafeTensors::deserialize(&bytes)
                .map_err(|e| wrong(format!("it is not a .safetensors file ({e})")))?;
            of_arrays(&mut |name| of_safetensors(&tensors, name)).map_err(wrong)
        }
        _ => {
            let bytes = std::fs::read(file).map_err(Error::io(file))?;
            let letters = String::from_utf8(bytes)
                .map_err(|_| wrong("is not .npz, .safetensors or UTF-8 text".into()))?;
            of_text(&letters, text).map_err(wrong)
        }
    }
}

/// Looks up an array of a file by name.
type Arrays<'a> = dyn FnMut(&str) -> Result<Option<Array>, String> + 'a;

fn open_npz(file: &Path) -> Result<ZipArchive<File>> {
    let opened = File::open(file).map_err(Error::io(file))?;
    ZipArchive::new(opened)
        .map_err(|e| Error::Data(format!("{}: it is not an .npz file ({e})", file.display())))
}

fn of_npz(archive: &mut ZipArchive<File>, name: &str) -> Result<Option<Array>, String> {
    match archive.by_name(&format!("{name}.npy")) {
        Ok(entry) => npy::read(entry, MOST)
            .map(Some)
            .map_err(|e| format!("array `{name}`: {e}")),
        Err(ZipError::FileNotFound) => Ok(None),
        Err(other) => Err(format!("array `{name}`: {other}")),
    }
}

fn of_safetensors(tensors: &SafeTensors, name: &str) -> Result<Option<Array>, String> {
    let Ok(tensor) = tensors.tensor(name) else {
        return Ok(None);
    };
    let data = tensor.data();
    macro_rules! read {
        ($number:ty) => {
            bytemuck::pod_collect_to_vec::<u8, $number>(data)
                .into_iter()
                .map(|n| n as f64)
                .collect()
        };
    }
    let values = match tensor.dtype() {
        Dtype::U8 => read!(u8),
        Dtype::I8 => read!(i8),
        Dtype::U16 => read!(u16),
        Dtype::I16 => read!(i16),
        Dtype::U32 => read!(u32),
        Dtype::I32 => read!(i32),
        Dtype::U64 => read!(u64),
        Dtype::I64 => read!(i64),
        Dtype::F32 => read!(f32),
        Dtype::F64 => read!(f64),
        other => {
            return Err(format!(
                "tensor `{name}`: its type is {other:?}; save floats or integers"
            ));
        }
    };
    Ok(Some(Array {
        shape: tensor.shape().to_vec(),
        values,
        fortran: false,
    }))
}

fn of_arrays(array: &mut Arrays) -> Result<CodeSet, String> {
    let found =
        array(CODES)?.ok_or("it has no array `codes`, [n, length] or [n, height, width]")?;
    let grid = match found.shape[..] {
        [_, length] => [1, length],
        [_, height, width] => [height, width],
        _ => {
            return Err(format!(
                "`codes` is {:?}, not [n, length] or [n, height, width]",
                found.shape
            ));
        }
    };
    if found.fortran {
        return Err("`codes` is in Fortran order; save numpy.ascontiguousarray of it".into());
    }
    let codes = found
        .values
        .iter()
        .enumerate()
        .map(|(at, &value)| whole(value).ok_or_else(|| no_code(value, at, &found.shape)))
        .collect::<Result<Vec<u32>, String>>()?;
    let highest = codes.iter().max().map_or(0, |&code| code as usize);
    let codebook = array(CODEBOOK)?
        .map(|found| vectors(found, highest))
        .transpose()?;
    let symbols = array(SYMBOLS)?
        .map(|found| characters(&found, highest))
        .transpose()?;
    let count = match (&codebook, &symbols) {
        (Some((vectors, dim)), _) => vectors.len() / dim,
        (None, Some(symbols)) => symbols.len(),
        (None, None) => highest + 1,
    };
    Ok(CodeSet {
        grid,
        codes,
        count,
        codebook,
        symbols,
    })
}

/// `value` as a code, if it is an integer in range.
fn whole(value: f64) -> Option<u32> {
    let fits = value >= 0.0 && value < MOST_DIFFERENT as f64 && value.fract() == 0.0;
    fits.then_some(value as u32)
}

fn no_code(value: f64, at: usize, shape: &[usize]) -> String {
    let sample = at / shape[1..].iter().product::<usize>();
    format!(
        "`codes` has {value} in sample {sample}; codes are whole numbers from 0 to {}",
        MOST_DIFFERENT - 1
    )
}

/// Code vectors [K, d] and d, for codes up to `highest`.
fn vectors(found: Array, highest: usize) -> Result<(Vec<f32>, usize), String> {
    let [count, dim] = found.shape[..] else {
        return Err(format!("`codebook` is {:?}, not [K, d]", found.shape));
    };
    if found.fortran {
        return Err("`codebook` is in Fortran order; save numpy.ascontiguousarray of it".into());
    }
    if count <= highest {
        return Err(format!(
            "`codebook` has {count} vectors, but `codes` has code {highest}"
        ));
    }
    let values: Vec<f32> = found.values.iter().map(|&value| value as f32).collect();
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        return Err(format!("`codebook` is not finite: vector {}", at / dim));
    }
    let mut rows: Vec<(&[f32], usize)> = values.chunks_exact(dim).zip(0..).collect();
    rows.sort_by(|(a, _), (b, _)| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    if let Some(pair) = rows.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(format!(
            "`codebook` has the same vector for codes {} and {}, which makes them indistinguishable",
            pair[0].1, pair[1].1
        ));
    }
    Ok((values, dim))
}

/// The characters of code points `[K]`, for codes up to `highest`.
fn characters(found: &Array, highest: usize) -> Result<Vec<char>, String> {
    if found.shape.len() != 1 || found.values.len() <= highest {
        return Err(format!(
            "`symbols` is {:?}, but must hold one code point for each of the {} codes",
            found.shape,
            highest + 1
        ));
    }
    let character = |&value: &f64| {
        let point = value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value);
        point
            .then(|| char::from_u32(value as u32))
            .flatten()
            .ok_or_else(|| format!("`symbols` has {value}, which is not a Unicode code point"))
    };
    found.values.iter().map(character).collect()
}

/// Cuts a text into consecutive windows; an incomplete last one is dropped. Without `symbols`,
/// codes number the characters that occur, in order of code point.
fn of_text(letters: &str, Text { window, symbols }: Text) -> Result<CodeSet, String> {
    let letters = letters.strip_prefix('\u{feff}').unwrap_or(letters);
    let letters: Vec<char> = letters.chars().collect();
    let symbols = match symbols {
        Some(symbols) => symbols.to_vec(),
        None => {
            let mut symbols = letters.clone();
            symbols.sort_unstable();
            symbols.dedup();
            symbols
        }
    };
    let kept = letters.len() / window * window;
    if kept == 0 {
        return Err(format!(
            "it has {} characters, fewer than the {window} of a sample",
            letters.len()
        ));
    }
    let code = |symbol: &char| {
        symbols
            .binary_search(symbol)
            .map(|code| code as u32)
            .map_err(|_| format!("{symbol:?} does not occur in the training text"))
    };
    let codes = letters[..kept].iter().map(code).collect::<Result<_, _>>()?;
    Ok(CodeSet {
        grid: [1, window],
        codes,
        count: symbols.len(),
        codebook: None,
        symbols: Some(symbols),
    })
}

impl CodeSet {
    /// Itself, if it can be trained on.
    fn checked(self) -> Result<CodeSet, String> {
        let [height, width] = self.grid;
        let samples = self.len();
        if samples < 2 {
            return Err(format!(
                "it has {samples} samples of {height}x{width} codes; at least two are needed, one to train on and one held out"
            ));
        }
        if self.count < 2 {
            return Err("all its codes are the same; there is nothing to learn".into());
        }
        if self.count > MOST_DIFFERENT {
            return Err(format!(
                "it has {} distinct codes, over the limit of {MOST_DIFFERENT}",
                self.count
            ));
        }
        Ok(self)
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.codes.len() / self.grid.iter().product::<usize>()
    }

    /// Whether it holds no sample.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// Training samples and held-out samples.
    ///
    /// # Errors
    /// [`Error::Data`] if there are too few.
    pub fn split(&self, name: &str) -> Result<[ImageSet; 2]> {
        hold_out(&self.samples(name), Held::Share(HELD_OUT))
    }

    /// All samples.
    pub fn samples(&self, name: &str) -> ImageSet {
        ImageSet::from_codes(name, self.grid, &self.codes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(shape: &[usize], values: &[f64]) -> Array {
        Array {
            shape: shape.to_vec(),
            values: values.to_vec(),
            fortran: false,
        }
    }

    /// A set of arrays, by name.
    fn set(arrays: &[(&str, Array)]) -> Result<CodeSet, String> {
        of_arrays(&mut |name| {
            Ok(arrays
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, array)| array.clone()))
        })?
        .checked()
    }

    #[test]
    fn sequences_grids_and_vectors_are_read() {
        let codes = ("codes", array(&[2, 2], &[0.0, 2.0, 1.0, 0.0]));
        let found = set(std::slice::from_ref(&codes)).expect("sequences");
        assert_eq!((found.grid, found.count, found.len()), ([1, 2], 3, 2));
        let grids = set(&[("codes", array(&[2, 2, 1], &[0.0, 2.0, 1.0, 0.0]))]).expect("grids");
        assert_eq!(grids.grid, [2, 1]);
        let vectors = ("codebook", array(&[4, 1], &[0.5, 1.0, 2.0, 3.0]));
        let found = set(&[codes.clone(), vectors]).expect("with vectors");
        assert_eq!(
            (found.count, found.codebook),
            (4, Some((vec![0.5, 1.0, 2.0, 3.0], 1)))
        );
        let symbols = ("symbols", array(&[3], &[97.0, 98.0, 8_364.0]));
        assert_eq!(
            set(&[codes, symbols]).expect("with symbols").symbols,
            Some(vec!['a', 'b', '€'])
        );
    }

    #[test]
    fn what_is_no_set_of_codes_is_said_in_a_sentence() {
        let codes = ("codes", array(&[2, 2], &[0.0, 2.0, 1.0, 0.0]));
        let with = |name, shape: &[usize], values: &[f64]| {
            vec![codes.clone(), (name, array(shape, values))]
        };
        for (arrays, words) in [
            (vec![], "no array `codes`"),
            (vec![("codes", array(&[4], &[0.0; 4]))], "`codes` is [4]"),
            (vec![("codes", array(&[1, 4], &[0.0; 4]))], "1 samples"),
            (vec![("codes", array(&[2, 2], &[0.0; 4]))], "the same"),
            (
                vec![("codes", array(&[2, 2], &[0.0, 1.0, 0.0, -1.0]))],
                "-1 in sample 1",
            ),
            (
                vec![("codes", array(&[2, 2], &[0.5, 1.0, 0.0, 1.0]))],
                "0.5 in sample 0",
            ),
            (
                vec![("codes", array(&[2, 2], &[65_536.0, 1.0, 0.0, 1.0]))],
                "65536 in sample 0",
            ),
            (with("codebook", &[2, 1], &[0.0, 1.0]), "has code 2"),
            (with("codebook", &[3], &[0.0, 1.0, 2.0]), "not [K, d]"),
            (with("codebook", &[3, 1], &[0.0, 1.0, 0.0]), "codes 0 and 2"),
            (with("codebook", &[3, 1], &[0.0, f64::NAN, 1.0]), "vector 1"),
            (with("symbols", &[2], &[97.0, 98.0]), "`symbols` is [2]"),
            (
                with("symbols", &[3], &[97.0, 98.0, 55_296.0]),
                "not a Unicode code point",
            ),
        ] {
            let said = set(&arrays).expect_err(words);
            assert!(said.contains(words), "{words}: {said}");
        }
    }

    #[test]
    fn a_text_is_cut_into_windows() {
        let text = Text {
            window: 3,
            symbols: None,
        };
        let found = of_text("\u{feff}abcabdx", text).expect("two windows");
        assert_eq!(found.codes, [0, 1, 2, 0, 1, 3]);
        assert_eq!(found.symbols, Some(vec!['a', 'b', 'c', 'd', 'x']));
        let known = Text {
            symbols: found.symbols.as_deref(),
            ..text
        };
        assert_eq!(of_text("dad", known).expect("known").codes, [3, 0, 3]);
        for (letters, text, words) in [
            ("dae", known, "'e' does not occur"),
            ("ab", text, "2 characters"),
        ] {
            let said = of_text(letters, text).expect_err(words);
            assert!(said.contains(words), "{said}");
        }
        let short = of_text("abc", text).expect("a window").checked();
        assert!(short.is_err_and(|said| said.contains("1 samples of 1x3")));
        let same = of_text("aaaaaa", text).expect("two windows").checked();
        assert!(same.is_err_and(|said| said.contains("the same")));
    }

    #[test]
    fn a_file_is_read_by_its_ending() {
        let text = Text {
            window: 2,
            symbols: None,
        };
        let folder = tempfile::tempdir().expect("a temporary directory");
        let of = |name: &str, bytes: &[u8]| {
            let file = folder.path().join(name);
            std::fs::write(&file, bytes).expect("a temporary file");
            open(&file, text)
        };
        assert_eq!(of("a.txt", b"abba").expect("a text").len(), 2);
        for (name, words) in [
            ("a.npz", "not an .npz"),
            ("a.safetensors", "not a .safetensors"),
        ] {
            let said = of(name, b"abba").expect_err(words);
            assert!(
                said.exit_code() == 8 && said.to_string().contains(words),
                "{said}"
            );
        }
        assert!(of("a.bin", &[0xFF, 0xFE, 0xFF]).is_err());
        assert!(open(folder.path(), text).is_err_and(|e| e.to_string().contains("folder")));
    }
}
