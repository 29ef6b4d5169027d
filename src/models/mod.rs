//! The paper's models: plain Rust on ops, no index arithmetic and no kernel names.

pub mod dbvq;
pub mod sampler;
pub mod toy;
