//! `edit`: a file goes through a filter that the caller has.

use std::fmt;
use std::io;
use std::sync::Arc;

use guest::GuestPath;

use crate::carry_out::Work;
use crate::error::Error;
use crate::report::Report;

/// A file, and the filter that it goes through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The file; a symlink stands for what it points to.
    pub path: GuestPath,
    /// The filter.
    pub filter: Filter,
}

/// A function from the old content of a file to the new one, such as a program that the caller runs: nothing
/// here runs any.
#[derive(Clone)]
pub struct Filter(Arc<FilterFunction>);

type FilterFunction = dyn Fn(&[u8]) -> io::Result<Vec<u8>> + Send + Sync;

impl Filter {
    /// The filter that `function` is.
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

impl Work<'_> {
    pub(crate) fn edit(&mut self, edit: &Edit) -> Result<Report, Error> {
        let path = self.edit_content(&edit.path, |content| {
            (edit.filter.0)(content).map_err(|error| Error::Filter { path: edit.path.clone(), error })
        })?;
        Ok(Report::new("edit", format!("edited {path}"), vec![path.to_string()], Vec::new()))
    }
}
