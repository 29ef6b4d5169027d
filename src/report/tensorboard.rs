//! TensorBoard's event files: the numbers of `metrics.jsonl` and the pictures of evaluations,
//! written as they arrive.
//!
//! A file is a sequence of TFRecords: length, its checksum, bytes, their checksum. Each holds an
//! `Event` of TensorFlow's `event.proto`; only the fields that the program writes are declared
//! here.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use crate::error::{Error, Result};

/// TensorFlow's `Event`.
#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    session_log: Option<SessionLog>,
}

/// TensorFlow's `SessionLog`.
#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// `SessionLog.SessionStatus.START`.
const START: i32 = 1;

/// TensorFlow's `Summary`.
#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

/// TensorFlow's `Summary.Value`.
#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
    #[prost(message, optional, tag = "4")]
    image: Option<Image>,
}

/// TensorFlow's `Summary.Image`.
#[derive(Clone, PartialEq, Message)]
struct Image {
    #[prost(int32, tag = "1")]
    height: i32,
    #[prost(int32, tag = "2")]
    width: i32,
    #[prost(int32, tag = "3")]
    colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    encoded_image_string: Vec<u8>,
}

/// The colour space of RGB pictures.
const RGB: i32 = 3;

/// Prefix by which TensorBoard recognises its files.
const NAME: &str = "events.out.tfevents.";

/// An event file that grows.
pub struct Events {
    path: PathBuf,
    file: File,
}

impl Events {
    /// Starts the next file in the run directory `run`. Events of older files after `step` become
    /// void, since those steps are repeated. A new file is needed because a kill may have truncated
    /// the last record of the previous one.
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
        events.write(Event {
            file_version: Some("brain.Event:2".into()),
            ..Event::default()
        })?;
        // TensorBoard drops earlier events from the step of a START event on.
        events.write(Event {
            step: step as i64 + 1,
            session_log: Some(SessionLog { status: START }),
            ..Event::default()
        })?;
        Ok(events)
    }

    /// Writes scalars, given as (name, value).
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn scalars<'a>(
        &mut self,
        step: u64,
        values: impl Iterator<Item = (&'a str, f64)>,
    ) -> Result<()> {
        let value = |(name, value): (&str, f64)| Value {
            tag: name.into(),
            simple_value: Some(value as f32),
            image: None,
        };
        self.summary(step, values.map(value).collect())
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
        let image = Image {
            height: height as i32,
            width: width as i32,
            colorspace: RGB,
            encoded_image_string: png.to_vec(),
        };
        let value = Value {
            tag: name.into(),
            simple_value: None,
            image: Some(image),
        };
        self.summary(step, vec![value])
    }

    fn summary(&mut self, step: u64, value: Vec<Value>) -> Result<()> {
        self.write(Event {
            step: step as i64,
            summary: Some(Summary { value }),
            ..Event::default()
        })
    }

    /// Appends `event` with the current time, in one write so that only a kill can truncate it.
    fn write(&mut self, event: Event) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let event = Event {
            wall_time: now.map_or(0.0, |now| now.as_secs_f64()),
            ..event
        };
        let event = event.encode_to_vec();
        let length = (event.len() as u64).to_le_bytes();
        let record = [&length[..], &checksum(&length), &event, &checksum(&event)].concat();
        self.file.write_all(&record).map_err(Error::io(&self.path))
    }
}

/// The masked CRC-32C of TFRecords.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
        .to_le_bytes()
}
