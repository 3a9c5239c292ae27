//! What file systems answer when something cannot be done.

use std::fmt;

use storage::Finding;

/// What a file system has too little of, and how much of it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSpace {
    /// Bytes.
    Bytes {
        /// How many are needed.
        needed: u64,
        /// How many are free.
        available: u64,
    },
    /// Inodes.
    Inodes {
        /// How many are needed.
        needed: u64,
        /// How many are free.
        available: u64,
    },
}

/// Why a file system could not do something, for programs to match on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileSystemProblem {
    /// The disk could not be read or written.
    #[error("the disk could not be read or written")]
    Storage {
        /// Whether the host refused it. If so, nothing is known about the file system.
        by_host: bool,
    },
    /// Its bytes break the rules of the format.
    #[error("damaged: {0}")]
    Damaged(Finding),
    /// A feature that imgraft cannot read or write, or an edit that this kind of file system cannot take.
    #[error("{feature} is not supported")]
    Unsupported {
        /// Which one.
        feature: String,
    },
    /// Nothing can be written to this file system.
    #[error("the file system is read-only: {reason}")]
    ReadOnly {
        /// Why.
        reason: String,
    },
    /// The file system has noted errors, and is only written to if the caller allows it.
    #[error("errors were noted in the file system")]
    NotedErrors,
    /// The file system is too full: what it needs, if it says so in a unit that others know.
    #[error("no space left in the file system")]
    NoSpace(Option<NoSpace>),
    /// The name is taken.
    #[error("the name is taken")]
    Exists,
    /// There is no such file.
    #[error("no such file or directory")]
    NotFound,
    /// A directory was expected.
    #[error("not a directory")]
    NotADirectory,
    /// Something else than a directory was expected.
    #[error("is a directory")]
    IsADirectory,
    /// An empty directory was expected.
    #[error("the directory is not empty")]
    NotEmpty,
    /// A directory was to be moved to a place below itself.
    #[error("a directory cannot be moved to a place below itself")]
    IntoItself,
    /// No file of this file system can have the name.
    #[error("no file can have this name")]
    BadName,
    /// The file is too large for the format.
    #[error("the file is too large")]
    TooLarge,
    /// The content to be written could not be read, or its size is not the announced one.
    #[error("the content to be written could not be read")]
    Content,
}

/// An error of a file system: what a program can match on, and the words of the file system itself.
#[derive(Debug)]
pub struct FileSystemError {
    /// What is wrong.
    pub problem: FileSystemProblem,
    words: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl FileSystemProblem {
    /// The problem that an error of the storage is.
    pub fn of_storage(error: &storage::Error) -> Self {
        Self::Storage { by_host: error.host_error().is_some() }
    }
}

impl FileSystemError {
    /// An error that says `words`, and whose source is theirs.
    pub fn new(problem: FileSystemProblem, words: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { problem, words: Some(Box::new(words)) }
    }

    /// Whether the file system is too full, and what it needs.
    pub fn no_space(&self) -> Option<NoSpace> {
        match self.problem {
            FileSystemProblem::NoSpace(room) => room,
            _ => None,
        }
    }

    /// Whether it is not written to because errors were noted in it.
    pub fn is_for_noted_errors(&self) -> bool {
        self.problem == FileSystemProblem::NotedErrors
    }

    /// Whether the host could not read or write, which says nothing about the file system.
    pub(crate) fn is_from_host(&self) -> bool {
        self.problem == FileSystemProblem::Storage { by_host: true }
    }

    /// What is damaged, if that is why.
    pub fn corruption(&self) -> Option<Finding> {
        match &self.problem {
            FileSystemProblem::Damaged(finding) => Some(finding.clone()),
            _ => None,
        }
    }
}

impl fmt::Display for FileSystemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.words {
            Some(words) => words.fmt(f),
            None => self.problem.fmt(f),
        }
    }
}

impl std::error::Error for FileSystemError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.words.as_ref().and_then(|words| words.source())
    }
}

impl From<FileSystemProblem> for FileSystemError {
    fn from(problem: FileSystemProblem) -> Self {
        Self { problem, words: None }
    }
}

impl From<storage::Error> for FileSystemError {
    fn from(error: storage::Error) -> Self {
        Self::new(FileSystemProblem::of_storage(&error), error)
    }
}
