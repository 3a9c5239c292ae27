//! `imgraft`: grafts files onto stock cloud images.

mod bases;
mod cli;
mod command;
mod compat;
mod environment;
mod exit;
mod failure;
mod flags;
mod git;
mod interrupt;
mod machine;
mod network;
mod placeholders;
mod runner;
mod show;
mod usage;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // A command in a guest has this program as its helper.
    sandbox::enter_if_asked();
    interrupt::prepare();
    if let Some(code) = compat::run(std::env::args_os()) {
        return code;
    }
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage::refuse(error),
    };
    let format = cli.message_format.unwrap_or_else(usage::message_format);
    let messages = show::Messages::new(cli.quiet, cli.verbose, format);
    match command::run(cli.command, &messages) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            messages.failure(&failure);
            failure.exit().into()
        }
    }
}
