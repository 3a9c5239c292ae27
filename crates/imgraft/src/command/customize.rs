//! `imgraft customize`: an image changed, all or nothing.

use std::path::PathBuf;

use recipe::Form;

use crate::cli::Customize;
use crate::disk::OpenedFile;
use crate::failure::Failure;
use crate::graft::{self, Job, Manner};
use crate::message::Messages;
use crate::report::Report;

pub(super) fn run(arguments: Customize, messages: &Messages) -> Result<(), Failure> {
    if arguments.operations.0.is_empty() && arguments.size.size.is_none() {
        return Err(Failure::new("there is nothing to do")
            .hint("say what: `--put SRC:DEST`, `--write PATH:TEXT`, `--size +2G` or another change of `--help`")
            .code(2));
    }
    let unchanged = format!("`{}` was not changed", arguments.image.display());
    let json = arguments.writing.json;
    let report = change(arguments, messages).map_err(|failure| failure.within(unchanged))?;
    report.print(json)
}

fn change(arguments: Customize, messages: &Messages) -> Result<Report, Failure> {
    let base = OpenedFile::open_in_place(&arguments.image, arguments.writing.dry_run)?;
    let job = Job {
        backing: arguments.backing,
        form: Form::default(),
        target: real_path(&base)?,
        target_name: arguments.image,
        base,
        size: arguments.size.size,
        operations: arguments.operations.0,
        keep_packages: Vec::new(),
        expected_base: None,
        new_clusters: arguments.writing.compress,
        ignore_fs_errors: arguments.writing.ignore_fs_errors,
        verify_reproducible: false,
        in_place: true,
        dry_run: arguments.writing.dry_run,
        manner: Manner::default(),
    };
    graft::run(job, messages)
}

/// A symlink stands for the image that it points to, which is what changes.
pub(crate) fn real_path(image: &OpenedFile) -> Result<PathBuf, Failure> {
    let path = &image.path;
    std::fs::canonicalize(path)
        .map_err(|error| Failure::because(format!("`{}` cannot be read", path.display()), &error))
}
