//! Options as GNU `getopt_long` takes them: in any order among the operands, several letters in one
//! word, long names cut as short as they stay unique; its messages, too.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

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
    let mut parsed = Parsed::default();
    let mut problems = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(word) = arguments.next() {
        let bytes = word.as_bytes();
        let taken = if bytes == b"--" {
            parsed.operands.extend(arguments.by_ref());
            Ok(())
        } else if let Some(long) = bytes.strip_prefix(b"--") {
            take_long(options, long, &mut arguments, &mut parsed)
        } else if bytes.len() > 1 && bytes[0] == b'-' {
            take_short(options, &bytes[1..], &mut arguments, &mut parsed, &mut problems);
            Ok(())
        } else {
            parsed.operands.push(word);
            Ok(())
        };
        problems.extend(taken.err());
    }
    if problems.is_empty() { Ok(parsed) } else { Err(problems) }
}

/// Takes a word that began with two dashes.
fn take_long(
    options: &'static [Opt],
    word: &[u8],
    rest: &mut impl Iterator<Item = OsString>,
    parsed: &mut Parsed,
) -> Result<(), String> {
    let equals = word.iter().position(|&byte| byte == b'=');
    let (name, value) = match equals {
        Some(equals) => (&word[..equals], Some(OsString::from_vec(word[equals + 1..].to_vec()))),
        None => (word, None),
    };
    let shown = OsStr::from_bytes(word).display();
    let names = || options.iter().flat_map(|option| option.names.iter().map(move |name| (option, *name)));
    let long = |(option, name): (&'static Opt, &'static str)| Some((option, name.strip_prefix("--")?));
    let exact = names().filter_map(long).find(|(_, candidate)| candidate.as_bytes() == name);
    let candidates: Vec<_> = match exact {
        Some(exact) => vec![exact],
        None => names().filter_map(long).filter(|(_, candidate)| candidate.as_bytes().starts_with(name)).collect(),
    };
    let (option, full_name) = match &candidates[..] {
        [] => return Err(format!("unrecognized option '--{shown}'")),
        [one, others @ ..] if others.iter().all(|other| std::ptr::eq(one.0, other.0)) => *one,
        several => {
            let names: String = several.iter().map(|(_, name)| format!(" '--{name}'")).collect();
            return Err(format!("option '--{shown}' is ambiguous; possibilities:{names}"));
        }
    };
    let value = match (option.argument, value) {
        (Some(_), None) => Some(rest.next().ok_or_else(|| format!("option '--{full_name}' requires an argument"))?),
        (None, Some(_)) => return Err(format!("option '--{full_name}' doesn't allow an argument")),
        (_, value) => value,
    };
    parsed.options.push((option.name(), value));
    Ok(())
}

/// Takes a word that began with one dash: letters, up to the first one that has an argument.
fn take_short(
    options: &'static [Opt],
    letters: &[u8],
    rest: &mut impl Iterator<Item = OsString>,
    parsed: &mut Parsed,
    problems: &mut Vec<String>,
) {
    for (index, &letter) in letters.iter().enumerate() {
        let shown = OsStr::from_bytes(&letters[index..=index]).display();
        let is = |name: &&str| name.as_bytes() == [b'-', letter];
        let Some(option) = options.iter().find(|option| letter != b'-' && option.names.iter().any(is)) else {
            problems.push(format!("invalid option -- '{shown}'"));
            continue;
        };
        if option.argument.is_none() {
            parsed.options.push((option.name(), None));
            continue;
        }
        let here = &letters[index + 1..];
        let value = if here.is_empty() { rest.next() } else { Some(OsString::from_vec(here.to_vec())) };
        match value {
            Some(value) => parsed.options.push((option.name(), Some(value))),
            None => problems.push(format!("option requires an argument -- '{shown}'")),
        }
        return;
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
