//! `mkdir`: a directory, and those on the way.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use guest::resolve::{LastLink, Lookup};
use guest::{FileKind, GuestPath, PathProblem};

use super::{SyntaxError, mode, owner, path};
use crate::carry_out::{PARENT_PERMISSIONS, Warning, Work, join};
use crate::error::Error;
use crate::inherit::NEW_DIRECTORY;
use crate::mode::Mode;
use crate::owner::{Owner, numbers};
use crate::report::Report;

/// A directory that is to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mkdir {
    /// The directory.
    pub path: GuestPath,
    /// Its mode; where this is `None`, the one that it has, or 0755 where it is new.
    pub mode: Option<Mode>,
    /// Its owner; where this is `None`, the one that it has, or root where it is new.
    pub owner: Option<Owner>,
}

impl Mkdir {
    /// The mkdir that `PATH[:MODE[:USER:GROUP]]` says. MODE may be empty.
    ///
    /// # Errors
    ///
    /// A path, mode or owner that is none.
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

impl Work<'_> {
    pub(crate) fn mkdir(&mut self, mkdir: &Mkdir) -> Result<Report, Error> {
        let owner = mkdir.owner.as_ref().map(|owner| numbers(self.guest, owner)).transpose()?;
        let (path, parents, is_new) = match self.guest.lookup(&mkdir.path, LastLink::Follow)? {
            Lookup::Found(found) => {
                if found.node.kind() != FileKind::Directory {
                    let problem = PathProblem::NotADirectory { at: found.path };
                    return Err(guest::Error::Path { path: mkdir.path.clone(), problem }.into());
                }
                (found.path, Vec::new(), false)
            }
            Lookup::Missing { directory, mut names } => {
                let name = names.pop().unwrap_or_default();
                let (parent, made) = self.make_directories(directory.path, &names)?;
                let path = join(&parent, &name)?;
                self.guest.create_directory(&path, &self.attributes(PARENT_PERMISSIONS))?;
                if mkdir.mode.is_none() && owner.is_none() {
                    self.inherit(&path, NEW_DIRECTORY)?;
                }
                self.warnings.extend(Warning::of_hidden(&path));
                (path, made, true)
            }
        };
        self.set_mode_and_owner(&path, mkdir.mode, owner)?;
        let metadata = self.guest.metadata(&self.existing(&path)?.node)?;
        let facts = format!("{} {}:{}", Mode::from_bits(metadata.permissions), metadata.uid, metadata.gid);
        let text = match is_new {
            true => format!("made {path}/ ({facts})"),
            false => format!("kept {path}/ ({facts}), which was there"),
        };
        Ok(Report::new("mkdir", text, vec![path.to_string()], parents))
    }
}
