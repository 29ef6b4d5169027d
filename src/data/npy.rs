//! Arrays in NumPy's `.npy` format; a `.npz` is a zip of such files.
//!
//! The input is untrusted: memory is allocated as data arrive, not as the header claims. The header
//! is parsed by hand: py_literal, which the crate npyz uses, takes 23 s for a 104-byte header that
//! nests 20 dictionaries.

use std::io::Read;

/// Most bytes of a file's header, without magic and length.
const HEAD: usize = 1 << 16;
/// First bytes of a file.
const MAGIC: &[u8] = b"\x93NUMPY";

/// The header of an `f64` array in NumPy's format 1.0: magic, length, a Python dictionary, padded
/// to a multiple of 64 bytes.
pub fn header(shape: &[usize]) -> Vec<u8> {
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

/// An array of any supported NumPy type, as `f64`; integers are exact up to 2⁵³.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Shape.
    pub shape: Vec<usize>,
    /// The numbers, in the order of the file.
    pub values: Vec<f64>,
    /// Whether they are in Fortran order, the first index fastest.
    pub fortran: bool,
}

/// Reads an array of at most `most` numbers.
///
/// # Errors
/// What is wrong with it.
pub fn read(mut file: impl Read, most: usize) -> Result<Array, String> {
    let mut start = [0; 12];
    let short = |e: std::io::Error| format!("it ends early ({e})");
    file.read_exact(&mut start[..10]).map_err(short)?;
    if &start[..6] != MAGIC {
        return Err("it does not begin like a NumPy array".into());
    }
    let mut length = usize::from(u16::from_le_bytes([start[8], start[9]]));
    if start[6] > 1 {
        // Format 2 and 3 have two bytes more for the length.
        file.read_exact(&mut start[10..]).map_err(short)?;
        length |= usize::from(u16::from_le_bytes([start[10], start[11]])) << 16;
    }
    if length > HEAD {
        return Err(format!(
            "its header has {length} bytes, over the limit of {HEAD}"
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
        .ok_or_else(|| format!("its shape {shape:?} does not hold 1 to {most} numbers"))?;
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
    Ok(Array {
        shape,
        values: data.chunks_exact(number.bytes).map(number.read).collect(),
        fortran: field(&text, "fortran_order") == Some("True"),
    })
}

/// How a number is stored in a file.
struct Number {
    bytes: usize,
    read: fn(&[u8]) -> f64,
}

/// The format of the numbers that NumPy calls `descr`.
fn type_of(descr: &str) -> Result<Number, String> {
    macro_rules! number {
        ($type:ty, $from:ident) => {
            Number {
                bytes: size_of::<$type>(),
                read: |bytes| <$type>::$from(bytes.try_into().unwrap_or_default()) as f64,
            }
        };
    }
    Ok(match descr {
        "'<f8'" => number!(f64, from_le_bytes),
        "'>f8'" => number!(f64, from_be_bytes),
        "'<f4'" => number!(f32, from_le_bytes),
        "'>f4'" => number!(f32, from_be_bytes),
        "'|u1'" => number!(u8, from_le_bytes),
        "'|i1'" => number!(i8, from_le_bytes),
        "'<u2'" => number!(u16, from_le_bytes),
        "'<i2'" => number!(i16, from_le_bytes),
        "'<u4'" => number!(u32, from_le_bytes),
        "'<i4'" => number!(i32, from_le_bytes),
        "'<u8'" => number!(u64, from_le_bytes),
        "'<i8'" => number!(i64, from_le_bytes),
        "'|O'" => {
            return Err(
                "it holds Python objects, which are not read; save integers or floats".into(),
            );
        }
        other => {
            return Err(format!(
                "its type is {other}, not an integer of 8 to 64 bits, float32 or float64"
            ));
        }
    })
}

/// The value of `key` in a dictionary without spaces; a tuple lacks its closing parenthesis.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("'{key}':"))?;
    rest.split(if rest.starts_with('(') { ')' } else { ',' })
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(shape: &[usize], values: Vec<f64>) -> Array {
        Array {
            shape: shape.to_vec(),
            values,
            fortran: false,
        }
    }

    #[test]
    fn heads_are_read_back_and_others_refused() {
        for shape in [&[][..], &[3], &[2, 5]] {
            let count = shape.iter().product::<usize>();
            let numbers: Vec<f64> = (0..count).map(|i| 0.1 * i as f64).collect();
            let data: Vec<u8> = numbers.iter().flat_map(|v| v.to_le_bytes()).collect();
            let file = [header(shape), data].concat();
            assert_eq!(header(shape).len() % 64, 0);
            assert_eq!(read(&file[..], 10), Ok(array(shape, numbers)));
            assert!(read(&file[..file.len() - 1], 10).is_err_and(|e| e.contains("ends early")));
        }
        let text =
            |old: &str, new: &str| String::from_utf8_lossy(&header(&[3])[10..]).replace(old, new);
        let with = |old: &str, new: &str| {
            [&header(&[3])[..10], text(old, new).as_bytes(), &[0; 24]].concat()
        };
        assert_eq!(
            read(&with("<f8", "<f4")[..], 3),
            Ok(array(&[3], vec![0.0; 3]))
        );
        assert_eq!(
            read(&with("<f8", ">f8")[..], 3),
            Ok(array(&[3], vec![0.0; 3]))
        );
        assert!(read(&with("False", "True ")[..], 3).is_ok_and(|array| array.fortran));
        let ones = [
            &with("<f8", "<i2")[..header(&[3]).len()],
            &[1, 0, 2, 0, 0xFF, 0xFF],
        ]
        .concat();
        assert_eq!(read(&ones[..], 3), Ok(array(&[3], vec![1.0, 2.0, -1.0])));
        assert!(read(&with("<f8", "<c8")[..], 3).is_err_and(|e| e.contains("'<c8'")));
        assert!(read(&with("<f8", "|O")[..], 3).is_err_and(|e| e.contains("Python objects")));
        assert!(read(&with("(3,)", "(9,)")[..], 3).is_err_and(|e| e.contains("[9]")));
        for shape in [
            "(99999999999999999999,)",
            "(-3,)",
            "(3",
            "(0,)",
            "(4294967296,4294967296)",
        ] {
            assert!(read(&with("(3,)", shape)[..], 3).is_err(), "{shape}");
        }
        assert!(read(&b"PK"[..], 3).is_err());
        // Format 2 has a four-byte length; a gigantic header is refused before memory is allocated
        // for it.
        let long = [MAGIC, &[2, 0], &(1u32 << 30).to_le_bytes()].concat();
        assert!(read(&long[..], 3).is_err_and(|e| e.contains("over the limit")));
    }
}
