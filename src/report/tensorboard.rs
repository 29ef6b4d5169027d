//! TensorBoard's event files: the numbers of `metrics.jsonl` and the pictures of evaluations, as
//! they come.
//!
//! A file is a row of TFRecords: length, its checksum, bytes, their checksum. Each holds an `Event`
//! of TensorFlow's event.proto in protobuf's wire format, in which a field is its number and kind,
//! then its content.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};

/// What TensorBoard knows its files by.
const NAME: &str = "events.out.tfevents.";

/// An event file that grows.
pub struct Events {
    path: PathBuf,
    file: File,
}

impl Events {
    /// Begins the next file of the run directory `run`. What older files have after `step` is void:
    /// those steps are done again. A file of its own, since a kill may have cut the last record of
    /// the one before.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn begin(run: &Path, step: u64) -> Result<Events> {
        let path = (1u32..)
            .map(|i| run.join(format!("{NAME}{i:010}.dbvq-wgpu")))
            .find(|path| !path.exists());
        let path = path.expect("no run is resumed that often");
        let file = File::create(&path).map_err(Error::io(&path))?;
        let mut events = Events { path, file };
        events.event(0, &bytes(3, b"brain.Event:2"))?;
        // SessionLog with status START: TensorBoard drops the events from its step on.
        events.event(step + 1, &bytes(7, &integer(1, 1)))?;
        Ok(events)
    }

    /// Writes numbers by their names.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn scalars<'a>(
        &mut self,
        step: u64,
        values: impl Iterator<Item = (&'a str, f64)>,
    ) -> Result<()> {
        let value = |(name, value): (&str, f64)| {
            let simple = [&[2 << 3 | 5][..], &(value as f32).to_le_bytes()].concat();
            bytes(1, &[bytes(1, name.as_bytes()), simple].concat())
        };
        self.event(
            step,
            &bytes(5, &values.flat_map(value).collect::<Vec<u8>>()),
        )
    }

    /// Writes an RGB picture.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn picture(
        &mut self,
        step: u64,
        name: &str,
        png: &[u8],
        [width, height]: [u32; 2],
    ) -> Result<()> {
        let numbers = [
            integer(1, height.into()),
            integer(2, width.into()),
            integer(3, 3),
        ]
        .concat();
        let image = bytes(4, &[numbers, bytes(4, png)].concat());
        self.event(
            step,
            &bytes(5, &bytes(1, &[bytes(1, name.as_bytes()), image].concat())),
        )
    }

    /// An event with the field `what`, in one write so that only a kill can cut it.
    fn event(&mut self, step: u64, what: &[u8]) -> Result<()> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0.0, |d| d.as_secs_f64());
        let event = [
            &[1 << 3 | 1],
            &now.to_le_bytes()[..],
            &integer(2, step),
            what,
        ]
        .concat();
        let length = (event.len() as u64).to_le_bytes();
        let record = [&length[..], &checksum(&length), &event, &checksum(&event)].concat();
        self.file.write_all(&record).map_err(Error::io(&self.path))
    }
}

/// Field `number` with bytes.
fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
    [
        &[number << 3 | 2][..],
        &varint(content.len() as u64),
        content,
    ]
    .concat()
}

/// Field `number` with an integer.
fn integer(number: u8, value: u64) -> Vec<u8> {
    [&[number << 3][..], &varint(value)].concat()
}

/// Seven bits a byte, the lowest first.
fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// CRC-32C, turned and moved as TFRecords have it.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
        .to_le_bytes()
}

/// CRC-32 with Castagnoli's polynomial.
fn crc32c(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    !bytes
        .iter()
        .fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), bit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa, "RFC 3720, B.4");
        assert_eq!(varint(300), [0xac, 2]);
    }
}
