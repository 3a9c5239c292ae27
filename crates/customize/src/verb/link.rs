//! `link`: symlinks.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use guest::resolve::LastLink;
use guest::{Attributes, FileKind, GuestPath, PathProblem, Printable};

use super::{SyntaxError, path};
use crate::carry_out::{Work, join};
use crate::error::Error;
use crate::report::Report;

/// Symlinks to a target, as `ln -sf` makes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What they point to; it is not looked at.
    pub target: Vec<u8>,
    /// The symlinks. One that is a directory gets a link with the target's name in it; a file or a
    /// symlink to something else than a directory is replaced.
    pub links: Vec<GuestPath>,
}

impl Link {
    /// The link that `TARGET:LINK[:LINK…]` says.
    ///
    /// # Errors
    ///
    /// A text without a link, and links that are no paths.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        let mut fields = text.as_bytes().split(|&byte| byte == b':');
        let target = fields.next().unwrap_or_default().to_vec();
        let links = fields.map(path).collect::<Result<Vec<_>, _>>()?;
        if target.is_empty() || links.is_empty() {
            return Err(SyntaxError::form("TARGET:LINK", "/usr/bin/vim:/usr/local/bin/vi"));
        }
        Ok(Self { target, links })
    }
}

impl Work<'_> {
    pub(crate) fn link(&mut self, link: &Link) -> Result<Report, Error> {
        let (mut paths, mut parents) = (Vec::new(), Vec::new());
        for wanted in &link.links {
            let mut place = self.place(wanted, LastLink::Keep)?;
            if let Some(directory) = self.directory_at(wanted)? {
                let name = link.target.split(|&byte| byte == b'/').rfind(|name| !name.is_empty());
                let name = name.filter(|name| !matches!(*name, b"." | b"..")).ok_or_else(|| {
                    let target = Printable(&link.target);
                    Error::refused(format!("`{target}` has no name that a link in `{directory}` could have"))
                })?;
                place = self.place(&join(&directory, name)?, LastLink::Keep)?;
            }
            if let Some(found) = &place.found {
                if found.kind() == FileKind::Directory {
                    let problem = PathProblem::IsADirectory;
                    return Err(guest::Error::Path { path: place.path, problem }.into());
                }
                self.guest.remove_file(&place.path)?;
            }
            let attributes: Attributes = self.attributes(0o777);
            self.guest.create_symlink(&place.path, &link.target, &attributes)?;
            paths.push(place.path.to_string());
            parents.extend(place.parents);
        }
        let text = format!("linked {} to {}", paths.join(", "), Printable(&link.target));
        Ok(Report::new("link", text, paths, parents))
    }

    /// The directory that `path` is or points to.
    pub(crate) fn directory_at(&self, path: &GuestPath) -> Result<Option<GuestPath>, Error> {
        match self.guest.find(path, LastLink::Follow) {
            Ok(found) => Ok((found.node.kind() == FileKind::Directory).then_some(found.path)),
            Err(guest::Error::Path { problem: PathProblem::LinkLoop { .. }, .. }) => Ok(None),
            Err(error) if error.is_absence() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
