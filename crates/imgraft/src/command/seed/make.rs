//! `imgraft seed iso`, `vfat`, `tar`: a seed for cloud-init's data source NoCloud.

use std::path::Path;

use image::Container;
use seed::check::Renderer;
use seed::{Medium, Seed};

use crate::cli::seed::Files;
use crate::failure::Failure;
use crate::message::Messages;
use crate::{environment, seed_output, seed_report};

pub(super) fn run(medium: Medium, arguments: &Files, messages: &Messages) -> Result<(), Failure> {
    let what = match medium {
        Medium::Iso => "an ISO 9660",
        Medium::Vfat => "a vfat",
        Medium::Tar { .. } => "an archive",
    };
    let output = &arguments.output;
    let unmade = format!("`{}` was not made", output.display());
    seed_report::warn_of_locked_out_users(&arguments.content, messages);
    let renderer = arguments.renderer.map(Renderer::from).unwrap_or_default();
    let (seed, _) = seed_report::checked_seed(&arguments.content, renderer, messages)?;
    let seconds = seed_output::seconds(environment::source_date_epoch()?);
    let medium = seed::medium(&seed, medium, seconds).map_err(|error| Failure::of(&error).within(unmade.clone()))?;
    if output == Path::new("-") {
        return seed_output::print(&medium, &Container::Raw);
    }
    seed_output::write(&medium, &Container::Raw, output).map_err(|failure| failure.within(unmade))?;
    messages.note(format_args!("made `{}`: {what} with {}", output.display(), names(&seed)));
    Ok(())
}

/// `user-data, meta-data and vendor-data`.
fn names(seed: &Seed) -> String {
    let names: Vec<&str> = seed.files().into_iter().map(|(name, _)| name).collect();
    let (last, others) = names.split_last().unwrap_or((&"", &[]));
    format!("{} and {last}", others.join(", "))
}
