//! Options as GNU `getopt_long` takes them: in any order among the operands, several letters in one
//! word, long names cut as short as they stay unique; its messages, too.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::vec::IntoIter;

use super::Opt;

/// A command line in its parts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// The options in the order given: the name that each is known by, and its argument.
    pub(crate) options: Vec<(&'static str, Option<OsString>)>,
    /// What is no option.
    pub(crate) operands: Vec<OsString>,
}

/// Takes a command line apart.
///
/// # Errors
///
/// Everything that is wrong with it, a line each, without the program's name.
pub(crate) fn parse(options: &'static [Opt], arguments: Vec<OsString>) -> Result<Parsed, Vec<String>> {
    let mut scanner = Scanner::new(options, Names::default(), arguments);
    let (mut parsed, mut problems) = (Parsed::default(), Vec::new());
    for item in &mut scanner {
        match item {
            Ok((option, value)) => parsed.options.push((option.name(), value)),
            Err(problem) => problems.push(problem),
        }
    }
    parsed.operands = scanner.operands;
    if problems.is_empty() { Ok(parsed) } else { Err(problems) }
}

/// How names of options are recognised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names {
    /// Whether one dash before a long name is enough, as `getopt_long_only` has it.
    pub(crate) one_dash: bool,
    /// Whether an option may be cut short.
    pub(crate) may_be_cut: fn(&Opt) -> bool,
}

impl Default for Names {
    fn default() -> Self {
        Self { one_dash: false, may_be_cut: |_| true }
    }
}

/// Gives a command line's options one by one, or what is wrong with them, and keeps what is none.
pub(crate) struct Scanner {
    options: &'static [Opt],
    names: Names,
    words: IntoIter<OsString>,
    /// What is left of a word of several letters.
    letters: VecDeque<u8>,
    /// What is no option.
    pub(crate) operands: Vec<OsString>,
}

/// An option and its argument.
pub(crate) type Item = Result<(&'static Opt, Option<OsString>), String>;

impl Scanner {
    pub(crate) fn new(options: &'static [Opt], names: Names, arguments: Vec<OsString>) -> Self {
        Self { options, names, words: arguments.into_iter(), letters: VecDeque::new(), operands: Vec::new() }
    }

    /// What the word, which begins with `dashes`, says as a long name. `None` where one dash may as well
    /// begin letters.
    fn long(&mut self, word: &[u8], dashes: &'static str) -> Option<Item> {
        let rest = &word[dashes.len()..];
        let (name, value) = match rest.iter().position(|&byte| byte == b'=') {
            Some(equals) => (&rest[..equals], Some(OsString::from_vec(rest[equals + 1..].to_vec()))),
            None => (rest, None),
        };
        let shown = OsStr::from_bytes(rest).display();
        let all = || self.options.iter().flat_map(|option| option.names.iter().map(move |name| (option, *name)));
        let long = || all().filter_map(|(option, name)| Some((option, name.strip_prefix("--")?)));
        let exact = long().find(|(_, candidate)| candidate.as_bytes() == name);
        let candidates: Vec<_> = match exact {
            Some(exact) => vec![exact],
            None => long()
                .filter(|(option, candidate)| candidate.as_bytes().starts_with(name) && (self.names.may_be_cut)(option))
                .collect(),
        };
        let (option, full_name) = match &candidates[..] {
            [] if dashes == "-" && rest.first().is_some_and(|&letter| self.letter(letter).is_some()) => return None,
            [] => return Some(Err(format!("unrecognized option '{dashes}{shown}'"))),
            // One option under two names is one, but not for `getopt_long_only`.
            [one, others @ ..] if others.iter().all(|other| std::ptr::eq(one.0, other.0) && !self.names.one_dash) => {
                *one
            }
            several => {
                let names: String = several.iter().map(|(_, name)| format!(" '{dashes}{name}'")).collect();
                return Some(Err(format!("option '{dashes}{shown}' is ambiguous; possibilities:{names}")));
            }
        };
        Some(match (option.argument, value) {
            (Some(_), None) => match self.words.next() {
                Some(value) => Ok((option, Some(value))),
                None => Err(format!("option '{dashes}{full_name}' requires an argument")),
            },
            (None, Some(_)) => Err(format!("option '{dashes}{full_name}' doesn't allow an argument")),
            (_, value) => Ok((option, value)),
        })
    }

    /// The option that a letter is.
    fn letter(&self, letter: u8) -> Option<&'static Opt> {
        let is = |name: &&str| name.as_bytes() == [b'-', letter];
        self.options.iter().find(|option| letter != b'-' && option.names.iter().any(is))
    }

    /// The next letter of a word of several, which takes the rest of the word where it has an argument.
    fn next_letter(&mut self, letter: u8) -> Item {
        let shown = OsStr::from_bytes(&[letter]).display().to_string();
        let Some(option) = self.letter(letter) else { return Err(format!("invalid option -- '{shown}'")) };
        if option.argument.is_none() {
            return Ok((option, None));
        }
        let here = std::mem::take(&mut self.letters);
        let value = if here.is_empty() { self.words.next() } else { Some(OsString::from_vec(here.into())) };
        match value {
            Some(value) => Ok((option, Some(value))),
            None => Err(format!("option requires an argument -- '{shown}'")),
        }
    }
}

impl Iterator for Scanner {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        loop {
            if let Some(letter) = self.letters.pop_front() {
                return Some(self.next_letter(letter));
            }
            let word = self.words.next()?;
            let bytes = word.as_bytes();
            if bytes == b"--" {
                self.operands.extend(self.words.by_ref());
            } else if bytes.starts_with(b"--") {
                return self.long(bytes, "--");
            } else if bytes.len() > 1 && bytes[0] == b'-' {
                let is_a_letter = bytes.len() == 2 && self.letter(bytes[1]).is_some();
                if self.names.one_dash
                    && !is_a_letter
                    && let Some(item) = self.long(bytes, "-")
                {
                    return Some(item);
                }
                self.letters = bytes[1..].to_vec().into();
            } else {
                self.operands.push(word);
            }
        }
    }
}
#[cfg(test)]
mod tests {
    use super::super::Standing;
    use super::*;

    const OPTIONS: &[Opt] = &[
        Opt { names: &["-h", "--help"], argument: None, help: "", standing: Standing::Same },
        Opt { names: &["-H", "--hostname"], argument: Some("H"), help: "", standing: Standing::Same },
        Opt { names: &["-v", "--verbose"], argument: None, help: "", standing: Standing::Same },
        Opt { names: &["--dryrun", "--dry-run"], argument: None, help: "", standing: Standing::Same },
    ];

    fn words(line: &str) -> Vec<OsString> {
        line.split_ascii_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn options_are_taken_from_among_the_operands() {
        let parsed = parse(OPTIONS, words("a -vHweb --host=x -- -v")).unwrap();
        let expected = [("--verbose", None), ("--hostname", Some("web".into())), ("--hostname", Some("x".into()))];
        assert_eq!(parsed, Parsed { options: expected.to_vec(), operands: words("a -v") });
        assert_eq!(parse(OPTIONS, words("- --dry -H -")).unwrap().operands, words("-"));
    }

    /// Each is what the real `getopt -o hH:v -l help,hostname:,verbose,dryrun,dry-run` says.
    #[test]
    fn what_is_wrong_is_said_in_the_original_words() {
        for (line, problems) in [
            ("-x", &["invalid option -- 'x'"][..]),
            ("--foo=1", &["unrecognized option '--foo=1'"]),
            ("-H", &["option requires an argument -- 'H'"]),
            ("--hostname", &["option '--hostname' requires an argument"]),
            ("--verb=1", &["option '--verbose' doesn't allow an argument"]),
            ("--h=1", &["option '--h=1' is ambiguous; possibilities: '--help' '--hostname'"]),
            ("-x -y a", &["invalid option -- 'x'", "invalid option -- 'y'"]),
            ("-v-", &["invalid option -- '-'"]),
        ] {
            assert_eq!(parse(OPTIONS, words(line)).unwrap_err(), problems, "{line}");
        }
    }
}
