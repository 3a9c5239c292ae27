//! `install`: installs packages by the guest's package manager.

use std::ffi::OsStr;
use std::str::FromStr;

use recipe::SyntaxError;

use super::{Apply, Flag, StepForm, Verb};
use crate::carry_out::Work;
use crate::command::{Need, step_name};
use crate::error::Error;
use crate::package_manager::{self, Action, Request};
use crate::report::Report;

/// Installs packages, with what they depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Install {
    /// The packages.
    pub packages: Vec<String>,
    /// The day of the archive that they are from; its present state where this is `None`.
    pub snapshot: Option<Snapshot>,
    /// Whether recommended packages are installed, too; as the guest is set where this is `None`.
    pub recommends: Option<bool>,
    /// Whether what was downloaded is removed afterwards.
    pub clean: bool,
}

/// A moment of a distribution's archive: `20261101T000000Z`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot(String);

impl Snapshot {
    /// The moment as snapshot services have it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Snapshot {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let is_form = text.len() == 16
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 => byte == b'T',
                15 => byte == b'Z',
                _ => byte.is_ascii_digit(),
            });
        let field = |from: usize, to: usize| text.get(from..to).and_then(|digits| digits.parse::<u32>().ok());
        let is_in = |from, to, limits: std::ops::RangeInclusive<u32>| {
            field(from, to).is_some_and(|number| limits.contains(&number))
        };
        let is_moment = is_form
            && is_in(4, 6, 1..=12)
            && is_in(6, 8, 1..=31)
            && is_in(9, 11, 0..=23)
            && is_in(11, 13, 0..=59)
            && is_in(13, 15, 0..=59);
        match is_moment {
            true => Ok(Self(text.to_owned())),
            false => {
                Err(SyntaxError::invalid(text, "a moment of an archive", "write it as `20261101T000000Z`, in UTC"))
            }
        }
    }
}

impl Install {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "install",
            value: Some("PACKAGE[,PACKAGE]"),
            help: "Install packages by the guest's package manager, with `--network`; services do not start",
            parse: |text, _| Install::parse(text).map(Into::into),
        }],
        step: StepForm {
            name: "install",
            value: "[PACKAGE, …]",
            keys: &["snapshot", "recommends", "clean"],
            read: |step| {
                let packages: Vec<String> = step.table.strings("install").into_iter().map(str::to_owned).collect();
                let checked = step.table.checked("install", package_manager::check_names(&packages));
                let snapshot = step.table.parsed("snapshot");
                let recommends = step.table.boolean("recommends");
                let clean = step.table.boolean("clean").unwrap_or_default();
                checked.map(|()| Install { packages, snapshot, recommends, clean }.into())
            },
        },
    }];

    /// Reads `PACKAGE[,PACKAGE]`.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if a name is not one that a package can have.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        Ok(Self { packages: package_manager::parse_names(text)?, ..Self::default() })
    }

    fn name(&self) -> String {
        step_name("install", &self.packages.join(" "))
    }
}

impl Apply for Install {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let request = Request {
            action: Action::Install,
            packages: &self.packages,
            snapshot: self.snapshot.as_ref().map(Snapshot::as_str),
            recommends: self.recommends,
            clean: self.clean,
        };
        work.manage_packages("install", self.name(), &request)
    }

    fn need(&self) -> Need {
        Need::Network(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_a_moment() {
        assert_eq!("20261101T000000Z".parse::<Snapshot>().unwrap().as_str(), "20261101T000000Z");
        for text in [
            "",
            "20261101",
            "2026-11-01",
            "20261301T000000Z",
            "20261100T000000Z",
            "20261101T240000Z",
            "20261101T000000z",
            "20261101T0000é0Z",
            "';reboot;'000000",
        ] {
            assert!(text.parse::<Snapshot>().is_err(), "{text}");
        }
    }
}
