//! Where a configuration comes from: a preset, or a file with an encoding, a kind and a preset that
//! it extends.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::table::{merge, parse};
use super::{PRESETS, Stage, nearest};
use crate::error::{Error, Result};

/// What a configuration describes: its top-level key `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The toy of section 4.1.
    Toy,
    /// Images, section 4.2.
    Images,
    /// Codes that the data set itself provides.
    Codes,
}

/// Keys that identify a configuration of images if it lacks `kind`.
const OF_IMAGES: [&str; 8] = [
    "vqvae",
    "unet",
    "pixelcnn",
    "joint",
    "stages",
    "activations",
    "classes",
    "class_dropout",
];
/// Keys of model sizes: an image configuration that leaves some out and names no preset gets the
/// paper's sizes.
const SIZES: [(&str, &str); 3] = [
    ("vqvae", "channels"),
    ("unet", "base"),
    ("pixelcnn", "channels"),
];

/// A preset or a TOML file, before `--set`.
#[derive(Debug)]
pub struct Source {
    /// Its name in messages.
    pub whose: String,
    /// What it describes.
    pub kind: Kind,
    /// The stage that a run's own configuration names.
    pub stage: Option<Stage>,
    /// The values of the preset: this one, or the one that the file extends.
    pub preset: Table,
    /// The values of the file; empty for a preset.
    pub file: Table,
    /// A note for the user.
    pub note: Option<String>,
}

impl Source {
    /// The preset or TOML file `name`.
    ///
    /// # Errors
    /// [`Error::Config`] if neither exists or it is invalid, [`Error::Io`] if the file cannot be
    /// read.
    pub fn open(name: &str) -> Result<Source> {
        if PRESETS.iter().any(|(preset, ..)| *preset == name) {
            return preset(name);
        }
        Source::parse(&read(name)?, name)
    }

    /// Parses the text of a file that messages call `whose`.
    ///
    /// # Errors
    /// [`Error::Config`] if it is not TOML, or its `stage`, `kind` or `preset` is unknown or they
    /// contradict each other.
    pub fn parse(text: &str, whose: &str) -> Result<Source> {
        let mut file = parse(text, whose)?;
        let stage: Option<Stage> = take(
            &mut file,
            "stage",
            whose,
            "names no stage; write vqvae, prior, pixelcnn or joint",
        )?;
        let said: Option<Kind> = take(
            &mut file,
            "kind",
            whose,
            "names no kind; write toy, images or codes",
        )?;
        let extends: Option<String> =
            take(&mut file, "preset", whose, "must be the name of a preset")?;
        let base = extends
            .as_deref()
            .map(|name| named(name, whose))
            .transpose()?;
        let of_preset = base.as_ref().map(|base| base.kind);
        let kind = said.or(of_preset).unwrap_or_else(|| Kind::of(&file, stage));
        if let Some((name, _)) = extends
            .as_deref()
            .zip(of_preset)
            .filter(|(_, of_preset)| *of_preset != kind)
        {
            let what = format!(
                "preset = \"{name}\" and kind = \"{}\" do not go together",
                kind.name()
            );
            return Err(Error::Config(format!("{whose}: {what}; omit kind")));
        }
        if stage.is_some() && kind == Kind::Toy {
            return Err(Error::Config(format!(
                "{whose}: a toy has no stage; omit it, or write kind = \"images\" or \"codes\""
            )));
        }
        let note = if kind == Kind::Images && extends.is_none() {
            paper_sized(&file, whose)
        } else {
            None
        };
        Ok(Source {
            whose: whose.into(),
            kind,
            stage,
            preset: base.map_or_else(Table::new, |b| b.preset),
            file,
            note,
        })
    }
}

impl Kind {
    /// The kind of a file that names neither its kind nor a preset.
    fn of(file: &Table, stage: Option<Stage>) -> Kind {
        if file.contains_key("codebook") {
            Kind::Codes
        } else if stage.is_some() || OF_IMAGES.iter().any(|key| file.contains_key(*key)) {
            Kind::Images
        } else {
            Kind::Toy
        }
    }

    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Toy => "toy",
            Kind::Images => "images",
            Kind::Codes => "codes",
        }
    }
}

/// The preset `name`, which may extend another one.
fn preset(name: &str) -> Result<Source> {
    let (_, _, text) = PRESETS
        .iter()
        .find(|(preset, ..)| *preset == name)
        .expect("the caller has looked");
    let mut source = Source::parse(text, &format!("preset {name}"))?;
    merge(&mut source.preset, std::mem::take(&mut source.file));
    source.note = None;
    Ok(source)
}

/// The preset that the file `whose` says it extends.
fn named(name: &str, whose: &str) -> Result<Source> {
    if PRESETS.iter().any(|(preset, ..)| *preset == name) {
        return preset(name);
    }
    Err(Error::Config(format!(
        "{whose}: preset = \"{name}\" is not a preset ({}){}",
        names(),
        did_you_mean(name)
    )))
}

/// Takes `key` out of `table`; `wrong` is the message for a value that is not a `T`.
fn take<T: DeserializeOwned>(
    table: &mut Table,
    key: &str,
    whose: &str,
    wrong: &str,
) -> Result<Option<T>> {
    let Some(value) = table.remove(key) else {
        return Ok(None);
    };
    let text = format!("{whose}: {key} = {value} {wrong}");
    value.try_into().map(Some).map_err(|_| Error::Config(text))
}

/// The note on an image configuration that leaves sizes out and names no preset.
fn paper_sized(file: &Table, whose: &str) -> Option<String> {
    let has = |(section, key): &(&str, &str)| {
        file.get(*section)
            .and_then(Value::as_table)
            .is_some_and(|table| table.contains_key(*key))
    };
    let missing = SIZES.iter().find(|size| !has(size))?;
    let what = format!(
        "{whose} omits sizes (such as {}.{}) and names no preset",
        missing.0, missing.1
    );
    Some(format!(
        "{what}: the paper's are used; write preset = \"images-small\" into it for smaller ones"
    ))
}

fn names() -> String {
    PRESETS.map(|(name, ..)| name).join(", ")
}

fn did_you_mean(name: &str) -> String {
    nearest(name, PRESETS.iter().map(|(name, ..)| *name))
        .map_or(String::new(), |n| format!("; did you mean '{n}'?"))
}

fn read(file: &str) -> Result<String> {
    let bytes = std::fs::read(file).map_err(|e| {
        if e.kind() == std::io::ErrorKind::NotFound && !file.ends_with(".toml") {
            return Error::Config(format!(
                "'{file}' is neither a preset ({}) nor a file{}",
                names(),
                did_you_mean(file)
            ));
        }
        Error::io(file)(e)
    })?;
    decode(&bytes, file)
}

/// The text of the configuration file `whose`: UTF-8, with or without a byte order mark.
///
/// # Errors
/// [`Error::Config`] naming another encoding.
pub fn decode(bytes: &[u8], whose: &str) -> Result<String> {
    let is = |encoding: &str| {
        Err(Error::Config(format!(
            "{whose} is {encoding}; save it as UTF-8"
        )))
    };
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return is("UTF-32"),
        // A configuration begins with an ASCII character: in UTF-16, one beside a zero byte.
        [0xff, 0xfe, ..] | [1..=255, 0, ..] => return is("UTF-16 (little-endian)"),
        [0xfe, 0xff, ..] | [0, 1..=255, ..] => return is("UTF-16 (big-endian)"),
        _ => {}
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(text) {
        Ok(text) => Ok(text.to_string()),
        Err(e) => {
            let at = e.valid_up_to();
            let line = text[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
            is(&format!(
                "not UTF-8 (byte 0x{:02X} in line {line}), perhaps Latin-1 or Windows-1252",
                text[at]
            ))
        }
    }
}
