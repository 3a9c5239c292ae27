//! `--help`, `--long-options`, `--short-options`.

use std::fmt::Write;

use super::options::ENTRIES;
use crate::compat::{Opt, Standing};
use crate::show::print;

/// The column at which what an option does begins.
const TEXT_COLUMN: usize = 38;

const HEAD: &str = "\
virt-customize: change the guest in a disk image, as imgraft does it: no root, no appliance

 virt-customize [--options] -a disk.img [-a disk.img ...]

Nothing is changed before all of it is known to work. What is marked
  ~  differs from the original in what docs/compat/virt-customize.md states
  !  needs subscription-manager in the guest: it is refused, and nothing is changed
  -  is taken and has no effect here
  w  is not for Linux guests: it gets a warning
  x  is refused
  +  is not in the original

Options:
";

/// Prints what options there are.
pub(super) fn print_help() {
    let mut text = HEAD.to_owned();
    for entry in ENTRIES.iter().filter(|entry| !entry.is_hidden) {
        text.push_str(&line(&entry.opt));
    }
    say(&text);
}

fn line(option: &Opt) -> String {
    let mut line = format!("  {}", option.names.join(", "));
    if let Some(argument) = option.argument {
        let _ = write!(line, " <{argument}>");
    }
    let width = line.chars().count();
    line.push_str(&match TEXT_COLUMN.checked_sub(width) {
        Some(blanks) if blanks > 0 => " ".repeat(blanks),
        _ => format!("\n{}", " ".repeat(TEXT_COLUMN)),
    });
    format!("{line}{} {}\n", mark(option.standing), option.help)
}

/// The letter of an option's class.
fn mark(standing: Standing) -> char {
    match standing {
        Standing::Same => ' ',
        Standing::Differs(_) => '~',
        Standing::NeedsGuest => '!',
        Standing::Ignored(_) => '-',
        Standing::NotForLinux => 'w',
        Standing::Refused(_) => 'x',
        Standing::Ours => '+',
    }
}

/// Prints the long options, a line each, for completions.
pub(super) fn print_long_options() {
    print_names(|name| name.starts_with("--") && !matches!(name, "--long-options" | "--short-options"));
}

/// Prints the short options, a line each, for completions.
pub(super) fn print_short_options() {
    print_names(|name| !name.starts_with("--"));
}

fn print_names(is_wanted: impl Fn(&str) -> bool) {
    let names = ENTRIES.iter().flat_map(|entry| entry.opt.names).filter(|name| is_wanted(name));
    say(&names.map(|name| format!("{name}\n")).collect::<String>());
}

/// Whoever reads may have enough.
pub(super) fn say(text: &str) {
    let _ = print(text);
}

/// Prints whose command line this speaks, and what it is.
pub(super) fn print_version() {
    say(&format!("virt-customize {}.2 (imgraft {})\n", super::options::FIRST, env!("CARGO_PKG_VERSION")));
}
