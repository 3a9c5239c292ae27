//! The tests of seeds in one binary, but for `adversary`: each file is a module of its own.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod against_cloud_init;
mod check_broken;
mod check_examples;
mod fuzz;
mod netplan;
mod schema_verdicts;
mod server;
mod support;
mod yaml_documents;
mod yaml_scalars;
