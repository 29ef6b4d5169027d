//! Turns results into lines, tables, figures and files, independent of models and runs.

#[macro_use]
pub mod console;
pub mod figures;
pub(crate) mod file;
pub(crate) mod product;
pub mod progress;
pub(crate) mod samples_file;
pub(crate) mod table;
pub(crate) mod tensorboard;
