//! `imgraft resize`: a larger disk, and a root that fills it.

use customize::DiskSize;

use super::build::resolve_target;
use crate::cli::Resize;
use crate::disk::OpenedFile;
use crate::failure::Failure;
use crate::graft::{self, Job};
use crate::message::{Messages, print_json};

pub(super) fn run(arguments: Resize, messages: &Messages) -> Result<(), Failure> {
    let base = OpenedFile::open(&arguments.image)?;
    let in_place = arguments.output.is_none();
    let unchanged = format!("`{}` was not changed", arguments.image.display());
    let target = match &arguments.output {
        Some(output) => resolve_target(output, &base)?,
        // A symlink stands for the image that it points to, which is what changes.
        None => std::fs::canonicalize(&arguments.image).map_err(|error| Failure::because(unchanged.clone(), &error))?,
    };
    let job = Job {
        base,
        target,
        target_name: arguments.output.unwrap_or(arguments.image),
        size: Some(arguments.size.unwrap_or(DiskSize::By(0))),
        operations: Vec::new(),
        keep_packages: Vec::new(),
        expected_base: None,
        new_clusters: arguments.writing.compress,
        ignore_fs_errors: arguments.writing.ignore_fs_errors,
        in_place,
    };
    let within = |failure: Failure| if in_place { failure.within(unchanged) } else { failure };
    let report = graft::run(job, messages).map_err(within)?;
    if arguments.writing.json { print_json(&report) } else { Ok(()) }
}
