//! `dbvq-wgpu presets`: the configurations in the program.

use super::print_document;
use crate::config::{Experiment, PRESETS};
use crate::error::{Error, Result};

/// Lists the presets, or prints the text of one.
///
/// # Errors
/// [`Error::Config`] if there is none of that name.
pub fn run(name: Option<&str>) -> Result<()> {
    let Some(name) = name else {
        return print_document(&PRESETS.map(|(name, what, _)| format!("{name:<20} {what}\n")).concat());
    };
    match PRESETS.iter().find(|(preset, ..)| *preset == name) {
        Some((_, _, text)) => print_document(text),
        // `load` knows how to say which name was meant.
        None => {
            Experiment::load(name, &[])?;
            Err(Error::Config(format!("{name} is a file, not a preset; --summary says what is in it")))
        }
    }
}
