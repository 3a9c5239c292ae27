//! `timezone`: sets the guest's time zone.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use guest::resolve::LastLink;
use guest::{FileKind, PathProblem};
use recipe::SyntaxError;

use super::{Apply, Flag, StepForm, Verb, known, path, utf8};
use crate::carry_out::Work;
use crate::error::Error;
use crate::report::Report;

/// The folder of the guest's time zones.
const ZONES: &str = "/usr/share/zoneinfo";

/// Sets the guest's time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timezone {
    /// The zone's name: `Europe/Berlin`.
    pub zone: String,
}

impl Timezone {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "timezone",
            value: Some("ZONE"),
            help: "Set the guest's time zone, such as Europe/Berlin",
            parse: |text, _| Timezone::parse(text).map(Into::into),
        }],
        step: StepForm {
            name: "timezone",
            value: "ZONE",
            keys: &[],
            read: |step| step.said(Timezone::parse).map(Into::into),
        },
    }];

    /// Reads `ZONE`.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if no time zone can have the name.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        let zone = utf8(text.as_bytes())?;
        let is_name = |name: &str| {
            !name.is_empty()
                && !name.starts_with(['.', '-'])
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'.'))
        };
        if !zone.split('/').all(is_name) || zone.len() > 255 {
            return Err(SyntaxError::invalid(zone, "a time zone", "expected one such as `Europe/Berlin`"));
        }
        Ok(Self { zone: zone.to_owned() })
    }
}

impl Apply for Timezone {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let zone = &self.zone;
        let file = format!("{ZONES}/{zone}");
        let file = path(file.as_bytes()).map_err(|error| Error::refused(error.to_string()))?;
        if !work.is_there(&file)? || work.existing(&file)?.node.kind() != FileKind::Regular {
            let missing = Error::refused(format!("the guest has no time zone `{zone}`: there is no file `{file}`"));
            return Err(match work.is_there(&known(ZONES))? {
                true => missing,
                false => missing.hint("its package `tzdata` is not installed"),
            });
        }
        let place = work.place(&known("/etc/localtime"), LastLink::Keep)?;
        match place.found.as_ref().map(guest::Location::kind) {
            Some(FileKind::Directory) => {
                let problem = PathProblem::IsADirectory;
                return Err(guest::Error::Path { path: place.path, problem }.into());
            }
            Some(_) => work.guest.remove_file(&place.path)?,
            None => {}
        }
        work.guest.create_symlink(&place.path, file.as_bytes(), &work.attributes(0o777))?;
        let mut paths = vec![place.path.to_string()];
        // Debian also has it here.
        let text = known("/etc/timezone");
        if work.is_there(&text)? {
            paths.push(work.edit_content(&text, |_| Ok(format!("{zone}\n").into_bytes()))?.to_string());
        }
        Ok(Report::new("timezone", format!("set the time zone to {zone}"), paths, place.parents))
    }
}
