//! Plans each file of a put.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use guest::resolve::{Found, LastLink, Lookup};
use guest::{Attributes, FileKind, GuestPath, PathProblem, Time};
use recipe::Mode;

use super::plan::{Content, Node, Planner};
use super::{Put, PutOwner};
use crate::carry_out::{PARENT_PERMISSIONS, Warning};
use crate::error::Error;
use crate::inherit::NEW_DIRECTORY;
use crate::owner::numbers;
use crate::report::PutReport;
use crate::source::{Source, SourceKind};

/// A put that is being planned.
struct Job<'p> {
    put: &'p Put,
    /// The owner of everything; `None` if each file keeps its own.
    owner: Option<(u32, u32)>,
    report: PutReport,
    /// Directories that are made on the way.
    parents: Vec<String>,
}

impl Job<'_> {
    /// The mode to inherit from the directory with, if neither a mode nor an owner was given.
    fn inherits(&self, attributes: &Attributes) -> Option<u16> {
        let is_plain = self.put.mode.is_none() && self.put.owner == PutOwner::Root;
        is_plain.then_some(attributes.permissions & 0o777)
    }
}

impl Planner<'_> {
    /// Plans `put`.
    pub(super) fn put(&mut self, put: &Put) -> Result<(PutReport, Vec<String>), Error> {
        let source = if put.keep_link { Source::keep(&put.source) } else { Source::follow(&put.source) }?;
        let owner = match &put.owner {
            PutOwner::Root => Some((0, 0)),
            PutOwner::Given(owner) => Some(numbers(self.guest, owner)?),
            PutOwner::Keep => None,
        };
        let report = PutReport::new(put, owner.unwrap_or(source.owner));
        let mut job = Job { put, owner, report, parents: Vec::new() };
        let destination = self.destination(&mut job, &source)?;
        self.warnings.extend(Warning::of_hidden(&destination));
        job.report.destination = destination.to_string();
        if !source.is_directory() {
            job.report.mode = Some(Mode::from_bits(self.attributes(&job, &source).permissions).to_string());
        }
        // A stack and no recursion, because the host decides how deep the tree is.
        let mut pending = vec![(source, destination)];
        while let Some((source, path)) = pending.pop() {
            let (path, children) = self.place(&mut job, source, path)?;
            for child in children.into_iter().rev() {
                let name = child.path.file_name().unwrap_or_default();
                let child_path = path.join(name.as_bytes()).map_err(|error| bad_name(&child.path, error))?;
                pending.push((child, child_path));
            }
        }
        Ok((job.report, job.parents))
    }

    /// The path of the source itself. The directories on the way are planned.
    fn destination(&mut self, job: &mut Job<'_>, source: &Source) -> Result<GuestPath, Error> {
        let wanted = &job.put.destination;
        let last = if job.put.through_link { LastLink::Follow } else { LastLink::Keep };
        let found = match self.lookup(&wanted.path, last)? {
            Lookup::Missing { directory, mut names } => {
                let name = match wanted.into {
                    true => basename(source)?,
                    // A missing path has at least one name.
                    false => names.pop().unwrap_or_default(),
                };
                if job.put.existing && !names.is_empty() {
                    let problem = PathProblem::NotFound;
                    return Err(guest::Error::Path { path: wanted.path.clone(), problem }.into());
                }
                let parent = self.make_parents(job, source, directory, names)?;
                return parent.join(&name).map_err(|error| bad_name(&source.path, error));
            }
            Lookup::Found(found) => found,
        };
        let directory = match found.node.kind() {
            FileKind::Directory => Some(found.clone()),
            FileKind::Symlink if wanted.into => self.find(&wanted.path, LastLink::Follow)?,
            FileKind::Symlink => self.linked_directory(&found.path)?,
            _ => None,
        };
        match directory.filter(|directory| directory.node.kind() == FileKind::Directory) {
            Some(directory) if source.is_directory() && !wanted.into => Ok(directory.path),
            Some(directory) => directory.path.join(&basename(source)?).map_err(|error| bad_name(&source.path, error)),
            None if wanted.into => {
                let problem = PathProblem::NotADirectory { at: found.path };
                Err(guest::Error::Path { path: wanted.path.clone(), problem }.into())
            }
            None => Ok(found.path),
        }
    }

    /// The directory that the symlink at `path` points to, if any.
    fn linked_directory(&self, path: &GuestPath) -> Result<Option<Found<Node>>, Error> {
        match self.find(path, LastLink::Follow) {
            Ok(found) => Ok(found.filter(|found| found.node.kind() == FileKind::Directory)),
            // The symlink points to nothing, and can still be replaced itself.
            Err(Error::Guest(guest::Error::Path {
                problem:
                    PathProblem::DanglingLink { .. }
                    | PathProblem::LinkLoop { .. }
                    | PathProblem::NotADirectory { .. }
                    | PathProblem::NotFound,
                ..
            })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Plans the directories `names` below `directory`, and returns the path of the last one.
    fn make_parents(
        &mut self,
        job: &mut Job<'_>,
        source: &Source,
        directory: Found<Node>,
        names: Vec<Vec<u8>>,
    ) -> Result<GuestPath, Error> {
        let mut parent = directory;
        for name in names {
            let path = parent.path.join(&name).map_err(|error| bad_name(&source.path, error))?;
            let modified = self.options.modified.unwrap_or(source.modified);
            let attributes = Attributes { permissions: PARENT_PERMISSIONS, uid: 0, gid: 0, modified };
            self.change(&parent.node, &path, attributes, Content::Directory, None, Some(NEW_DIRECTORY))?;
            job.parents.push(path.to_string());
            parent = self.expect(&path)?;
        }
        Ok(parent.path)
    }

    /// Plans one file, directory or symlink at `path`. Returns its real path, and what a directory has in it.
    fn place(&mut self, job: &mut Job<'_>, source: Source, path: GuestPath) -> Result<(GuestPath, Vec<Source>), Error> {
        let mut existing = self.find(&path, LastLink::Keep)?;
        if source.is_directory()
            && let Some(found) = &existing
            && found.node.kind() == FileKind::Symlink
            && let Some(directory) = self.linked_directory(&path)?
        {
            existing = Some(directory);
        }
        if let Some(found) = &existing
            && (found.node.kind() == FileKind::Directory) != source.is_directory()
        {
            return Err(Error::Kind {
                is_directory: source.is_directory(),
                from: source.path,
                to: found.path.clone(),
                found: found.node.kind(),
            });
        }
        if source.is_directory() {
            return self.place_directory(job, &source, path, existing);
        }
        let parent = self.expect(&path.parent().unwrap_or_else(GuestPath::root))?;
        self.check_fat(job, &parent.node, &path, &source)?;
        let attributes = self.attributes(job, &source);
        let content = match source.kind.clone() {
            SourceKind::File { size_bytes } => {
                job.report.files += 1;
                job.report.size_bytes += size_bytes;
                Content::File { source, size_bytes }
            }
            SourceKind::Symlink { target } => {
                job.report.symlinks += 1;
                Content::Symlink { from: source.path, target }
            }
            SourceKind::Directory => unreachable!("directories are planned elsewhere"),
        };
        job.report.replaced += u64::from(existing.is_some());
        let inherits = job.inherits(&attributes);
        self.change(&parent.node, &path, attributes, content, existing.as_ref().map(|found| &found.node), inherits)?;
        Ok((path, Vec::new()))
    }

    /// Plans a directory, unless it exists. Its content comes next.
    fn place_directory(
        &mut self,
        job: &mut Job<'_>,
        source: &Source,
        path: GuestPath,
        existing: Option<Found<Node>>,
    ) -> Result<(GuestPath, Vec<Source>), Error> {
        let path = match existing {
            Some(found) => found.path,
            None => {
                let parent = self.expect(&path.parent().unwrap_or_else(GuestPath::root))?;
                self.check_fat(job, &parent.node, &path, source)?;
                let attributes = self.attributes(job, source);
                let inherits = job.inherits(&attributes);
                self.change(&parent.node, &path, attributes, Content::Directory, None, inherits)?;
                job.report.directories += 1;
                path
            }
        };
        let children = source.children()?;
        let children = children.iter().map(|name| Source::keep(&source.path.join(name))).collect::<Result<_, _>>()?;
        Ok((path, children))
    }

    fn attributes(&self, job: &Job<'_>, source: &Source) -> Attributes {
        let permissions = match (&source.kind, job.put.mode) {
            (SourceKind::Symlink { .. }, _) => 0o777,
            (SourceKind::Directory, Some(mode)) => mode.for_directory().bits(),
            (SourceKind::File { .. }, Some(mode)) => mode.bits(),
            (_, None) => source.permissions,
        };
        let modified: Time = self.options.modified.unwrap_or(source.modified);
        let (uid, gid) = job.owner.unwrap_or(source.owner);
        Attributes { permissions, uid, gid, modified }
    }

    /// Refuses what a FAT file system cannot hold, if `parent` is on one.
    fn check_fat(&mut self, job: &Job<'_>, parent: &Node, path: &GuestPath, source: &Source) -> Result<(), Error> {
        let volume = &self.guest.volumes()[parent.volume()];
        if volume.file_system().is_none_or(guest::FileSystem::is_unix) {
            return Ok(());
        }
        let refuse = |what: &str| Err(Error::Fat { path: path.clone(), what: what.to_owned() });
        if let SourceKind::Symlink { .. } = source.kind {
            return refuse("symlinks");
        }
        if job.owner.is_some_and(|owner| owner != (0, 0)) {
            return refuse("owners: only root:root can be asked for");
        }
        let ignored = |warning: &Warning| matches!(warning, Warning::ModeIgnored { path: of } if path.starts_with(of));
        if job.put.mode.is_some() && !self.warnings.iter().any(ignored) {
            self.warnings.push(Warning::ModeIgnored { path: path.clone() });
        }
        Ok(())
    }

    /// A file that was planned or found before.
    fn expect(&self, path: &GuestPath) -> Result<Found<Node>, Error> {
        self.find(path, LastLink::Follow)?
            .ok_or_else(|| guest::Error::Path { path: path.clone(), problem: PathProblem::NotFound }.into())
    }
}

/// The name that the source has in a directory.
fn basename(source: &Source) -> Result<Vec<u8>, Error> {
    let name = source.path.file_name().map(OsStr::as_bytes);
    Ok(name.ok_or_else(|| Error::SourceName { path: source.path.clone() })?.to_vec())
}

fn bad_name(path: &std::path::Path, error: guest::PathError) -> Error {
    Error::Name { path: PathBuf::from(path), error }
}
