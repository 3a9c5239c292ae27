//! `imgraft seed iso`, `vfat`, `tar`: a seed for cloud-init's data source NoCloud.

use std::path::Path;

use image::Container;
use seed::{Content, InstanceId, Medium, MetaData, Seed};

use crate::cli::seed::Files;
use crate::failure::Failure;
use crate::message::Messages;
use crate::{content, environment, seed_output};

pub(super) fn run(medium: Medium, arguments: Files, messages: &Messages) -> Result<(), Failure> {
    let what = match medium {
        Medium::Iso => "an ISO 9660",
        Medium::Vfat => "a vfat",
        Medium::Tar { .. } => "an archive",
    };
    let output = arguments.output.clone();
    let unmade = format!("`{}` was not made", output.display());
    let seed = read(arguments)?;
    let seconds = seed_output::seconds(environment::source_date_epoch()?);
    let medium = seed::medium(&seed, medium, seconds).map_err(|error| Failure::of(&error).within(unmade.clone()))?;
    if output == Path::new("-") {
        return seed_output::print(&medium, &Container::Raw);
    }
    seed_output::write(&medium, &Container::Raw, &output).map_err(|failure| failure.within(unmade))?;
    messages.note(format_args!("made `{}`: {what} with {}", output.display(), names(&seed)));
    Ok(())
}

/// Reads the files that were given; `-` is standard input.
fn read(arguments: Files) -> Result<Seed, Failure> {
    let mut stdin_is_read = false;
    let mut read = |path: &Path| -> Result<Content, Failure> {
        let unreadable = |error| Failure::because(format!("`{}` cannot be read", path.display()), &error);
        if path != Path::new("-") {
            return content::of_file(path).map_err(unreadable);
        }
        if std::mem::replace(&mut stdin_is_read, true) {
            return Err(Failure::new("standard input is one file and not two").hint("give `-` once").code(2));
        }
        content::of_stream(std::io::stdin().lock()).map_err(unreadable)
    };
    let user_data = read(&arguments.user_data)?;
    let network_config = arguments.network_config.as_deref().map(&mut read).transpose()?;
    let vendor_data = arguments.vendor_data.as_deref().map(&mut read).transpose()?;
    if let Some(meta_data) = arguments.meta_data {
        return Ok(Seed { user_data, meta_data: read(&meta_data)?, network_config, vendor_data });
    }
    let local_hostname = arguments.hostname.unwrap_or_default().into_bytes();
    let meta_data = MetaData { local_hostname, ..MetaData::default() };
    Seed::generate(user_data, network_config, vendor_data, meta_data, InstanceId::FromContent)
        .map_err(|error| Failure::of(&error))
}

/// `user-data, meta-data and vendor-data`.
fn names(seed: &Seed) -> String {
    let names: Vec<&str> = seed.files().into_iter().map(|(name, _)| name).collect();
    let (last, others) = names.split_last().unwrap_or((&"", &[]));
    format!("{} and {last}", others.join(", "))
}
