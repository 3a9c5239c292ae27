//! `imgraft customize`: an image changed, all or nothing.

use std::time::Instant;

use graft::Job;
use recipe::CommandLimits;

use crate::cli::Customize;
use crate::failure::Failure;
use crate::report::{self, ImageFile};
use crate::show::{Messages, print_report, tell_findings, tell_report};

pub(super) fn run(arguments: Customize, messages: &Messages) -> Result<(), Failure> {
    if arguments.operations.0.is_empty() && arguments.size.size.is_none() && !arguments.finish.clean {
        return Err(Failure::new("there is nothing to do")
            .hint("say what: `--put SRC:DEST`, `--write PATH:TEXT`, `--size +2G` or another change of `--help`"));
    }
    let start = Instant::now();
    let unchanged = format!("`{}` was not changed", arguments.image.display());
    let json = arguments.writing.json;
    let changed = || -> Result<_, Failure> {
        let mut job = Job::in_place(&arguments.image, arguments.writing.dry_run)?;
        job.backing = arguments.backing.into();
        job.place = arguments.part.place();
        job.size = arguments.size.size;
        job.operations = arguments.operations.0;
        arguments.commands.apply(&mut job, false, CommandLimits::default());
        arguments.finish.apply(&mut job, false);
        arguments.writing.apply(&mut job)?;
        job.compares = arguments.page.html.is_some();
        Ok(job.run(&messages.watcher())?)
    };
    let report = changed().map_err(|failure| failure.within(unchanged))?;
    tell_report(&report, messages, true, start);
    tell_findings(&report, messages);
    if let Some(html) = &arguments.page.html {
        // The image's own file, before it changed: there is nothing of it left to read.
        let base = ImageFile {
            path: format!("{}, as it was", report.output),
            file_size_bytes: report.in_place.as_ref().map(|edit| edit.old_file_size_bytes),
            ..ImageFile::default()
        };
        report::write(html, &report, base, None, messages)?;
    }
    print_report(&report, json)
}
