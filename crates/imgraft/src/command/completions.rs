//! `imgraft completions`: a script that lets a shell complete command lines.

use clap::CommandFactory;

use crate::cli::{Cli, Completions};
use crate::failure::Failure;
use crate::show::print_bytes;

pub(super) fn run(arguments: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "imgraft", &mut script);
    print_bytes(&script)
}
