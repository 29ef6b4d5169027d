//! Arrays of NumPy's `.npy` files, which a `.npz` is a zip of.
//!
//! Foreign bytes: an array takes memory as it is unpacked, not as its header claims.

use std::io::Read;

use npyz::{NpyFile, Order};

/// How an array's file begins.
const MAGIC: &[u8] = b"\x93NUMPY";
/// Most letters of an array's header.
const HEAD: u32 = 1 << 16;

/// Numbers of any of NumPy's types; whole numbers are exact up to 2⁵³.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Sides.
    pub shape: Vec<usize>,
    /// The numbers, as they lie in the file.
    pub values: Vec<f64>,
    /// Whether they lie in Fortran's order, the first index fastest.
    pub fortran: bool,
}

/// Reads an array of at most `most` numbers.
///
/// # Errors
/// What is wrong with it.
pub fn read(mut file: impl Read, most: usize) -> Result<Array, String> {
    let mut start = [0; 12];
    let short = |e: std::io::Error| format!("it ends early ({e})");
    file.read_exact(&mut start).map_err(short)?;
    if !start.starts_with(MAGIC) {
        return Err("it does not begin as NumPy's arrays do".into());
    }
    // Format 1 has two bytes for the header's length, the others four.
    let length = match start[6] {
        1 => u32::from(u16::from_le_bytes([start[8], start[9]])),
        _ => u32::from_le_bytes([start[8], start[9], start[10], start[11]]),
    };
    if length > HEAD {
        return Err(format!(
            "its head has {length} letters, over the limit of {HEAD}"
        ));
    }
    let file = NpyFile::new(start.chain(file)).map_err(|e| format!("it is no array ({e})"))?;
    let shape: Vec<usize> = file.shape().iter().map(|&side| side as usize).collect();
    let count = shape
        .iter()
        .try_fold(1, |count: usize, &side| count.checked_mul(side));
    let count = count
        .filter(|&n| n > 0 && n <= most)
        .ok_or_else(|| format!("its shape {shape:?} is not that of at most {most} numbers"))?;
    let fortran = file.order() == Order::Fortran;
    Ok(Array {
        shape,
        values: numbers(file, count)?,
        fortran,
    })
}

/// The `count` numbers of `file`, whatever their type.
fn numbers<R: Read>(file: NpyFile<R>, count: usize) -> Result<Vec<f64>, String> {
    macro_rules! of_type {
        ($file:ident, $($number:ty),*) => {
            $(let $file = match $file.try_data::<$number>() {
                Ok(numbers) => return collect(numbers.map(|n| n.map(|n| n as f64)), count),
                Err(other) => other,
            };)*
        };
    }
    of_type!(file, f64, f32, u8, i8, u16, i16, u32, i32, u64, i64);
    Err(format!(
        "its numbers are {}; save floats or integers",
        file.dtype().descr()
    ))
}

fn collect(
    numbers: impl Iterator<Item = std::io::Result<f64>>,
    count: usize,
) -> Result<Vec<f64>, String> {
    let mut values = Vec::new();
    for number in numbers {
        let number = number
            .map_err(|_| format!("it ends early, after {} of {count} numbers", values.len()))?;
        values.push(number);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use npyz::WriterBuilder;

    use super::*;

    /// A file of these numbers.
    fn file<T: npyz::AutoSerialize + Copy>(shape: &[u64], values: &[T]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = npyz::WriteOptions::new()
            .default_dtype()
            .shape(shape)
            .writer(&mut bytes)
            .begin_nd()
            .expect("memory");
        values
            .iter()
            .for_each(|value| writer.push(value).expect("memory"));
        writer.finish().expect("memory");
        bytes
    }

    #[test]
    fn arrays_of_all_types_are_read() {
        let expected = Array {
            shape: vec![2, 2],
            values: vec![0.0, 1.0, 2.0, 200.0],
            fortran: false,
        };
        assert_eq!(
            read(&file(&[2, 2], &[0u8, 1, 2, 200])[..], 4),
            Ok(expected.clone())
        );
        assert_eq!(
            read(&file(&[2, 2], &[0i64, 1, 2, 200])[..], 4),
            Ok(expected.clone())
        );
        assert_eq!(
            read(&file(&[2, 2], &[0.0f32, 1.0, 2.0, 200.0])[..], 4),
            Ok(expected)
        );
        assert_eq!(
            read(&file(&[], &[-3i16])[..], 1).map(|array| array.values),
            Ok(vec![-3.0])
        );
    }

    #[test]
    fn other_bytes_end_in_a_sentence() {
        let whole = file(&[3], &[0.5f64, 1.0, 2.0]);
        let says = |bytes: &[u8], word: &str| {
            let said = read(bytes, 3).expect_err(word);
            assert!(said.contains(word), "{word}: {said}");
        };
        says(&whole[..whole.len() - 1], "after 2 of 3 numbers");
        says(b"PK", "ends early");
        says(b"mu = [1, 2, 3, 4]", "does not begin");
        says(&file(&[4], &[0u8; 4]), "[4] is not that of at most 3");
        // A gigantic header is refused before there is memory for it.
        let long = [b"\x93NUMPY\x02\x00", &(1u32 << 30).to_le_bytes()[..]].concat();
        says(&long, "over the limit");
        for (at, byte) in whole.iter().enumerate() {
            for value in [0, 1, 0x7F, 0xFF, byte ^ 0x10] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                _ = read(&bytes[..], 3);
            }
        }
    }
}
