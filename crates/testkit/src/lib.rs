//! What imgraft's tests share: foreign judges, and fixtures made by foreign tools.
//!
//! Everything here panics where something is amiss, a judge that is not installed first of all: a
//! test that skips is a test that passes for the wrong reason.
//!
//! It depends on none of the crates that it helps to test.
#![allow(clippy::disallowed_methods, reason = "judges are other programs, and this crate is only in tests")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

pub mod fixture;
pub mod judge;
pub mod mount;
pub mod partition;
#[cfg(feature = "site")]
pub mod site;
pub mod tree;

/// Whether the tests run as root, without which nothing can be mounted.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
