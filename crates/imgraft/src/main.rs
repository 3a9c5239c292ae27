//! `imgraft`: grafts files onto stock cloud images.

mod backing;
mod bases;
mod cli;
mod command;
mod commit;
mod compat;
mod container;
mod content;
mod disk;
mod download_progress;
mod environment;
mod failure;
mod flags;
mod graft;
mod in_place;
mod leftover;
mod lock;
mod machine;
mod message;
mod network;
mod output;
mod progress;
mod proof;
mod report;
mod reproducible;
mod seed_content;
mod seed_output;
mod seed_report;
mod snippet;
mod soundness;
mod terminal;
mod time;
mod unwrap;
mod usage;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    if let Some(code) = compat::run(std::env::args_os()) {
        return code;
    }
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage::refuse(error),
    };
    let messages = message::Messages::new(cli.quiet, cli.verbose);
    match command::run(cli.command, &messages) {
        Ok(code) => code,
        Err(failure) => {
            messages.failure(&failure);
            failure.exit_code()
        }
    }
}
