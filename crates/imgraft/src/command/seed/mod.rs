//! `imgraft seed`, a file for each of the things that can be done about a seed.

mod check;
mod journal;
mod line;
mod make;
mod serve;

use seed::Medium;

use crate::cli::seed::Command;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::Messages;

pub(super) fn run(command: Command, messages: &Messages) -> Result<Exit, Failure> {
    match command {
        Command::Check(arguments) => return check::run(&arguments, messages),
        Command::Iso(files) => make::run(Medium::Iso, &files, messages)?,
        Command::Vfat(files) => make::run(Medium::Vfat, &files, messages)?,
        Command::Tar(files) => make::run(Medium::Tar { folder: "" }, &files, messages)?,
        Command::Line(arguments) => line::run(&arguments)?,
        Command::Serve(arguments) => serve::run(&arguments, messages)?,
    }
    Ok(Exit::Done)
}
