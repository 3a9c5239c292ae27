//! `imgraft resize`: a larger disk, and a root that fills it.

use recipe::{DiskSize, Form};

use super::build::{NewImage, resolve_target};
use super::customize::real_path;
use crate::cli::Resize;
use crate::disk::OpenedFile;
use crate::failure::Failure;
use crate::graft::{self, Job, Manner};
use crate::message::Messages;
use crate::report::Report;

pub(super) fn run(arguments: Resize, messages: &Messages) -> Result<(), Failure> {
    let unchanged = arguments.output.is_none().then(|| format!("`{}` was not changed", arguments.image.display()));
    let json = arguments.writing.json;
    let report = resize(arguments, messages).map_err(|failure| match unchanged {
        Some(unchanged) => failure.within(unchanged),
        None => failure,
    })?;
    report.print(json)
}

fn resize(arguments: Resize, messages: &Messages) -> Result<Report, Failure> {
    let (base, target) = match &arguments.output {
        Some(output) => {
            let base = OpenedFile::open(&arguments.image)?;
            let target = resolve_target(output, &base, &NewImage::OF_FLAG)?;
            (base, target)
        }
        None => {
            let base = OpenedFile::open_in_place(&arguments.image, arguments.writing.dry_run)?;
            let target = real_path(&base)?;
            (base, target)
        }
    };
    let job = Job {
        base,
        backing: arguments.backing,
        form: Form::default(),
        target,
        verify_reproducible: false,
        in_place: arguments.output.is_none(),
        target_name: arguments.output.unwrap_or(arguments.image),
        size: Some(arguments.size.unwrap_or(DiskSize::By(0))),
        operations: Vec::new(),
        keep_packages: Vec::new(),
        expected_base: None,
        new_clusters: arguments.writing.compress,
        ignore_fs_errors: arguments.writing.ignore_fs_errors,
        dry_run: arguments.writing.dry_run,
        manner: Manner::default(),
    };
    graft::run(job, messages)
}
