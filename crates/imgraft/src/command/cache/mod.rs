//! `imgraft cache`: the files that were fetched.

mod list;
mod prune;
mod verify;

use std::time::{SystemTime, UNIX_EPOCH};

use catalogue::Digest;
use guest::Time;

use crate::cli::cache::Command;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::Messages;

pub(super) fn run(command: Command, messages: &Messages) -> Result<Exit, Failure> {
    match command {
        Command::List(arguments) => list::run(&arguments, messages)?,
        Command::Verify(arguments) => return verify::run(&arguments, messages),
        Command::Prune(arguments) => prune::run(&arguments, messages)?,
    }
    Ok(Exit::Done)
}

/// The start of a digest, which is enough to tell it from others.
fn short(digest: &Digest) -> String {
    format!("{}:{}…", digest.algorithm().name(), &digest.hex()[..16])
}

fn time(time: SystemTime) -> Time {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Time { seconds: i64::try_from(seconds).unwrap_or(i64::MAX), nanoseconds: 0 }
}
