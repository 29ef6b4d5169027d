//! How far samples are from data, as pure mathematics on the host: laws of codes, likelihoods,
//! differences of pictures. `docs/metrics.md` says what each is good for, and what its values may
//! be compared with.

pub mod histogram;
pub mod likelihood;
pub mod picture;
