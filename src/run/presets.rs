//! `dbvq-wgpu presets`: the configurations in the program.

use super::print_document;
use crate::config::{Config, PRESETS};
use crate::error::{Error, Result};

/// Lists the presets, or prints the text of one.
///
/// # Errors
/// [`Error::Config`] if there is none of that name.
pub fn run(name: Option<&str>) -> Result<()> {
    let Some(name) = name else {
        PRESETS.iter().for_each(|(name, what, _)| println!("{name:<20} {what}"));
        return Ok(());
    };
    match PRESETS.iter().find(|(preset, ..)| *preset == name) {
        Some((_, _, text)) => print_document(text),
        // `load` knows how to say which name was meant.
        None => Config::load(name, &[]).and(Err(Error::Config(format!("{name} is a file, not a preset")))),
    }
}
