//! Errors of machines.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use crate::Architecture;

/// The result of an operation on a machine.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why a machine could not be started or controlled.
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
        /// The host's error.
        #[source]
        error: io::Error,
    },
    /// QEMU ended before the guest could begin, or before it answered.
    #[error("QEMU ended with {status}{}", last_words(.stderr))]
    Ended {
        /// How it ended.
        status: ExitStatus,
        /// Its last messages.
        stderr: String,
    },
    /// QEMU refused a command.
    #[error("QEMU refused `{command}`: {description}")]
    Refused {
        /// The command, by QMP's name.
        command: String,
        /// QEMU's reason.
        description: String,
    },
    /// There was no valid answer.
    #[error("QEMU's monitor: {problem}")]
    Monitor {
        /// What was found or expected.
        problem: String,
    },
    /// A socket or a file of the machine could not be used.
    #[error("{what}")]
    Io {
        /// What was attempted.
        what: String,
        /// The host's error.
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
    if stderr.is_empty() { " and no message".to_owned() } else { format!(": {stderr}") }
}
