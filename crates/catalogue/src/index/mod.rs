//! The lists in which publishers say what there is.

pub mod manifest;
pub mod streams;
pub mod sums;
