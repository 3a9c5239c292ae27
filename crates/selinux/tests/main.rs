//! Whole policies: libselinux says what each path's label is.
#![cfg(feature = "full-tests")]
#![allow(clippy::disallowed_methods, reason = "the environment says where the policy is")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod policy;
