//! A command line that a user could type.

use std::ffi::OsString;
use std::fmt;

use clap::Parser;

use crate::cli::Cli;

/// The words after `imgraft`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line(Vec<OsString>);

impl Line {
    pub(super) fn new<W: Into<OsString>>(words: impl IntoIterator<Item = W>) -> Self {
        Self(words.into_iter().map(Into::into).collect())
    }

    /// This line with more words.
    pub(super) fn with<W: Into<OsString>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.0.extend(words.into_iter().map(Into::into));
        self
    }

    /// What it asks for, if it is understood.
    pub(super) fn parse(&self) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once(OsString::from("imgraft")).chain(self.0.iter().cloned()))
    }

    /// The first of `lines` that is understood, and where none is, the last one.
    pub(super) fn best(lines: impl IntoIterator<Item = Self>) -> Self {
        let mut last = Self::default();
        for line in lines {
            last = line;
            if last.parse().is_ok() {
                break;
            }
        }
        last
    }
}

impl fmt::Display for Line {
    /// As a shell takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("imgraft")?;
        self.0.iter().try_for_each(|word| write!(f, " {}", vm::quoted(word)))
    }
}
