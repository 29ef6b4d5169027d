//! Damaged and odd files: whatever is in them, reading ends with a vector or a one-sentence error.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde_json::{Value, json};

use super::file;
use crate::philox::Stream;

/// Damaged files made of each golden vector.
const EACH: u32 = 60;

/// Texts that replace a part of a header.
const PARTS: [&str; 16] = [
    "NaN",
    "-1",
    "1e400",
    "18446744073709551615",
    "4611686018427387904",
    "[]",
    "{}",
    "null",
    "\"\"",
    "\"F4\"",
    "\"I8\"",
    "0",
    "[0,0]",
    "[9223372036854775807,2]",
    "\u{0}",
    "{\"a\":{\"a\":{\"a\":[[[[]]]]}}}",
];

fn golden() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels_test/golden");
    let files = std::fs::read_dir(folder).expect("the golden vectors are part of the source");
    let mut paths: Vec<_> = files.flatten().map(|file| file.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "safetensors"));
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).expect("it can be read"))
        .collect()
}

/// A file with this header, followed by `data`.
fn joined(header: &str, data: &[u8]) -> Vec<u8> {
    [
        &(header.len() as u64).to_le_bytes()[..],
        header.as_bytes(),
        data,
    ]
    .concat()
}

/// The header and the data of a file.
fn parts(bytes: &[u8]) -> (String, &[u8]) {
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    (
        String::from_utf8_lossy(&bytes[8..8 + length]).into_owned(),
        &bytes[8 + length..],
    )
}

/// Reads a file as a child process does, and runs its definition if it is valid. Returns whether it
/// is.
fn survives(bytes: &[u8]) -> bool {
    let read = || {
        let vector = file::parse("case".into(), bytes)?;
        vector.plan()?;
        Ok::<_, String>(vector)
    };
    let read = catch_unwind(AssertUnwindSafe(read));
    let Ok(read) = read else {
        panic!(
            "reading panics on {:?}",
            String::from_utf8_lossy(&bytes[..bytes.len().min(700)])
        )
    };
    if let Err(what) = &read {
        assert!(!what.is_empty() && what.len() < 4000, "{what}");
    }
    read.is_ok_and(|vector| vector.prepared().is_ok())
}

#[test]
fn damaged_files_are_refused_in_a_sentence() {
    let mut right = 0;
    let mut all = 0;
    for (number, bytes) in golden().iter().enumerate() {
        let stream = Stream {
            seed: 7,
            step: number as u32,
            stream: 0,
            first: 0,
        };
        let (header, data) = parts(bytes);
        for i in 0..EACH {
            let draw = |j: u32, end: usize| stream.bits(8 * i + j) as usize % end.max(1);
            let mut file = bytes.clone();
            match i % 6 {
                // Truncated, a changed byte in the header, a flipped bit anywhere.
                0 => file.truncate(draw(0, bytes.len())),
                1 => file[draw(0, header.len() + 8)] = draw(1, 256) as u8,
                2 => file[draw(0, bytes.len())] ^= 1 << draw(1, 8),
                // A wrong header length.
                3 => {
                    file[..8].copy_from_slice(&[u64::MAX, 0, 1 << 40, 8][draw(0, 4)].to_le_bytes())
                }
                // Replaces a number or a word of the header.
                4 => {
                    let ends: Vec<usize> = header
                        .match_indices([',', ':', ']', '}'])
                        .map(|(at, _)| at)
                        .collect();
                    let at = draw(0, ends.len() - 1);
                    let text = format!(
                        "{}{}{}",
                        &header[..ends[at] + 1],
                        PARTS[draw(1, PARTS.len())],
                        &header[ends[at + 1]..]
                    );
                    file = joined(&text, data);
                }
                // Non-finite and extreme numbers.
                _ => {
                    let at = 8 + header.len() + draw(0, data.len() / 8) * 8;
                    let odd = [
                        f64::NAN,
                        f64::INFINITY,
                        f64::MIN_POSITIVE,
                        1e300,
                        -0.0,
                        5e-324,
                    ][draw(1, 6)];
                    file[at..at + 8].copy_from_slice(&odd.to_le_bytes());
                }
            }
            all += 1;
            right += usize::from(survives(&file));
        }
    }
    assert!(all > 4000 && right > 0 && right < all, "{right} of {all}");
}

#[test]
fn parameters_of_any_size_are_refused_in_a_sentence() {
    let odd = [
        json!(-1),
        json!(0),
        json!(1e9),
        json!(999_999_999),
        json!(1e300),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(0.5),
        json!(true),
        json!("x"),
        json!([]),
        json!([0, 0]),
        json!([999_999_999, 999_999_999]),
        json!([1, 2, 3, 4]),
        json!([-1, -1, -1, -1]),
        json!([999_999_999, 0, 0, 999_999_999]),
        json!({}),
        Value::Null,
    ];
    let mut all = 0;
    for (number, bytes) in golden().iter().enumerate() {
        let (header, data) = parts(bytes);
        let header: Value =
            serde_json::from_str(header.trim_end()).expect("a golden vector has a header");
        let params = header["__metadata__"]["params"].as_str().unwrap_or("{}");
        let params: Value = serde_json::from_str(params).expect("parameters are JSON");
        let own = params
            .as_object()
            .expect("an object")
            .keys()
            .map(String::as_str);
        let more = [
            "stride",
            "padding",
            "axis",
            "scale",
            "eps",
            "groups",
            "output_padding",
            "length",
            "entries",
            "done",
        ];
        // Parameters of other ops, with a few files only.
        let more = more.into_iter().filter(|_| number.is_multiple_of(5));
        for name in own.chain(more) {
            for value in &odd {
                let mut params = params.clone();
                params[name] = value.clone();
                let mut header = header.clone();
                header["__metadata__"]["params"] = json!(params.to_string());
                survives_reading(&joined(&header.to_string(), data));
                all += 1;
            }
        }
    }
    assert!(all > 3000, "{all}");
}

/// Only reads: a valid parameter may ask for more than a test should compute.
fn survives_reading(bytes: &[u8]) {
    let read = catch_unwind(|| {
        file::parse("case".into(), bytes).and_then(|vector| vector.plan().map(|_| ()))
    });
    assert!(
        read.is_ok(),
        "reading panics on {:?}",
        String::from_utf8_lossy(&bytes[..bytes.len().min(700)])
    );
}

#[cfg(unix)]
#[test]
fn a_folder_and_a_pipe_are_no_vectors() {
    let folder = std::env::temp_dir().join(format!("dbvq-foreign-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("a.safetensors")).expect("a temporary directory");
    let what = super::load(&folder.join("a.safetensors"))
        .err()
        .expect("a folder is none");
    assert!(what.contains("is no file"), "{what}");
    let pipe = folder.join("b.safetensors");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if made.is_ok_and(|status| status.success()) {
        assert!(super::load(&pipe).is_err_and(|what| what.contains("is no file")));
        assert!(super::Header::read(&pipe).is_none());
    }
    std::fs::remove_dir_all(&folder).expect("it is ours");
}
