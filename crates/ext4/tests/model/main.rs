//! Random operations against a tree in memory, over the matrix of features. After each sequence our own
//! check and `e2fsck -fn` have nothing to say, and what we read, what `debugfs` finds and, for root, what
//! the kernel shows are the tree.
//!
//! `CONTRIBUTING.md` says how to have a sequence again, how to make it small and how to go on for hours.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "seeds are printed, to be had again")]
#![allow(clippy::disallowed_methods, reason = "asks for the environment of the test")]

#[path = "../support/read.rs"]
mod read;
#[path = "../support/mod.rs"]
mod support;

mod account;
mod compare;
mod content;
mod debugfs;
mod generate;
mod matrix;
mod operation;
mod sequence;
mod start;
mod tree;
mod xattr;

#[cfg(feature = "full-tests")]
#[test]
#[ignore = "goes on for as long as it is told: ./test soak"]
fn soak() {
    sequence::soak();
}
