//! Built images: tables that share, floods and claims of size. Each ends in findings or an error within the limit of
//! time, which is generous: without its bound each takes many times as long.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod qcow2;
mod wrapped;

use std::time::{Duration, Instant};

/// What each may take.
const LIMIT: Duration = Duration::from_secs(120);

/// What `work` gives, within the limit.
fn within_limit<T>(work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = work();
    assert!(begun.elapsed() < LIMIT, "it took {:?}", begun.elapsed());
    result
}
