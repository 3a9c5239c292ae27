//! `imgraft seed iso`, `vfat`, `tar`: a seed for cloud-init's data source NoCloud.

use std::path::Path;

use graft::{stream_seed, write_seed};
use image::Container;
use seed::check::Renderer;
use seed::{Medium, Seed};

use crate::cli::seed::Files;
use crate::environment;
use crate::failure::Failure;
use crate::show::Messages;
use crate::show::seed::checked_seed;

pub(super) fn run(medium: Medium, arguments: &Files, messages: &Messages) -> Result<(), Failure> {
    let what = match medium {
        Medium::Iso => "an ISO 9660",
        Medium::Vfat => "a vfat",
        Medium::Tar { .. } => "an archive",
    };
    let output = &arguments.output;
    let unmade = format!("`{}` was not made", output.display());
    let renderer = arguments.renderer.map(Renderer::from).unwrap_or_default();
    let (seed, _) = checked_seed(&arguments.content, renderer, messages)?;
    let modified = environment::source_date_epoch()?;
    if output == Path::new("-") {
        let mut stdout = std::io::stdout().lock();
        return Ok(stream_seed(&seed, medium, modified, &Container::Raw, &mut stdout)?);
    }
    write_seed(&seed, medium, modified, output).map_err(|error| Failure::from(error).within(unmade))?;
    messages.note(format_args!("made `{}`: {what} with {}", output.display(), names(&seed)));
    Ok(())
}

/// `user-data, meta-data and vendor-data`.
fn names(seed: &Seed) -> String {
    let names: Vec<&str> = seed.files().into_iter().map(|(name, _)| name).collect();
    let (last, others) = names.split_last().unwrap_or((&"", &[]));
    format!("{} and {last}", others.join(", "))
}
