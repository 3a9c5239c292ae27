//! `imgraft man`: the manual pages, out of the definition of the command line, one a command.

use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::roff::{Roff, bold, roman};

use crate::cli::{Cli, Man};
use crate::failure::Failure;

pub(super) fn run(arguments: &Man) -> Result<(), Failure> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    write_pages(&command, &arguments.folder).map_err(|error| {
        Failure::because(format!("the folder `{}` cannot be written to", arguments.folder.display()), &error)
    })
}

fn write_pages(command: &Command, folder: &Path) -> io::Result<()> {
    let is_listed = |below: &&Command| !below.is_hide_set();
    command.get_subcommands().filter(is_listed).try_for_each(|below| write_pages(below, folder))?;
    let page = clap_mangen::Man::new(command.clone());
    let page = page.source(concat!("imgraft ", env!("CARGO_PKG_VERSION"))).manual("imgraft");
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    // Neither hyphens in names that are typed, nor lines stretched to the margin where a long name leaves them short.
    Roff::new().control("nh", []).control("ad", ["l"]).to_writer(&mut text)?;
    page.render_name_section(&mut text)?;
    synopsis(command).to_writer(&mut text)?;
    page.render_description_section(&mut text)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        page.render_options_section(&mut text)?;
    }
    if command.get_subcommands().any(|below| !below.is_hide_set()) {
        page.render_subcommands_section(&mut text)?;
    }
    if let Some(help) = command.get_after_help() {
        after_options(&help.to_string()).to_writer(&mut text)?;
    }
    fs::write(folder.join(page.get_filename()), text)
}

/// The line of `--help`: with fifty options, a list of all of them is none that is read.
fn synopsis(command: &Command) -> Roff {
    let usage = command.clone().render_usage().to_string();
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    for line in usage.trim_start_matches("Usage:").lines() {
        roff.text([bold(line.trim())]);
    }
    roff
}

/// What `--help` has after its options: paragraphs, lines that stay as they are, and headings.
fn after_options(help: &str) -> Roff {
    let mut roff = Roff::new();
    let mut lines = help.lines().peekable();
    if lines.peek().is_some_and(|first| !first.ends_with(':')) {
        roff.control("SH", ["NOTES"]);
    }
    let mut is_verbatim = false;
    for line in lines {
        if line.starts_with(' ') != is_verbatim {
            is_verbatim = !is_verbatim;
            roff.control(if is_verbatim { "nf" } else { "fi" }, []);
        }
        match line {
            "" => roff.control("PP", []),
            "Examples:" => roff.control("SH", ["EXAMPLES"]),
            "Exit codes:" => roff.control("SH", ["EXIT STATUS"]),
            _ => roff.text([roman(line)]),
        };
    }
    if is_verbatim {
        roff.control("fi", []);
    }
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_stay_as_they_are_typed() {
        let page = after_options("Examples:\n  a --b\n  .c\n\nProse.\n\nExit codes:\n  0  done").to_roff();
        let expected =
            ".SH EXAMPLES\n.nf\n  a \\-\\-b\n  .c\n.fi\n.PP\nProse.\n.PP\n.SH \"EXIT STATUS\"\n.nf\n  0  done\n.fi\n";
        assert_eq!(page, expected);
    }
}
