//! `imgraft man`: the manual pages, out of the definition of the command line.

use clap::CommandFactory;

use crate::cli::{Cli, Man};
use crate::failure::Failure;

pub(super) fn run(arguments: &Man) -> Result<(), Failure> {
    clap_mangen::generate_to(Cli::command(), &arguments.folder).map_err(|error| {
        Failure::because(format!("the folder `{}` cannot be written to", arguments.folder.display()), &error)
    })
}
