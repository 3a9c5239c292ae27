//! `imgraft resize`: a larger disk, and a root that fills it.

use std::time::Instant;

use graft::Job;
use recipe::DiskSize;

use crate::cli::Resize;
use crate::failure::Failure;
use crate::show::{Messages, print_report, tell_report};

pub(super) fn run(arguments: Resize, messages: &Messages) -> Result<(), Failure> {
    let start = Instant::now();
    let image = &arguments.image;
    let resized = || -> Result<_, Failure> {
        let mut job = match &arguments.output {
            Some(output) => {
                super::refuse_stdout(output)?;
                Job::new_image(image, output)?
            }
            None => Job::in_place(image, arguments.writing.dry_run)?,
        };
        job.backing = arguments.backing.into();
        job.size = Some(arguments.size.unwrap_or(DiskSize::By(0)));
        arguments.writing.apply(&mut job)?;
        Ok(job.run(&messages.watcher())?)
    };
    let report = resized().map_err(|failure| match arguments.output {
        Some(_) => failure,
        None => failure.within(format!("`{}` was not changed", image.display())),
    })?;
    tell_report(&report, messages, arguments.output.is_none(), start);
    print_report(&report, arguments.writing.json)
}
