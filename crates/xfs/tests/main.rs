//! Tests of the crate, in one program: `xfs_repair -n` is the judge.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod repair;
mod support;
