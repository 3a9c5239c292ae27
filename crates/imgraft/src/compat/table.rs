//! What a front end is: the one definition behind parsing and documentation.

use std::ffi::OsString;
use std::fmt::Write;
use std::process::ExitCode;

/// A program whose command line we speak.
#[derive(Debug)]
pub(crate) struct FrontEnd {
    /// The program's name.
    pub(crate) name: &'static str,
    /// What is spoken, with the original's version.
    pub(crate) original: &'static str,
    /// The command line without its options.
    pub(crate) usage: &'static str,
    /// The options, in the order in which they are documented.
    pub(crate) options: &'static [Opt],
    /// What is not the same and no option's: whole sentences.
    pub(crate) differences: &'static [&'static str],
    /// Carries out a command line, given without the program's name.
    pub(crate) run: fn(Vec<OsString>) -> ExitCode,
}

/// An option of the original, or one of ours beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opt {
    /// All its names, with their dashes; the last one is the one that it is known by here.
    pub(crate) names: &'static [&'static str],
    /// What its argument is called, if it takes one.
    pub(crate) argument: Option<&'static str>,
    /// What it does, in a few words.
    pub(crate) help: &'static str,
    /// What becomes of it.
    pub(crate) standing: Standing,
}

/// What becomes of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It does what the original does.
    Same,
    /// It does something else in this respect.
    Differs(&'static str),
    /// It is refused by name, because it needs a program of the guest that is not run for it.
    NeedsGuest,
    /// A warning says that it is not for Linux guests, and nothing else is done.
    NotForLinux,
    /// It is taken and does nothing, for this reason.
    Ignored(&'static str),
    /// It is refused by name, for this reason.
    Refused(&'static str),
    /// The original does not have it.
    Ours,
}

impl Opt {
    /// The name that it is known by.
    pub(crate) fn name(&self) -> &'static str {
        self.names.last().copied().unwrap_or_default()
    }

    /// `-d, --disk-format FORMAT`.
    pub(crate) fn synopsis(&self) -> String {
        let names = self.names.join(", ");
        self.argument.map_or_else(|| names.clone(), |argument| format!("{names} {argument}"))
    }
}

impl FrontEnd {
    /// How each option stands, as a page of Markdown.
    pub(crate) fn page(&self) -> String {
        let mut page = format!(
            "# `{}`\n\n\
             Made by `imgraft docs docs` from the definition that the command line is parsed by.\n\n\
             What is spoken here is {}: `{} {}`.\n\n\
             | option | what it does | here |\n| --- | --- | --- |\n",
            self.name, self.original, self.name, self.usage
        );
        for option in self.options {
            let here = match option.standing {
                Standing::Same => "same".to_owned(),
                Standing::Differs(how) => format!("stated difference: {how}"),
                Standing::NeedsGuest => "needs the guest: refused by name".to_owned(),
                Standing::NotForLinux => "not for Linux guests: a warning, as from the original".to_owned(),
                Standing::Ignored(why) => format!("taken, without effect: {why}"),
                Standing::Refused(why) => format!("refused: {why}"),
                Standing::Ours => "not in the original".to_owned(),
            };
            let _ = writeln!(page, "| `{}` | {} | {here} |", cell(&option.synopsis()), cell(option.help));
        }
        if !self.differences.is_empty() {
            page.push_str("\n## Other stated differences\n\n");
            self.differences.iter().for_each(|difference| page.push_str(&format!("- {difference}\n")));
        }
        page
    }
}

/// A text as it is in a cell of a table.
pub(crate) fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::super::FRONT_ENDS;
    use super::*;

    #[test]
    fn a_page_has_a_line_for_each_option() {
        const OPTIONS: &[Opt] =
            &[Opt { names: &["-x", "--or"], argument: Some("A|B"), help: "h", standing: Standing::Refused("no") }];
        let front_end = FrontEnd { options: OPTIONS, ..*FRONT_ENDS[0] };
        assert!(front_end.page().contains("\n| `-x, --or A\\|B` | h | refused: no |\n"), "{}", front_end.page());
    }

    #[test]
    fn the_pages_in_docs_are_up_to_date() {
        for front_end in FRONT_ENDS {
            let path = format!("{}/../../docs/compat/{}.md", env!("CARGO_MANIFEST_DIR"), front_end.name);
            let written = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(written, front_end.page(), "make it new with `imgraft docs docs`");
        }
    }
}
