//! The commands, one file each.

mod boot;
mod build;
mod cache;
mod cat;
mod check;
mod completions;
mod convert;
mod customize;
mod delta;
mod diff;
mod docs;
mod doctor;
mod explain;
mod export;
mod fetch;
mod get;
mod init;
mod inspect;
mod install_compat;
mod ls;
mod man;
mod matrix;
mod mount;
mod publish;
mod report;
mod resize;
mod seed;
mod test;
mod umount;
mod update;
mod verify;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use guest::GuestPath;

use crate::cli::Command;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::Messages;

/// Runs `command`.
pub(crate) fn run(command: Command, messages: &Messages) -> Result<Exit, Failure> {
    match command {
        Command::Build(arguments) => build::run(arguments, messages)?,
        Command::Matrix(arguments) => return matrix::run(&arguments, messages),
        Command::Collect(arguments) => return matrix::collect(&arguments),
        Command::Customize(arguments) => customize::run(arguments, messages)?,
        Command::Resize(arguments) => resize::run(arguments, messages)?,
        Command::Convert(arguments) => convert::run(arguments, messages)?,
        Command::Export(arguments) => export::run(&arguments, messages)?,
        Command::Init(arguments) => init::run(&arguments, messages)?,
        Command::Inspect(arguments) => return inspect::run(&arguments, messages),
        Command::Ls(arguments) => return ls::run(&arguments, messages),
        Command::Cat(arguments) => cat::run(&arguments, messages)?,
        Command::Get(arguments) => get::run(&arguments, messages)?,
        Command::Mount(arguments) => mount::run(arguments, messages)?,
        Command::Umount(arguments) => umount::run(&arguments, messages)?,
        Command::Check(arguments) => return check::run(&arguments, messages),
        Command::Diff(arguments) => return diff::run(&arguments, messages),
        Command::Report(arguments) => report::run(&arguments, messages)?,
        Command::Delta { command } => delta::run(&command, messages)?,
        Command::Verify(arguments) => return verify::run(&arguments, messages),
        Command::Seed { command } => return seed::run(command, messages),
        Command::Fetch(arguments) => fetch::run(arguments, messages)?,
        Command::Publish(arguments) => publish::run(&arguments, messages)?,
        Command::Update(arguments) => update::run(&arguments, messages)?,
        Command::Boot(arguments) => boot::run(&arguments, messages)?,
        Command::Test(arguments) => return test::run(&arguments, messages),
        Command::Cache { command } => return cache::run(command, messages),
        Command::Doctor(arguments) => return doctor::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments)?,
        Command::InstallCompat(arguments) => install_compat::run(&arguments, messages)?,
        Command::Completions(arguments) => completions::run(&arguments)?,
        Command::Man(arguments) => man::run(&arguments)?,
        Command::Docs(arguments) => docs::run(&arguments)?,
    }
    Ok(Exit::Done)
}

/// Refuses standard output for a new image, and takes every other name.
fn refuse_stdout(target: &Path) -> Result<(), Failure> {
    if target == "-" {
        return Err(Failure::new("an image is not written to standard output: it is not written from front to back")
            .hint("give it the name of a file; `./-` is one of that name"));
    }
    Ok(())
}

/// The path in the guest that an argument is.
fn guest_path(argument: &OsStr) -> Result<GuestPath, Failure> {
    GuestPath::new(argument.as_bytes())
        .map_err(|error| Failure::because(format!("`{}` is not a path in the guest", argument.display()), &error))
}
