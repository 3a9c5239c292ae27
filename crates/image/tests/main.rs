//! The tests of containers in one binary, but for `adversary` and `fuzz`: each file is a module of its own.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod chain;
mod containers;
mod convert;
mod hostile;
mod in_place;
mod judge;
mod power_cut;
mod qemu;
mod repair;
mod wrapped;
