//! What can go wrong with a machine.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use crate::Architecture;

/// The result of something that is done with a machine.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why a machine could not be started, or not be talked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program for this kind of guest is not installed.
    #[error(
        "`{}`, which runs {architecture} guests, is not installed (Debian's package `{}`)",
        .architecture.program(),
        .architecture.package()
    )]
    NotInstalled {
        /// The kind of guest.
        architecture: Architecture,
    },
    /// The program could not be started.
    #[error("`{program}` cannot be started")]
    Start {
        /// The program.
        program: PathBuf,
        /// What the host says.
        #[source]
        error: io::Error,
    },
    /// QEMU ended before the guest could begin, or before it answered.
    #[error("QEMU ended with {status}{}", last_words(.stderr))]
    Ended {
        /// How it ended.
        status: ExitStatus,
        /// What it said last.
        stderr: String,
    },
    /// QEMU did not do what it was told.
    #[error("QEMU refused `{command}`: {description}")]
    Refused {
        /// The command, by QMP's name.
        command: String,
        /// What QEMU says.
        description: String,
    },
    /// There was no answer, or none that can be understood.
    #[error("QEMU's monitor: {problem}")]
    Monitor {
        /// What was found or expected.
        problem: String,
    },
    /// A socket or a file of the machine could not be used.
    #[error("{what}")]
    Io {
        /// What was done.
        what: String,
        /// What the host says.
        #[source]
        error: io::Error,
    },
}

impl Error {
    pub(crate) fn io(what: impl Into<String>, error: io::Error) -> Self {
        Self::Io { what: what.into(), error }
    }

    pub(crate) fn monitor(problem: impl Into<String>) -> Self {
        Self::Monitor { problem: problem.into() }
    }
}

fn last_words(stderr: &str) -> String {
    if stderr.is_empty() { ", and said nothing".to_owned() } else { format!(": {stderr}") }
}
