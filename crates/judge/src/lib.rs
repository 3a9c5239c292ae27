//! Follows and judges a first boot: its stages, the expectations, and the verdict.
//!
//! It starts a machine, follows its console from the firmware to cloud-init's end, and then asks a small [`agent`] in
//! the guest. It notices a failure on the console as soon as it appears, and a hang because there is no progress.
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
//! If the guest has a login prompt without cloud-init, an agent that does not answer, or a host that is too busy to
//! emulate it in time, the verdict is "unknown", not "wrong".
//!
//! A guest is not trusted: there are limits on what is kept of its console, its agent's replies and programs' output.

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
