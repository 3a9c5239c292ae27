//! `timezone`: where the guest's clock is.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use guest::resolve::LastLink;
use guest::{FileKind, PathProblem};

use super::{SyntaxError, known, path, utf8};
use crate::carry_out::Work;
use crate::error::Error;
use crate::report::Report;

/// Where the guest has its time zones.
const ZONES: &str = "/usr/share/zoneinfo";

/// The guest's time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timezone {
    /// Its name: `Europe/Berlin`.
    pub zone: String,
}

impl Timezone {
    /// The timezone that `ZONE` says.
    ///
    /// # Errors
    ///
    /// What no time zone can be called.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        let zone = utf8(text.as_bytes())?;
        let is_name = |name: &str| {
            !name.is_empty()
                && !name.starts_with(['.', '-'])
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'.'))
        };
        if !zone.split('/').all(is_name) || zone.len() > 255 {
            return Err(SyntaxError::new(format!("`{zone}` is no time zone: `Europe/Berlin` is one")));
        }
        Ok(Self { zone: zone.to_owned() })
    }
}

impl Work<'_> {
    pub(crate) fn timezone(&mut self, timezone: &Timezone) -> Result<Report, Error> {
        let zone = &timezone.zone;
        let file = format!("{ZONES}/{zone}");
        let file = path(file.as_bytes()).map_err(|error| Error::refused(error.to_string()))?;
        if !self.is_there(&file)? || self.existing(&file)?.node.kind() != FileKind::Regular {
            let missing = Error::refused(format!("the guest has no time zone `{zone}`: there is no file `{file}`"));
            return Err(match self.is_there(&known(ZONES))? {
                true => missing,
                false => missing.hint("its package `tzdata` is not installed"),
            });
        }
        let place = self.place(&known("/etc/localtime"), LastLink::Keep)?;
        match place.found.as_ref().map(guest::Location::kind) {
            Some(FileKind::Directory) => {
                let problem = PathProblem::IsADirectory;
                return Err(guest::Error::Path { path: place.path, problem }.into());
            }
            Some(_) => self.guest.remove_file(&place.path)?,
            None => {}
        }
        self.guest.create_symlink(&place.path, file.as_bytes(), &self.attributes(0o777))?;
        let mut paths = vec![place.path.to_string()];
        // Debian says it a second time.
        let text = known("/etc/timezone");
        if self.is_there(&text)? {
            paths.push(self.edit_content(&text, |_| Ok(format!("{zone}\n").into_bytes()))?.to_string());
        }
        Ok(Report::new("timezone", format!("set the time zone to {zone}"), paths, place.parents))
    }
}
