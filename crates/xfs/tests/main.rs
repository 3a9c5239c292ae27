//! Tests of the crate, in one program: `xfs_repair -n` is the judge.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![cfg_attr(feature = "full-tests", allow(clippy::print_stdout, reason = "seeds are printed, to be had again"))]

mod account;
mod failing;
mod hostile;
mod kernel;
mod repair;
mod support;
