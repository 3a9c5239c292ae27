//! Volume groups that `lvm` itself has made: what it says of them is what we read.
#![cfg(feature = "full-tests")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod made;
