//! A first boot that is followed and judged: its stages, what was expected of it, and the verdict.
//!
//! A machine is started, its console followed from the firmware to cloud-init's end, and a small [`agent`] in the guest
//! is asked the rest. What a boot fails at is noticed when it shows; a hang is noticed by that nothing goes on.
//!
//! Following a console needs no machine:
//!
//! ```
//! use std::time::Duration;
//! use judge::Stage;
//! use judge::follow::{Follower, Sign};
//!
//! let mut follower = Follower::default();
//! let signs = follower.feed(Duration::from_secs(4), b"error: file `/vmlinuz' not found.\r\n");
//! let [Sign::Fatal(trouble)] = &signs[..] else { panic!("{signs:?}") };
//! assert_eq!(trouble.stage, Stage::BootLoader);
//! assert_eq!(trouble.meaning, "the boot loader did not find the kernel");
//! ```
//!
//! A login prompt without cloud-init, an agent that does not answer, a host too busy to emulate in time: what is not
//! known of an image is told apart from what is wrong with it.
//!
//! A guest is not trusted: what is kept of its console, of its agent's replies and of what programs say is bounded.

pub mod agent;
pub mod console;
mod examine;
mod expect;
pub mod follow;
mod judge;
mod program;
mod progress;
mod reach;
pub mod report;
mod session;
mod stage;
mod timeline;
mod transcript;
pub mod verdict;

pub use judge::{Plan, judge};
pub use progress::{Deeds, Limits, Progress};
pub use reach::{SshLogin, Way};
pub use session::Watcher;
pub use stage::Stage;
pub use transcript::{Line, Transcript};

#[cfg(test)]
mod local;
