//! `mkdir`: makes a directory and those on the way.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use guest::resolve::{LastLink, Lookup};
use guest::{FileKind, GuestPath, PathProblem};
use recipe::{Mode, Owner, SyntaxError};

use super::{Apply, Flag, StepForm, Verb, mode, owner, path};
use crate::carry_out::{PARENT_PERMISSIONS, Warning, Work, join};
use crate::error::Error;
use crate::inherit::NEW_DIRECTORY;
use crate::owner::numbers;
use crate::report::Report;

/// Makes a directory, unless it exists, and those on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mkdir {
    /// The directory.
    pub path: GuestPath,
    /// The mode. If this is `None`, an existing directory keeps its mode and a new one gets 0755.
    pub mode: Option<Mode>,
    /// The owner. If this is `None`, an existing directory keeps its owner and a new one gets root.
    pub owner: Option<Owner>,
}

impl Mkdir {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "mkdir",
            value: Some("PATH[:MODE[:USER:GROUP]]"),
            help: "Make a directory and those on the way, with mode 0755 and owner root unless you say otherwise",
            parse: |text, _| Mkdir::parse(text).map(Into::into),
        }],
        step: StepForm {
            name: "mkdir",
            value: "PATH",
            keys: &["mode", "owner"],
            read: |step| {
                let path = step.path();
                let (mode, owner) = (step.table.mode("mode"), step.table.parsed("owner"));
                Some(Mkdir { path: path?, mode, owner }.into())
            },
        },
    }];

    /// Reads `PATH[:MODE[:USER:GROUP]]`. MODE may be empty.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if the path, the mode or the owner is invalid.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        let fields: Vec<&[u8]> = text.as_bytes().split(|&byte| byte == b':').collect();
        let (file, bits, who) = match fields[..] {
            [file] => (file, None, None),
            [file, bits] => (file, Some(bits), None),
            [file, b"", user, group] => (file, None, Some((user, group))),
            [file, bits, user, group] => (file, Some(bits), Some((user, group))),
            _ => return Err(SyntaxError::form("PATH[:MODE[:USER:GROUP]]", "/srv/data:0750:www-data:www-data")),
        };
        Ok(Self {
            path: path(file)?,
            mode: bits.map(mode).transpose()?,
            owner: who.map(|(user, group)| owner(user, group)).transpose()?,
        })
    }
}

impl Apply for Mkdir {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let owner = self.owner.as_ref().map(|owner| numbers(work.guest, owner)).transpose()?;
        let (path, parents, is_new) = match work.guest.lookup(&self.path, LastLink::Follow)? {
            Lookup::Found(found) => {
                if found.node.kind() != FileKind::Directory {
                    let problem = PathProblem::NotADirectory { at: found.path };
                    return Err(guest::Error::Path { path: self.path.clone(), problem }.into());
                }
                (found.path, Vec::new(), false)
            }
            Lookup::Missing { directory, mut names } => {
                let name = names.pop().unwrap_or_default();
                let (parent, made) = work.make_directories(directory.path, &names)?;
                let path = join(&parent, &name)?;
                work.guest.create_directory(&path, &work.attributes(PARENT_PERMISSIONS))?;
                if self.mode.is_none() && owner.is_none() {
                    work.inherit(&path, NEW_DIRECTORY)?;
                }
                work.warnings.extend(Warning::of_hidden(&path));
                (path, made, true)
            }
        };
        work.set_mode_and_owner(&path, self.mode, owner)?;
        let metadata = work.guest.metadata(&work.existing(&path)?.node)?;
        let facts = format!("{} {}:{}", Mode::from_bits(metadata.permissions), metadata.uid, metadata.gid);
        let text = match is_new {
            true => format!("made {path}/ ({facts})"),
            false => format!("kept {path}/ ({facts}), which existed"),
        };
        Ok(Report::new("mkdir", text, vec![path.to_string()], parents))
    }
}
