//! `dbvq-wgpu presets`: the built-in configurations.

use crate::config::{Overrides, PRESETS, Source};
use crate::error::Result;
use crate::report::console::print_document;

/// Lists the presets, or prints one verbatim; with `sets`, or for a file, prints the resulting
/// configuration.
///
/// # Errors
/// [`Error::Config`](crate::error::Error::Config) if it is invalid, or no preset has that name.
pub fn run(name: Option<&str>, sets: &[String]) -> Result<()> {
    let Some(name) = name else {
        return print_document(
            &PRESETS
                .map(|(name, what, _)| format!("{name:<26} {what}\n"))
                .concat(),
        );
    };
    let source = Source::open(name)?;
    let text = PRESETS
        .iter()
        .find(|(preset, ..)| *preset == name)
        .map(|(_, _, text)| *text);
    if let Some(text) = text.filter(|text| sets.is_empty() && !text.contains("\npreset = ")) {
        return print_document(text);
    }
    source.note.iter().for_each(|note| note!("note: {note}"));
    print_document(&source.experiment(&Overrides::of_sets(sets))?.to_toml())
}
