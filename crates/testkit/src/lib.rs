//! What imgraft's tests share: foreign judges, and fixtures made by foreign tools.
//!
//! Everything here panics where something is amiss, a judge that is not installed first of all: a
//! test that skips is a test that passes for the wrong reason.
#![allow(clippy::disallowed_methods, reason = "judges are other programs, and this crate is only in tests")]

pub mod judge;
