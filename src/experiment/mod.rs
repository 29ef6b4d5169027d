//! A run: its directory, the training loop and the stages, and what is drawn from it once it is
//! trained.

pub(crate) mod cache;
pub(crate) mod claim;
pub mod device;
pub mod drawing;
pub mod filling;
pub mod images;
mod inherited;
mod learning_rate;
pub mod levels;
pub(crate) mod memory;
pub mod run_dir;
pub mod session;
pub mod terminal;
pub(crate) mod toy;
pub mod train;
pub mod train_args;
