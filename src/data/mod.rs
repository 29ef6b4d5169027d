//! Data sets; host only.

pub mod toy;
