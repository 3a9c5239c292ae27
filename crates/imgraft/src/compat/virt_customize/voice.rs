//! What is said, and how: messages and warnings on standard output, errors on standard error.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Instant;

const GREEN: &str = "\x1b[0;32m";
const RED: &str = "\x1b[1;31m";
const BLUE: &str = "\x1b[1;34m";
const MAGENTA: &str = "\x1b[1;35m";
const RESTORE: &str = "\x1b[0m";

/// The column at which a text is wrapped.
const WRAP_COLUMN: usize = 76;

/// How things are said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Voice {
    start: Instant,
    /// Whether messages are left out. Warnings are not.
    pub(super) quiet: bool,
    pub(super) verbose: bool,
    /// Whether colours are used although nobody may see them.
    pub(super) colours: bool,
    /// Whether texts are wrapped although nobody may read them.
    pub(super) wrap: bool,
}

impl Voice {
    /// The clock of the messages begins here.
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), quiet: false, verbose: false, colours: false, wrap: false }
    }

    /// Something that is going to be done.
    pub(super) fn message(&self, text: impl Display) {
        if self.quiet {
            return;
        }
        let seconds = format!("{:.1}", self.start.elapsed().as_secs_f64());
        let (colour, restore) = self.colour(GREEN, io::stdout().is_terminal());
        say(io::stdout(), format_args!("[{seconds:>6}] {colour}{text}{restore}"));
    }

    /// Something that may not be what is wanted.
    pub(super) fn warning(&self, text: impl Display) {
        self.aside(BLUE, format!("virt-customize: warning: {text}"));
    }

    /// Something that has to be known.
    pub(super) fn info(&self, text: impl Display) {
        self.aside(MAGENTA, format!("virt-customize: {text}"));
    }

    fn aside(&self, colour: &str, text: String) {
        let is_terminal = io::stdout().is_terminal();
        let (colour, restore) = self.colour(colour, is_terminal);
        say(io::stdout(), format_args!("{colour}{}{restore}", self.wrapped(&text, is_terminal)));
    }

    /// A line that a command in the guest wrote.
    pub(super) fn output(&self, line: &str) {
        say(io::stderr(), format_args!("{line}"));
    }

    /// Why nothing was done.
    pub(super) fn error(&self, text: impl Display) {
        let is_terminal = io::stderr().is_terminal();
        let (colour, restore) = self.colour(RED, is_terminal);
        let text = self.wrapped(&format!("virt-customize: error: {text}"), is_terminal);
        say(io::stderr(), format_args!("{colour}{text}{restore}"));
    }

    /// Something that only the curious want to know.
    pub(super) fn debug(&self, text: impl Display) {
        if self.verbose {
            say(io::stderr(), format_args!("virt-customize: debug: {text}"));
        }
    }

    fn colour<'a>(&self, colour: &'a str, is_terminal: bool) -> (&'a str, &'a str) {
        if self.colours || is_terminal { (colour, RESTORE) } else { ("", "") }
    }

    fn wrapped(&self, text: &str, is_terminal: bool) -> String {
        if self.wrap || is_terminal { wrap(text) } else { text.to_owned() }
    }
}

/// What to do about it.
pub(super) fn hint(text: impl Display) {
    say(io::stderr(), format_args!("hint: {text}"));
}

/// A command line that cannot be read, as `getopt` and what stands on it say it.
pub(super) fn usage_error(text: impl Display) {
    say(
        io::stderr(),
        format_args!("{text}\nTry ‘virt-customize --help’ or consult virt-customize(1) for more information."),
    );
}

/// Whoever reads may be gone, and there is nobody left to tell then.
fn say(mut to: impl Write, text: std::fmt::Arguments<'_>) {
    let _ = writeln!(to, "{text}");
    let _ = to.flush();
}

/// Breaks `text` at blanks.
fn wrap(text: &str) -> String {
    let mut wrapped = String::with_capacity(text.len() + text.len() / 60);
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            wrapped.push('\n');
        }
        let mut column = 0;
        for (index, word) in line.split(' ').enumerate() {
            // Counted in bytes, as the original does.
            if column + word.len() >= WRAP_COLUMN {
                wrapped.push('\n');
                column = 0;
            }
            if index > 0 && column > 0 {
                wrapped.push(' ');
            }
            wrapped.push_str(word);
            column += word.len() + 1;
        }
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_broken_before_a_word_that_would_reach_the_76th_column() {
        let text = ["word"; 20].join(" ");
        let wrapped = wrap(&text);
        assert!(wrapped.lines().all(|line| line.len() < WRAP_COLUMN), "{wrapped}");
        assert_eq!(wrapped.replace('\n', " "), text);
        assert_eq!(wrap("a\nb"), "a\nb");
    }
}
