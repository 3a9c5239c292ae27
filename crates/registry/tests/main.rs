//! A registry's own program, `skopeo`, and servers with faults as judges.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::disallowed_methods, reason = "the tests start the registry")]

mod docker_registry;
mod faults;
