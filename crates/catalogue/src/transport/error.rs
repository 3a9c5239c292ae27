//! Why a file did not come.

use std::error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::cache::Digest;

/// Why a file did not come.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// It is not in the cache, and nothing may be asked for.
    Offline {
        /// What is missing: an address, or a name with its digest.
        what: String,
    },
    /// An address that cannot be asked, or may not be.
    Address {
        /// The address.
        url: String,
        /// What is the matter with it.
        problem: String,
    },
    /// The server's answer is no file.
    Status {
        /// Where.
        url: String,
        /// The answer's number.
        status: u16,
        /// For how many seconds the server wants to be left alone.
        retry_after_seconds: Option<u64>,
    },
    /// The network, TLS, or a server that breaks HTTP's rules.
    Connection {
        /// Where.
        url: String,
        /// What happened.
        problem: String,
        /// What the system said.
        source: Option<io::Error>,
    },
    /// The server's answer is not what was asked for.
    Answer {
        /// Where.
        url: String,
        /// What was found, and what was expected.
        problem: String,
    },
    /// A document is larger than it may be.
    TooLarge {
        /// Where.
        url: String,
        /// How large it may be.
        limit_bytes: u64,
    },
    /// All bytes came, and are not those that were to come.
    WrongDigest {
        /// Where from.
        url: String,
        /// What they come to.
        found: Box<Digest>,
        /// What they should.
        expected: Box<Digest>,
    },
    /// None of several addresses has it.
    NoMirror {
        /// What was to come.
        name: String,
        /// What was wrong at each, in their order.
        causes: Vec<Error>,
    },
    /// The cache's file system has no room for it.
    NoSpace {
        /// The cache.
        folder: PathBuf,
        /// What is still to come.
        needed_bytes: u64,
        /// What is free.
        available_bytes: u64,
    },
    /// The cache's folder.
    File {
        /// The file.
        path: PathBuf,
        /// What was done with it: `writing`, say.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offline { what } => write!(f, "{what} is not in the cache, and nothing is fetched offline"),
            Self::Address { url, problem } => write!(f, "`{url}` {problem}"),
            Self::Status { url, status, .. } => write!(f, "`{url}`: the server answers {status}{}", meaning(*status)),
            Self::Connection { url, problem, .. } | Self::Answer { url, problem } => write!(f, "`{url}`: {problem}"),
            Self::TooLarge { url, limit_bytes } => {
                write!(f, "`{url}` is larger than the {limit_bytes} bytes that such a file may have")
            }
            Self::WrongDigest { url, found, expected } => write!(f, "`{url}` is {found}, not {expected}"),
            Self::NoMirror { name, .. } => write!(f, "`{name}` could not be fetched"),
            Self::NoSpace { folder, needed_bytes, available_bytes } => {
                write!(f, "`{}` needs {needed_bytes} bytes more, and {available_bytes} are free", folder.display())
            }
            Self::File { path, doing, .. } => write!(f, "{doing} `{}`", path.display()),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Connection { source: Some(source), .. } | Self::File { source, .. } => Some(source),
            Self::NoMirror { causes, .. } => causes.last().map(|cause| cause as &(dyn error::Error + 'static)),
            _ => None,
        }
    }
}

/// What a status means to somebody who does not know the numbers.
fn meaning(status: u16) -> &'static str {
    match status {
        401 | 403 => " (it does not allow that)",
        404 | 410 => " (there is no such file)",
        407 => " (the proxy wants to know who asks)",
        429 => " (it was asked too often)",
        500..=599 => " (it is in trouble)",
        _ => "",
    }
}
