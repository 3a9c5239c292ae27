//! Commands that run with the guest's own programs: what is asked of whoever can run them.
//!
//! This crate starts no program. A [`Runner`] does, and a verb hands it a [`Task`].

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;

use guest::{Guest, Time};
use recipe::{MemoryLimit, TimeLimit};
use serde::Serialize;

/// Runs commands with the guest's own programs.
pub trait Runner: fmt::Debug + Send + Sync {
    /// Runs `task` in `guest`, whose files are changed as the command changed them, or not at all. What the command
    /// writes to its standard output and error is handed to `said` as it comes.
    ///
    /// # Errors
    ///
    /// [`RunError`]. The guest is as it was then, unless it is [`RunError::Guest`].
    fn run(&self, guest: &mut Guest, task: &Task, said: &mut dyn FnMut(&[u8])) -> Result<Outcome, RunError>;
}

/// Something to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The step, as messages call it: `install jq`.
    pub name: String,
    /// What is run.
    pub program: Program,
    /// Variables besides those that every command gets.
    pub environment: Vec<(OsString, OsString)>,
    /// Whether the command may use the network.
    pub network: bool,
    /// Whether packages that are installed do not start their services.
    pub no_services: bool,
    /// The time of everything that the command writes.
    pub modified: Time,
    /// Times that are later are set to this one.
    pub clamp: Option<Time>,
}

/// What a task runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// The guest's `/bin/sh -c` with this text.
    Shell(String),
    /// A program of its own with this content, which begins with `#!` and an interpreter of the guest.
    Script(Vec<u8>),
}

/// What a task came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The files that changed, sorted by path.
    pub changes: Vec<FileChange>,
    /// The file of the host that has all of the command's output.
    pub log: Option<PathBuf>,
    /// How it was run: `namespaces`, `unpack`.
    pub runner: &'static str,
    /// Why it was run like that and not in namespaces, where nobody asked for it.
    pub runner_because: Option<String>,
}

/// A file that a command changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// What became of it.
    pub change: Change,
    /// Its path, as text that can be shown.
    pub path: String,
    /// Its size afterwards, or before it was removed; only a regular file has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It is new.
    Made,
    /// It was there before, and differs.
    Changed,
    /// It is gone.
    Removed,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Signal(i32),
    /// It was ended when its time was over.
    TimedOut(TimeLimit),
    /// It was ended because all that it started needed more memory than that, or than there is.
    OutOfMemory(Option<MemoryLimit>),
    /// The user ended it.
    Interrupted,
}

/// Why a task changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Nothing can be run here.
    #[error("{problem}")]
    Unavailable {
        /// What is missing.
        problem: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The command did not succeed.
    #[error("`{name}` {status}")]
    Failed {
        /// The step, as [`Task::name`] has it.
        name: String,
        /// How it ended.
        status: Ended,
        /// The end of its output.
        last_lines: Vec<String>,
        /// The file of the host that has all of its output.
        log: Option<PathBuf>,
    },
    /// What the command left cannot be kept in the guest.
    #[error("{problem}")]
    Refused {
        /// What it left.
        problem: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The host failed.
    #[error("{what}")]
    Host {
        /// What could not be done.
        what: String,
        /// The host's error.
        #[source]
        error: io::Error,
    },
    /// The guest could not be read or written.
    #[error(transparent)]
    Guest(#[from] guest::Error),
}

impl fmt::Display for Ended {
    /// `ended with status 100`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "ended with status {status}"),
            Self::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Self::TimedOut(limit) => write!(f, "took longer than {limit}, which is the limit"),
            Self::OutOfMemory(Some(limit)) => write!(f, "needed more memory than {limit}, which is the limit"),
            Self::OutOfMemory(None) => f.write_str("needed more memory than there is"),
            Self::Interrupted => f.write_str("was interrupted"),
        }
    }
}
