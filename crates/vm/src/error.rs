//! What can go wrong with a machine.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use crate::Architecture;

/// The result of something that is done with a machine.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why a machine could not be started, or not be talked to.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The program for this kind of guest is not installed.
    NotInstalled {
        /// The kind of guest.
        architecture: Architecture,
    },
    /// The program could not be started.
    Start {
        /// The program.
        program: PathBuf,
        /// What the host says.
        error: io::Error,
    },
    /// QEMU ended before the guest could begin, or before it answered.
    Ended {
        /// How it ended.
        status: ExitStatus,
        /// What it said last.
        stderr: String,
    },
    /// QEMU did not do what it was told.
    Refused {
        /// The command, by QMP's name.
        command: String,
        /// What QEMU says.
        description: String,
    },
    /// There was no answer, or none that can be understood.
    Monitor {
        /// What was found or expected.
        problem: String,
    },
    /// A socket or a file of the machine could not be used.
    Io {
        /// What was done.
        what: String,
        /// What the host says.
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

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInstalled { architecture } => write!(
                f,
                "`{}`, which runs {architecture} guests, is not installed (Debian's package `{}`)",
                architecture.program(),
                architecture.package()
            ),
            Self::Start { program, .. } => write!(f, "`{}` cannot be started", program.display()),
            Self::Ended { status, stderr } if stderr.is_empty() => {
                write!(f, "QEMU ended with {status}, and said nothing")
            }
            Self::Ended { status, stderr } => write!(f, "QEMU ended with {status}: {stderr}"),
            Self::Refused { command, description } => write!(f, "QEMU refused `{command}`: {description}"),
            Self::Monitor { problem } => write!(f, "QEMU's monitor: {problem}"),
            Self::Io { what, .. } => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start { error, .. } | Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}
