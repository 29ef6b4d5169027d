//! A run: its directory, the training loop and the stages, and what is drawn from it once it is
//! trained.

pub mod asked;
pub(crate) mod cache;
pub mod chain;
pub(crate) mod claim;
mod codebook;
pub mod dataset;
pub mod device;
pub mod drawing;
pub(crate) mod drawn;
pub mod filling;
mod inherited;
pub mod inpaint;
pub(crate) mod known;
mod learning_rate;
pub mod levels;
pub mod mask;
pub(crate) mod memory;
pub(crate) mod output;
pub(crate) mod pictures;
pub mod reconstruct;
pub mod run_dir;
pub mod sample;
pub mod session;
pub mod stages;
pub(crate) mod subject;
pub mod terminal;
pub mod train;
pub mod train_args;
pub(crate) mod trained;
pub(crate) mod usage;
