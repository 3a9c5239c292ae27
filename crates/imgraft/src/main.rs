//! `imgraft`: grafts files onto stock cloud images.

mod bases;
mod cli;
mod command;
mod compat;
mod documents;
mod environment;
mod exit;
mod explain;
mod failure;
mod flags;
mod git;
mod interrupt;
mod machine;
mod network;
mod placeholders;
mod registries;
mod report;
mod runner;
mod show;
mod usage;

use std::process::ExitCode;

fn main() -> ExitCode {
    // A command in a guest has this program as its helper.
    sandbox::enter_if_asked();
    interrupt::prepare();
    if let Some(code) = compat::run(std::env::args_os()) {
        return code;
    }
    let cli = match usage::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
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
