//! The tests of the file system in one binary, but for `model` and `fuzz`: each file is a module of its own.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod account;
mod adversary;
mod check;
mod create;
mod differential;
mod e2fsprogs_images;
mod failing;
mod features;
mod grow;
mod hostile;
mod journal;
mod kernel;
mod kernel_features;
mod kernel_xattrs;
mod large_directory;
mod naming;
mod placement;
#[path = "support/read.rs"]
mod read;
mod support;
mod verdicts;
mod xattr_rules;
mod xattrs;
