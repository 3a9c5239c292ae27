//! File systems that other people's libraries read, XFS and btrfs: against the kernel, which is the judge of what they
//! hold, and on bytes that somebody built.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::disallowed_methods, reason = "a process is told by its environment what it is to do")]

mod built;
mod hostile;
#[cfg(feature = "full-tests")]
mod kernel;
mod made;
mod tree;

use std::sync::Arc;

use guest::{Volume, open_volumes};
use storage::WriteAt;

/// The file system that all of `disk` is.
fn volume(disk: Arc<dyn WriteAt>) -> Volume {
    open_volumes(&disk).unwrap().swap_remove(0)
}
