//! All tests of the catalogue in one binary: each file is a module of its own.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod adversary;
mod agreement;
mod cache;
mod exercise;
mod fetch;
mod find;
mod full_disk;
mod fuzz;
mod gnupg;
mod gpgv;
mod gpgv_forms;
mod hostile;
mod memory;
mod model;
mod processes;
mod proxies;
mod refusals;
mod support;
