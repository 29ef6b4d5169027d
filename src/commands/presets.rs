//! `dbvq-wgpu presets`: the configurations in the program.

use crate::config::{PRESETS, Source};
use crate::error::Result;
use crate::report::console::print_document;

/// Lists the presets, or prints one as it stands, or with `sets` or of a file what comes of it.
///
/// # Errors
/// [`Error::Config`](crate::error::Error::Config) if it is wrong, or there is none of that name.
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
    print_document(&source.experiment(sets, &toml::Table::new())?.to_toml())
}
