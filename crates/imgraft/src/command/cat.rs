//! `imgraft cat`: files of an image, printed.

use std::io::Write;

use crate::cli::Cat;
use crate::command::guest_path;
use crate::failure::Failure;
use crate::show::{Messages, stdout_failure};
use graft::Looked;

pub(super) fn run(arguments: &Cat, messages: &Messages) -> Result<(), Failure> {
    let guest = Looked::guest(
        &arguments.image,
        arguments.part.place().as_ref(),
        arguments.backing.into(),
        &messages.watcher(),
    )?;
    let mut stdout = std::io::stdout().lock();
    for path in &arguments.paths {
        let path = guest_path(path)?;
        let written = guest.read_to(&path, &mut stdout).map_err(|error| Failure::of(&error))?;
        written.and_then(|()| stdout.flush()).map_err(stdout_failure)?;
    }
    Ok(())
}
