//! A first boot that is followed and judged: its stages, what was expected of it, and the verdict.
//!
//! A machine is started, its console followed from the firmware to cloud-init's end, and a small [`agent`] in the guest
//! is asked the rest. What a boot fails at is noticed when it shows; a hang is noticed by that nothing goes on.

pub mod agent;
pub mod console;
mod examine;
mod expect;
pub mod follow;
mod judge;
mod progress;
mod reach;
pub mod report;
mod session;
mod stage;
mod timeline;
pub mod verdict;

pub use judge::{Plan, judge};
pub use progress::{Deeds, Limits, Progress};
pub use reach::{SshLogin, Way};
pub use session::Watcher;
pub use stage::Stage;

#[cfg(test)]
mod local;
