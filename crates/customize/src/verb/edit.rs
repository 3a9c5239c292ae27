//! `edit`: passes a file through a filter of the caller. No flag and no step says this.

use std::fmt;
use std::io;
use std::sync::Arc;

use guest::GuestPath;

use super::{Apply, Verb};
use crate::carry_out::Work;
use crate::error::Error;
use crate::report::Report;

/// Passes a file through a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The file; a symlink is followed.
    pub path: GuestPath,
    /// The filter.
    pub filter: Filter,
}

/// A function from the old content of a file to the new one. It may run a program; this crate runs none.
#[derive(Clone)]
pub struct Filter(Arc<FilterFunction>);

type FilterFunction = dyn Fn(&[u8]) -> io::Result<Vec<u8>> + Send + Sync;

impl Edit {
    pub(super) const VERBS: &'static [Verb] = &[];
}

impl Filter {
    /// A filter that calls `function`.
    pub fn new(function: impl Fn(&[u8]) -> io::Result<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(function))
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Filter {}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filter")
    }
}

impl Apply for Edit {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let path = work.edit_content(&self.path, |content| {
            (self.filter.0)(content).map_err(|error| Error::Filter { path: self.path.clone(), error })
        })?;
        Ok(Report::new("edit", format!("edited {path}"), vec![path.to_string()], Vec::new()))
    }
}
