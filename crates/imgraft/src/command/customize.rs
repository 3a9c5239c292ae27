//! `imgraft customize`: an image changed, all or nothing.

use customize::Operation;

use crate::cli::Customize;
use crate::disk::OpenedFile;
use crate::failure::Failure;
use crate::graft::{self, Job};
use crate::message::{Messages, print_json};

pub(super) fn run(arguments: Customize, messages: &Messages) -> Result<(), Failure> {
    let base = OpenedFile::open(&arguments.image)?;
    let unchanged = format!("`{}` was not changed", arguments.image.display());
    // A symlink stands for the image that it points to, which is what changes.
    let target =
        std::fs::canonicalize(&arguments.image).map_err(|error| Failure::because(unchanged.clone(), &error))?;
    let operations = arguments.puts.puts.into_iter().map(Operation::Put).collect();
    let new_clusters = arguments.writing.compress;
    let job = Job {
        base,
        target,
        target_name: arguments.image,
        size: arguments.size.size,
        operations,
        keep_packages: Vec::new(),
        expected_base: None,
        new_clusters,
        ignore_fs_errors: arguments.writing.ignore_fs_errors,
        in_place: true,
    };
    let report = graft::run(job, messages).map_err(|failure| failure.within(unchanged))?;
    if arguments.writing.json { print_json(&report) } else { Ok(()) }
}
