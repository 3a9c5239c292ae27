//! `imgraft convert`: the same disk in another file.

use std::time::Instant;

use graft::{Conversion, TargetProblem};
use recipe::ByteSize;

use crate::cli::Convert;
use crate::environment;
use crate::failure::Failure;
use crate::show::{Messages, clusters_line, print_json};

pub(super) fn run(arguments: Convert, messages: &Messages) -> Result<(), Failure> {
    let start = Instant::now();
    super::refuse_stdout(&arguments.output)?;
    let mut conversion = Conversion::new(&arguments.image, &arguments.output);
    conversion.backing = arguments.backing.into();
    conversion.form = arguments.form.form(arguments.format, false);
    conversion.new_clusters = arguments.compress;
    conversion.modified = environment::source_date_epoch()?;
    let converted = conversion.run(&messages.watcher()).map_err(|error| match error {
        graft::Error::Target { problem: TargetProblem::IsSource, .. } => {
            Failure::from(error).hint("give the new image another name; `mv` can give it this one afterwards")
        }
        _ => error.into(),
    })?;
    if let Some(clusters) = &converted.clusters {
        messages.detail(clusters_line(clusters));
    }
    messages.note(format_args!(
        "converted {} to {} ({}, {}, disk of {}) in {:.1} s",
        converted.input,
        converted.output,
        converted.format,
        ByteSize(converted.file_size_bytes),
        ByteSize(converted.virtual_size_bytes),
        start.elapsed().as_secs_f64(),
    ));
    if arguments.json { print_json(&converted) } else { Ok(()) }
}
