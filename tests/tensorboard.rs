//! The event files of a training, read by this test's own decoder; `cargo xtask test` has
//! TensorBoard read them too. Needs a GPU adapter.

mod common;
#[path = "common/pictures.rs"]
mod pictures;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use assert_cmd::assert::OutputAssertExt;
use common::training;
use serde_json::Value;

/// CRC-32C as the remainder of a division, highest bit first.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut remainder = u32::MAX;
    for byte in bytes {
        remainder ^= u32::from(byte.reverse_bits()) << 24;
        for _ in 0..8 {
            remainder = (remainder << 1) ^ if remainder >> 31 == 1 { 0x1edc_6f41 } else { 0 };
        }
    }
    !remainder.reverse_bits()
}

/// The contents of a file's records, whose checksums must match.
fn records(file: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(file).expect("an event file");
    let mut rest = &bytes[..];
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (length, tail) = rest.split_at(8);
        let size = u64::from_le_bytes(length.try_into().expect("8 bytes")) as usize;
        let (content, after) = tail[4..].split_at(size);
        for (part, sum) in [(length, &tail[..4]), (content, &after[..4])] {
            let crc = crc32c(part);
            let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
            assert_eq!(masked.to_le_bytes(), sum, "record {}", records.len());
        }
        records.push(content.to_vec());
        rest = &after[4..];
    }
    records
}

/// A message's fields as number and content: the bytes of fixed-size numbers, eight bytes of
/// integers.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let length = bytes.iter().position(|b| b & 0x80 == 0).expect("an end") + 1;
        let (number, rest) = bytes.split_at(length);
        *bytes = rest;
        number
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 7 | u64::from(byte & 0x7f))
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                fields.push((key >> 3, varint(&mut bytes).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            5 => 4,
            2 => varint(&mut bytes) as usize,
            kind => panic!("kind {kind}"),
        };
        let (content, rest) = bytes.split_at(length);
        fields.push((key >> 3, content.to_vec()));
        bytes = rest;
    }
    fields
}

fn field(bytes: &[u8], number: u64) -> Option<Vec<u8>> {
    fields(bytes)
        .into_iter()
        .find(|(n, _)| *n == number)
        .map(|(_, content)| content)
}

fn step(event: &[u8]) -> u64 {
    field(event, 2).map_or(0, |bytes| {
        u64::from_le_bytes(bytes.try_into().expect("an integer"))
    })
}

/// Name and content of each value of an event's summary.
fn values(event: &[u8]) -> Vec<(String, Vec<u8>)> {
    let summary = field(event, 5).unwrap_or_default();
    let named = |(_, value): (u64, Vec<u8>)| {
        let name = String::from_utf8(field(&value, 1).expect("a name")).expect("UTF-8");
        (name, value)
    };
    fields(&summary).into_iter().map(named).collect()
}

fn event_files(run: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(run)
        .expect("a run directory")
        .map(|e| e.expect("an entry").path());
    let mut files: Vec<_> = entries
        .filter(|path| path.to_string_lossy().contains("tfevents"))
        .collect();
    files.sort();
    files
}

/// Numbers by step and name, as TensorBoard sees them: a session start invalidates earlier data
/// from its step on.
fn scalars(run: &Path) -> BTreeMap<(u64, String), f32> {
    let mut found = BTreeMap::new();
    for file in event_files(run) {
        let records = records(&file);
        assert_eq!(
            field(&records[0], 3).as_deref(),
            Some(&b"brain.Event:2"[..])
        );
        for event in &records[1..] {
            assert!(
                field(event, 1).is_some_and(|time| time.len() == 8),
                "the time"
            );
            if let Some(session) = field(event, 7) {
                assert_eq!(session, [8, 1], "status START");
                found.retain(|(at, _), _| *at < step(event));
            }
            for (name, value) in values(event) {
                if let Some(number) = field(&value, 2) {
                    found.insert(
                        (step(event), name),
                        f32::from_le_bytes(number.try_into().expect("a float")),
                    );
                }
            }
        }
    }
    found
}

/// The same from `metrics.jsonl`.
fn logged(run: &Path) -> BTreeMap<(u64, String), f32> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).expect("metrics.jsonl");
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let line: serde_json::Map<String, Value> = serde_json::from_str(line).expect("JSON");
        let step = line["step"].as_u64().expect("a step");
        for (name, value) in line.iter().filter(|(name, _)| *name != "step") {
            found.insert(
                (step, name.clone()),
                value.as_f64().expect("a number") as f32,
            );
        }
    }
    found
}

#[test]
fn event_files_hold_what_the_log_holds_also_after_a_resume() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let run = dir.path().join("run");
    training("toy", &run, 6, 2).assert().success();
    assert_eq!(scalars(&run), logged(&run));
    assert!(scalars(&run).contains_key(&(6, "loss".into())) && event_files(&run).len() == 1);
    // Back to step 4.
    std::fs::remove_file(run.join("checkpoint.safetensors")).expect("a checkpoint");
    training("toy", &run, 6, 2)
        .arg("--resume")
        .assert()
        .success();
    let files = event_files(&run);
    assert_eq!(files.len(), 2);
    let steps: Vec<u64> = records(&files[1])[1..]
        .iter()
        .map(|event| step(event))
        .collect();
    assert_eq!(
        steps,
        [5, 5, 6],
        "the start voids steps 5 and 6, and they come again"
    );
    assert_eq!(scalars(&run), logged(&run));
}

#[test]
fn pictures_of_evaluations_are_in_the_event_file() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = pictures::folder(&dir.path().join("data"), 12);
    let run = dir.path().join("run");
    pictures::train("vqvae", &data, &run, 4).assert().success();
    let mut shown = Vec::new();
    for event in records(&event_files(&run)[0]) {
        for (name, value) in values(&event) {
            let Some(image) = field(&value, 4) else {
                continue;
            };
            let number = |at: u64| {
                u64::from_le_bytes(
                    field(&image, at)
                        .expect("a size")
                        .try_into()
                        .expect("an integer"),
                )
            };
            let png = field(&image, 4).expect("the picture");
            let file = run.join(format!("{name}-{:06}.png", step(&event)));
            assert_eq!(
                png,
                std::fs::read(&file).expect("the same picture as a file")
            );
            let (width, height) = image::image_dimensions(&file).expect("a PNG");
            assert_eq!(
                [number(2), number(1), number(3)],
                [width.into(), height.into(), 3]
            );
            shown.push((step(&event), name));
        }
    }
    assert_eq!(
        shown,
        [
            (2, "reconstructions".to_string()),
            (4, "reconstructions".to_string())
        ]
    );
    assert_eq!(scalars(&run), logged(&run));
}
