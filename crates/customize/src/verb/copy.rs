//! `copy`: copies a file or a tree inside the guest.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::ops::Range;

use guest::resolve::{Found, LastLink};
use guest::{Attributes, FileKind, GuestPath, Identity, Location, PathProblem, Special, Times};
use recipe::{ByteSize, SyntaxError};

use super::put::Destination;
use super::{Apply, Flag, StepForm, Verb, path, split};
use crate::carry_out::{EDIT_LIMIT_BYTES, Place, Work, join};
use crate::error::Error;
use crate::report::Report;
use crate::tree::Visited;

/// The size of the part of a file that is in memory while it is copied, in bytes.
const STEP_BYTES: usize = 1 << 20;
/// A piece of this size that is all zeros becomes a hole, in bytes.
const HOLE_BYTES: usize = 4096;

/// Copies a file or a tree inside the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// The file or tree; a symlink is copied itself.
    pub from: GuestPath,
    /// The place that it is copied to. A directory gets a copy in it.
    pub to: Destination,
}

impl Copy {
    pub(super) const VERBS: &'static [Verb] = &[Verb {
        flags: &[Flag {
            name: "copy",
            value: Some("FROM:TO"),
            help: "Copy a file or a tree inside the guest, as `cp -a` does",
            parse: |text, _| Copy::parse(text).map(Into::into),
        }],
        step: StepForm {
            name: "copy",
            value: "PATH",
            keys: &["to"],
            read: |step| {
                let (from, to) = (step.path(), step.to());
                Some(Copy { from: from?, to: to? }.into())
            },
        },
    }];

    /// Reads `FROM:TO`.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if there is no `:` or a path is invalid.
    pub fn parse(text: &OsStr) -> Result<Self, SyntaxError> {
        let (from, to) = from_to(text)?;
        Ok(Self { from, to })
    }
}

/// Reads the two paths of `FROM:TO`.
pub(super) fn from_to(text: &OsStr) -> Result<(GuestPath, Destination), SyntaxError> {
    let (from, to) = split(text).ok_or_else(|| SyntaxError::form("FROM:TO", "/etc/app.conf:/etc/app.conf.orig"))?;
    let to = Destination::new(to).map_err(|error| SyntaxError::path(to, error))?;
    Ok((path(from)?, to))
}

impl Apply for Copy {
    fn apply(&self, work: &mut Work<'_>) -> Result<Report, Error> {
        let source = work.guest.find(&self.from, LastLink::Keep)?;
        let place = work.destination(&source, &self.to)?;
        if place.path.starts_with(&source.path) {
            let (from, to) = (&source.path, &place.path);
            return Err(Error::refused(format!("`{from}` cannot be copied into itself, to `{to}`")));
        }
        work.copy_tree(&source.path, &place.path)?;
        let text = format!("copied {} to {}", source.path, place.path);
        Ok(Report::new("copy", text, vec![place.path.to_string()], place.parents))
    }

    fn targets(&self) -> Vec<&GuestPath> {
        vec![&self.to.path]
    }
}

impl Work<'_> {
    /// The place for `source` at `to`. In a directory it keeps its name.
    pub(crate) fn destination(&mut self, source: &Found<Location>, to: &Destination) -> Result<Place, Error> {
        let name = || source.path.name().ok_or_else(|| Error::refused("`/` is the whole guest and has no name"));
        match self.directory_at(&to.path)? {
            Some(directory) => self.place(&join(&directory, name()?)?, LastLink::Keep),
            None if to.into => self.place(&join(&to.path, name()?)?, LastLink::Keep),
            None => {
                name()?;
                self.place(&to.path, LastLink::Keep)
            }
        }
    }

    /// Copies a tree with all attributes of its files. A directory is merged into one that exists; other files are
    /// replaced.
    pub(crate) fn copy_tree(&mut self, from: &GuestPath, to: &GuestPath) -> Result<(), Error> {
        // Files with several names have as many in the copy.
        let mut linked: BTreeMap<Identity, GuestPath> = BTreeMap::new();
        let mut pending = vec![(from.clone(), to.clone())];
        let mut directories = Vec::new();
        let mut visited = Visited::default();
        while let Some((from, to)) = pending.pop() {
            let node = self.guest.find(&from, LastLink::Keep)?.node;
            self.make_way(&from, node.kind(), &to)?;
            if node.kind() == FileKind::Directory {
                visited.enter(self, &from, &node)?;
                for entry in self.guest.read_directory(&from)?.into_iter().rev() {
                    pending.push((join(&from, &entry.name)?, join(&to, &entry.name)?));
                }
                directories.push((from, to));
                continue;
            }
            let metadata = self.guest.metadata(&node)?;
            let identity = self.guest.identity(&node).filter(|_| metadata.links > 1);
            match identity.and_then(|identity| linked.get(&identity)) {
                Some(first) => self.guest.link(&first.clone(), &to)?,
                None => {
                    self.copy_file(&from, &node, &to)?;
                    if let Some(identity) = identity {
                        linked.insert(identity, to);
                    }
                }
            }
        }
        directories.iter().try_for_each(|(from, to)| self.copy_attributes(from, to))
    }

    /// Removes a file at `to`, or makes the directory there.
    fn make_way(&mut self, from: &GuestPath, kind: FileKind, to: &GuestPath) -> Result<(), Error> {
        let is_directory = kind == FileKind::Directory;
        let found = match self.guest.find(to, LastLink::Keep) {
            Ok(found) => found,
            Err(error) if error.is_not_found() => {
                if is_directory {
                    self.guest.create_directory(to, &self.attributes(0o700))?;
                }
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        match (is_directory, found.node.kind() == FileKind::Directory) {
            (true, true) => Ok(()),
            (false, false) => Ok(self.guest.remove_file(to)?),
            (true, false) => {
                let problem = PathProblem::NotADirectory { at: to.clone() };
                Err(guest::Error::Path { path: to.clone(), problem }.into())
            }
            (false, true) => Err(Error::refused(format!("`{to}` is a directory and `{from}` is not"))),
        }
    }

    /// Copies a file that is not a directory to a free name.
    fn copy_file(&mut self, from: &GuestPath, node: &Location, to: &GuestPath) -> Result<(), Error> {
        let metadata = self.guest.metadata(node)?;
        let attributes = Attributes {
            permissions: metadata.permissions,
            uid: metadata.uid,
            gid: metadata.gid,
            modified: metadata.modified,
        };
        let (major, minor) = metadata.device.unwrap_or_default();
        match metadata.kind {
            FileKind::Regular => {
                self.copy_content(from, metadata.size_bytes, to, &attributes)?;
            }
            FileKind::Symlink => {
                let target = self.guest.read_link(from)?;
                self.guest.create_symlink(to, &target, &attributes)?;
            }
            FileKind::CharDevice => {
                self.guest.create_special(to, Special::CharDevice { major, minor }, &attributes)?;
            }
            FileKind::BlockDevice => {
                self.guest.create_special(to, Special::BlockDevice { major, minor }, &attributes)?;
            }
            FileKind::Fifo => self.guest.create_special(to, Special::Fifo, &attributes)?,
            FileKind::Socket => self.guest.create_special(to, Special::Socket, &attributes)?,
            FileKind::Directory => unreachable!("directories are copied elsewhere"),
        }
        self.copy_attributes(from, to)
    }

    /// Copies the content of a regular file into a new one.
    fn copy_content(
        &mut self,
        from: &GuestPath,
        size_bytes: u64,
        to: &GuestPath,
        attributes: &Attributes,
    ) -> Result<(), Error> {
        self.progress.expect(size_bytes);
        if !self.is_unix(to)? {
            if size_bytes > EDIT_LIMIT_BYTES {
                let (size, limit) = (ByteSize(size_bytes), ByteSize(EDIT_LIMIT_BYTES));
                let problem = format!("`{from}` has {size}: at most {limit} can be copied to a FAT file system");
                let error = Error::refused(problem);
                return Err(error.hint("`put` has no such limit"));
            }
            let content = self.guest.read(from, EDIT_LIMIT_BYTES)?;
            self.progress.add(size_bytes);
            return self.create(to, attributes, &content);
        }
        self.create(to, attributes, b"")?;
        let mut buffer = vec![0; STEP_BYTES.min(size_bytes as usize)];
        let mut offset = 0;
        while offset < size_bytes {
            let read = self.guest.read_at(from, offset, &mut buffer)?;
            if read == 0 {
                break;
            }
            for run in runs_of_data(&buffer[..read]) {
                self.guest.write_at(to, offset + run.start as u64, &buffer[run])?;
            }
            self.progress.add(read as u64);
            offset += read as u64;
        }
        Ok(self.guest.truncate(to, size_bytes)?)
    }

    /// Whether files at `path` have owners and modes, which depends on the file system of its directory.
    pub(crate) fn is_unix(&self, path: &GuestPath) -> Result<bool, Error> {
        let parent = self.existing(&path.parent().unwrap_or_else(GuestPath::root))?;
        Ok(self.guest.volumes()[parent.node.volume()].file_system().is_some_and(guest::FileSystem::is_unix))
    }

    /// Gives `to` the mode, owner, extended attributes and times of `from`.
    fn copy_attributes(&mut self, from: &GuestPath, to: &GuestPath) -> Result<(), Error> {
        if !self.is_unix(to)? {
            return Ok(());
        }
        let metadata = self.guest.metadata(&self.guest.find(from, LastLink::Keep)?.node)?;
        for (name, value) in self.guest.xattrs(from)? {
            self.guest.set_xattr(to, &name, &value)?;
        }
        let attributes = Attributes {
            permissions: metadata.permissions,
            uid: metadata.uid,
            gid: metadata.gid,
            modified: metadata.modified,
        };
        self.guest.set_attributes(to, &attributes)?;
        let times =
            Times { accessed: Some(metadata.accessed), modified: Some(metadata.modified), changed: Some(self.now) };
        Ok(self.guest.set_times(to, &times)?)
    }
}

/// The ranges of whole pieces of `buffer` that are not all zeros.
fn runs_of_data(buffer: &[u8]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (index, piece) in buffer.chunks(HOLE_BYTES).enumerate() {
        if piece.iter().all(|&byte| byte == 0) {
            continue;
        }
        let start = index * HOLE_BYTES;
        match runs.last_mut() {
            Some(last) if last.end == start => last.end += piece.len(),
            _ => runs.push(start..start + piece.len()),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_of_whole_pieces_are_left_out() {
        let mut buffer = vec![0; 5 * HOLE_BYTES + 10];
        for at in [0, HOLE_BYTES, 3 * HOLE_BYTES + 7, 5 * HOLE_BYTES + 9] {
            buffer[at] = 1;
        }
        let piece = HOLE_BYTES;
        assert_eq!(runs_of_data(&buffer), [0..2 * piece, 3 * piece..4 * piece, 5 * piece..5 * piece + 10]);
    }
}
