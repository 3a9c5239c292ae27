//! `hardlink`: gives a file further names.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use guest::resolve::{Found, LastLink};
use guest::{FileKind, FileSystem, GuestPath, Location};
use recipe::SyntaxError;

use super::{Apply, Flag, StepForm, Verb, path};
use crate::carry_out::Work;
use crate::error::Error;
use crate::report::Report;

/// Makes hard links to a file, as `ln -f` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardlink {
    /// The file, which must exist and not be a directory. A symlink is linked itself.
    pub target: GuestPath,
    /// The new names. In a directory, a link with the target's name is made; a file that has a name is replaced.
    pub links: Vec<GuestPath>,
}

impl Hardlink {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "hardlink",
            value: Some("TARGET:LINK[:LINK]"),
            help: "Make LINK another name of the file TARGET, as `ln -f` does",
            parse: |text, _| Hardlink::parse(text).map(Into::into),
        }],
        step: StepForm {
            name: "hardlink",
            value: "LINK",
            keys: &["target"],
            read: |step| {
                let link = step.path();
                step.require("target");
                let target = step.table.parsed("target");
                Some(Hardlink { target: target?, links: vec![link?] }.into())
            },
        },
    }];

    /// Reads `TARGET:LINK[:LINK…]`.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if there is no link, or the target or a link is not a path.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        let mut fields = text.as_bytes().split(|&byte| byte == b':');
        let target = fields.next().unwrap_or_default();
        let links = fields.map(path).collect::<Result<Vec<_>, _>>()?;
        if target.is_empty() || links.is_empty() {
            return Err(SyntaxError::form("TARGET:LINK", "/usr/bin/vim:/usr/local/bin/vi"));
        }
        Ok(Self { target: path(target)?, links })
    }
}

impl Apply for Hardlink {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let target = work.guest.find(&self.target, LastLink::Keep)?;
        if target.node.kind() == FileKind::Directory {
            return Err(Error::refused(format!("`{}` is a directory, which cannot have hard links", target.path))
                .hint("use `link` to make a symlink to it"));
        }
        let (mut paths, mut parents) = (Vec::new(), Vec::new());
        for wanted in &self.links {
            let place = work.link_place(wanted, self.target.as_bytes(), target.path.name())?;
            parents.extend(place.parents);
            paths.push(place.path.to_string());
            let identity = work.guest.identity(&target.node);
            if let Some(found) = &place.found
                && (place.path == target.path || (identity.is_some() && work.guest.identity(found) == identity))
            {
                continue;
            }
            work.expect_one_file_system(&target, &place.path)?;
            if place.found.is_some() {
                work.guest.remove_file(&place.path)?;
            }
            work.guest.link(&target.path, &place.path)?;
        }
        let text = format!("hard linked {} to {}", paths.join(", "), target.path);
        Ok(Report::new("hardlink", text, paths, parents))
    }

    fn targets(&self) -> Vec<&GuestPath> {
        self.links.iter().collect()
    }
}

impl Work<'_> {
    /// Refuses a hard link across file systems, and on a FAT file system.
    fn expect_one_file_system(&self, target: &Found<Location>, link: &GuestPath) -> Result<(), Error> {
        let folder = self.existing(&link.parent().unwrap_or_else(GuestPath::root))?;
        let volume = |location: &Location| &self.guest.volumes()[location.volume()];
        let (from, to) = (volume(&target.node), volume(&folder.node));
        if target.node.volume() != folder.node.volume() {
            let target = &target.path;
            let problem =
                format!("`{target}` is on {from} and `{link}` on {to}: a hard link cannot cross file systems");
            let hint = "use `copy` for a copy of the file, or `link` for a symlink to it";
            return Err(Error::refused(problem).hint(hint));
        }
        if !to.file_system().is_some_and(FileSystem::is_unix) {
            return Err(Error::Fat { path: link.clone(), what: "hard links".to_owned() });
        }
        Ok(())
    }
}
