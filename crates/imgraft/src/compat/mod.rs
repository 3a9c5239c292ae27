//! The command lines of other programs: this binary under their names, or `imgraft NAME …`.
//!
//! Each speaks as the original does: its options, messages, streams and exit codes. What is not the
//! same is stated in its [`FrontEnd`], out of which parsing and the tables of `docs/compat` come.

mod cloud_localds;
mod getopt;
mod table;
mod virt_customize;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

pub(crate) use table::{FrontEnd, Opt, Standing, cell};

/// The programs whose command lines we speak.
pub(crate) const FRONT_ENDS: &[&FrontEnd] = &[&cloud_localds::FRONT_END, &virt_customize::FRONT_END];

/// Runs the front end that the command line `arguments` is for, if it is for one: its first word is
/// the name of the program, or its second one.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let (front_end, rest) = requested(arguments.collect())?;
    Some((front_end.run)(rest))
}

fn requested(arguments: Vec<OsString>) -> Option<(&'static FrontEnd, Vec<OsString>)> {
    let mut arguments = arguments.into_iter();
    let called_as = |word: &OsString| {
        let name = Path::new(word).file_name()?;
        FRONT_ENDS.iter().copied().find(|front_end| front_end.name == name)
    };
    let program = arguments.next()?;
    if let Some(front_end) = called_as(&program) {
        return Some((front_end, arguments.collect()));
    }
    let command = arguments.next()?;
    let front_end = FRONT_ENDS.iter().copied().find(|front_end| front_end.name == command)?;
    Some((front_end, arguments.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_front_end_is_asked_for_by_either_of_the_first_two_words() {
        let requested = |line: &str| {
            let words = line.split_ascii_whitespace().map(OsString::from).collect();
            requested(words).map(|(front_end, rest)| (front_end.name, rest.len()))
        };
        assert_eq!(requested("/usr/local/bin/cloud-localds a b"), Some(("cloud-localds", 2)));
        assert_eq!(requested("imgraft cloud-localds"), Some(("cloud-localds", 0)));
        for line in ["", "imgraft", "imgraft build cloud-localds", "imgraft ./cloud-localds", "cloud-localds.sh x"] {
            assert_eq!(requested(line), None, "{line}");
        }
    }
}
