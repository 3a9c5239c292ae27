//! What imgraft's tests share: foreign judges, and fixtures made by foreign tools.
//!
//! Everything here panics if something is wrong, above all if a judge is not installed: a
//! test that skips is a test that passes for the wrong reason.
//!
//! It depends on none of the crates that it helps to test.
#![allow(clippy::disallowed_methods, reason = "judges are other programs, and this crate is only in tests")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

pub mod browser;
pub mod fixture;
pub mod hostile;
pub mod judge;
pub mod lvm;
pub mod mount;
pub mod partition;
#[cfg(feature = "site")]
pub mod site;
pub mod tree;

/// How often a test that draws its cases at random draws one: `few` times with what needs neither root nor a base,
/// `many` times in all that CI runs, and `most` in `./test long`, which sets `IMGRAFT_TEST_LONG`.
///
/// `is_full` is whether the feature `full-tests` of the test's own crate is on.
pub fn rounds(is_full: bool, [few, many, most]: [u64; 3]) -> u64 {
    match (is_full, is_long()) {
        (false, _) => few,
        (true, false) => many,
        (true, true) => most,
    }
}

/// Whether this is `./test long`.
pub fn is_long() -> bool {
    std::env::var_os("IMGRAFT_TEST_LONG").is_some()
}

/// Whether the tests run as root, without which nothing can be mounted.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
