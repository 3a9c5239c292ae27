//! Where a new image goes.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, TargetProblem};
use crate::source::OpenedFile;

/// Where the new image really goes: a symlink stands for what it points to. It must not be the image that is read.
pub(crate) fn resolve(target: &Path, source: &OpenedFile) -> Result<PathBuf, Error> {
    let refused = |problem| Error::Target { path: target.to_owned(), problem };
    match std::fs::metadata(target) {
        Ok(metadata) => problem(&metadata, source).map_or(Ok(()), |problem| Err(refused(problem)))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let names_folder = target.as_os_str().as_encoded_bytes().ends_with(b"/");
            return if names_folder { Err(refused(TargetProblem::NamesFolder)) } else { Ok(target.to_owned()) };
        }
        Err(error) => return Err(Error::unwritable(target)(error)),
    }
    std::fs::canonicalize(target).map_err(Error::unwritable(target))
}

fn problem(metadata: &Metadata, source: &OpenedFile) -> Option<TargetProblem> {
    if source.is(metadata) {
        Some(TargetProblem::IsSource)
    } else if metadata.is_dir() {
        Some(TargetProblem::Directory)
    } else {
        (!metadata.is_file()).then_some(TargetProblem::NotRegular)
    }
}
