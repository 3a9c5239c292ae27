//! A guest's tree in the host's kernel. The kernel judges both sides: the mount, and the image that was grafted.
#![cfg(feature = "full-tests")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod served;
