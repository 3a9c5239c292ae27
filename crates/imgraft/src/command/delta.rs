//! `imgraft delta`: an image for those who have its base.

use std::time::Instant;

use graft::{DeltaReport, apply_delta, delta_info, make_delta};
use recipe::ByteSize;

use crate::cli::delta::Command;
use crate::failure::Failure;
use crate::show::{Messages, print, print_json};

pub(super) fn run(command: &Command, messages: &Messages) -> Result<(), Failure> {
    let start = Instant::now();
    let watcher = messages.watcher();
    match command {
        Command::Make(arguments) => {
            super::refuse_stdout(&arguments.output)?;
            let report = make_delta(&arguments.base, &arguments.image, &arguments.output, &watcher)?;
            messages.note(format_args!(
                "made {} ({}) for an image of {} in {:.1} s",
                report.delta,
                ByteSize(report.delta_bytes),
                ByteSize(report.image_bytes),
                start.elapsed().as_secs_f64(),
            ));
            if arguments.json { print_json(&report) } else { Ok(()) }
        }
        Command::Apply(arguments) => {
            super::refuse_stdout(&arguments.output)?;
            let limit_bytes = arguments.limit.bytes();
            let report = apply_delta(&arguments.base, &arguments.delta, &arguments.output, limit_bytes, &watcher)?;
            messages.note(format_args!(
                "made {} ({}), as its digest says, in {:.1} s",
                arguments.output.display(),
                ByteSize(report.image_bytes),
                start.elapsed().as_secs_f64(),
            ));
            if arguments.json { print_json(&report) } else { Ok(()) }
        }
        Command::Info(arguments) => {
            let report = delta_info(&arguments.delta, arguments.limit.bytes())?;
            if arguments.json { print_json(&report) } else { print(&text(&report)) }
        }
    }
}

fn text(report: &DeltaReport) -> String {
    let file = |bytes, digest: &str| format!("{} sha256:{digest}", ByteSize(bytes));
    format!(
        "delta:    {}, version {}, {} instructions\n\
         base:     {}\n\
         image:    {}\n\
         copied:   {}\n\
         new:      {}\n\
         zeros:    {}\n\
         tables:   {}\n",
        ByteSize(report.delta_bytes),
        report.version,
        report.instructions,
        file(report.base_bytes, &report.base_sha256),
        file(report.image_bytes, &report.image_sha256),
        ByteSize(report.copied_bytes),
        ByteSize(report.literal_bytes),
        ByteSize(report.zero_bytes),
        ByteSize(report.table_bytes),
    )
}
