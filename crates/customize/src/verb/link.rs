//! `link`: makes symlinks.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use guest::resolve::LastLink;
use guest::{FileKind, GuestPath, PathProblem, Printable};
use recipe::SyntaxError;

use super::{Apply, Flag, StepForm, Verb, path};
use crate::carry_out::{Place, Work, join};
use crate::error::Error;
use crate::report::Report;

/// Makes symlinks to a target, as `ln -sf` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The target; it need not exist.
    pub target: Vec<u8>,
    /// The symlinks. In a directory, a link with the target's name is made; a file, or a symlink to something that
    /// is not a directory, is replaced.
    pub links: Vec<GuestPath>,
}

impl Link {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "link",
            value: Some("TARGET:LINK[:LINK]"),
            help: "Make LINK a symlink to TARGET, as `ln -sf` does",
            parse: |text, _| Link::parse(text).map(Into::into),
        }],
        step: StepForm {
            name: "link",
            value: "LINK",
            keys: &["target"],
            read: |step| {
                let link = step.path();
                step.require("target");
                let target = step.table.string("target");
                Some(Link { target: target?.as_bytes().to_vec(), links: vec![link?] }.into())
            },
        },
    }];

    /// Reads `TARGET:LINK[:LINK…]`.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if there is no link or a link is not a path.
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

impl Apply for Link {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let (mut paths, mut parents) = (Vec::new(), Vec::new());
        let name = self.target.split(|&byte| byte == b'/').rfind(|name| !name.is_empty());
        let name = name.filter(|name| !matches!(*name, b"." | b".."));
        for wanted in &self.links {
            let place = work.link_place(wanted, &self.target, name)?;
            if place.found.is_some() {
                work.guest.remove_file(&place.path)?;
            }
            work.guest.create_symlink(&place.path, &self.target, &work.attributes(0o777))?;
            paths.push(place.path.to_string());
            parents.extend(place.parents);
        }
        let text = format!("linked {} to {}", paths.join(", "), Printable(&self.target));
        Ok(Report::new("link", text, paths, parents))
    }

    fn targets(&self) -> Vec<&GuestPath> {
        self.links.iter().collect()
    }
}

impl Work<'_> {
    /// The place of a link at `wanted`, which is not a directory. In a directory, it has the `name` of its target.
    pub(super) fn link_place(
        &mut self,
        wanted: &GuestPath,
        target: &[u8],
        name: Option<&[u8]>,
    ) -> Result<Place, Error> {
        let mut place = self.place(wanted, LastLink::Keep)?;
        if let Some(directory) = self.directory_at(wanted)? {
            let name = name.ok_or_else(|| {
                let target = Printable(target);
                Error::refused(format!("`{target}` has no name that a link in `{directory}` could have"))
            })?;
            place = self.place(&join(&directory, name)?, LastLink::Keep)?;
        }
        match &place.found {
            Some(found) if found.kind() == FileKind::Directory => {
                Err(guest::Error::Path { path: place.path, problem: PathProblem::IsADirectory }.into())
            }
            _ => Ok(place),
        }
    }

    /// The directory at `path`, symlinks followed.
    pub(crate) fn directory_at(&self, path: &GuestPath) -> Result<Option<GuestPath>, Error> {
        match self.guest.find(path, LastLink::Follow) {
            Ok(found) => Ok((found.node.kind() == FileKind::Directory).then_some(found.path)),
            Err(guest::Error::Path { problem: PathProblem::LinkLoop { .. }, .. }) => Ok(None),
            Err(error) if error.is_absence() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
