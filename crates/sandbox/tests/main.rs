//! Commands in sandboxes: what they see, what they cannot do, and that nothing of them stays.

#![allow(clippy::disallowed_methods, reason = "tests start other programs")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![cfg(feature = "full-tests")]

mod contained;
mod ended;
mod limits;
mod seen;
mod support;
mod users;
