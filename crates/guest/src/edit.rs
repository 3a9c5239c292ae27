//! Changes to the guest: they go to the disk behind it, and are whole after [`Guest::flush`].

use std::io::Read;
use std::sync::Arc;

use storage::{ReadAt, WriteAt};

use crate::error::{Error, FileSystemError, PathProblem};
use crate::file_system::FileSystem;
use crate::guest::{Guest, Location};
use crate::metadata::{Attributes, FileKind};
use crate::path::GuestPath;
use crate::resolve::LastLink;
use crate::volume::Content;

impl Guest {
    /// Lets edits go on although errors were noted in a file system. The notes stay as they are.
    pub fn allow_errors(&mut self) {
        for volume in &mut self.volumes {
            if let Content::FileSystem(file_system) = &mut volume.content {
                file_system.allow_errors();
            }
        }
    }

    /// Gives the room behind the root's partition to it, and the end of `disk`, which is the guest's own
    /// and may have been made larger, to the partition table's backup. The guest is opened anew: its
    /// root's file system is as large as before. A disk without a partition table has nothing to change.
    ///
    /// # Errors
    ///
    /// [`Error::Partition`] where the table is damaged or another partition lies behind the root's; as
    /// [`open`](Self::open).
    pub fn grow_root_partition(mut self, disk: Arc<dyn WriteAt>) -> Result<Self, Error> {
        self.flush()?;
        if let Some(number) = self.root_volume().partition().map(|partition| partition.number) {
            drop(self);
            partition::grow(&*disk, number)?;
        }
        Self::open(disk)
    }

    /// Grows the root's file system to the end of its volume, and writes it.
    ///
    /// # Errors
    ///
    /// [`Error::FileSystem`].
    pub fn grow_root(&mut self) -> Result<(), Error> {
        let root = &mut self.volumes[self.root];
        let size_bytes = root.size_bytes();
        let Content::FileSystem(file_system) = &mut root.content else { return Ok(()) };
        let result = file_system.grow(size_bytes);
        result.map_err(|error| Error::FileSystem { volume: root.to_string(), path: None, error })
    }

    /// Creates the regular file `path` with `size_bytes` bytes, which `content` gives.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find) for the parent; [`Error::FileSystem`] where the name is taken, there
    /// is no space, or `content` fails or is not as long as announced.
    pub fn create_file(
        &mut self,
        path: &GuestPath,
        attributes: &Attributes,
        size_bytes: u64,
        content: &mut dyn Read,
    ) -> Result<(), Error> {
        self.in_parent(path, |file_system, parent, name| {
            file_system.create_file(&parent.node, name, attributes, size_bytes, content)
        })
    }

    /// Creates the regular file `path` with the content of `source`, which is not to change as long
    /// as the disk is used: it may be kept in place of its bytes.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    pub fn create_file_from(
        &mut self,
        path: &GuestPath,
        attributes: &Attributes,
        source: &Arc<dyn ReadAt>,
    ) -> Result<(), Error> {
        self.in_parent(path, |file_system, parent, name| {
            file_system.create_file_from(&parent.node, name, attributes, source)
        })
    }

    /// Creates the empty directory `path`.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    pub fn create_directory(&mut self, path: &GuestPath, attributes: &Attributes) -> Result<(), Error> {
        self.in_parent(path, |file_system, parent, name| file_system.create_directory(&parent.node, name, attributes))
    }

    /// Creates the symlink `path` to `target`, which is not looked at.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    pub fn create_symlink(&mut self, path: &GuestPath, target: &[u8], attributes: &Attributes) -> Result<(), Error> {
        self.in_parent(path, |file_system, parent, name| {
            file_system.create_symlink(&parent.node, name, target, attributes)
        })
    }

    /// Removes the name `path` of something that is not a directory; a symlink is removed itself.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find), and [`PathProblem::IsADirectory`].
    pub fn remove_file(&mut self, path: &GuestPath) -> Result<(), Error> {
        if self.find(path, LastLink::Keep)?.node.kind() == FileKind::Directory {
            return Err(Error::path(path, PathProblem::IsADirectory));
        }
        self.in_parent(path, |file_system, parent, name| file_system.remove_file(&parent.node, name))
    }

    /// Sets mode, owner and times of what is at `path`; a symlink's own.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find).
    pub fn set_attributes(&mut self, path: &GuestPath, attributes: &Attributes) -> Result<(), Error> {
        let location = self.find(path, LastLink::Keep)?.node;
        self.note(location.volume, &location.node);
        let result = self.file_system_mut(&location).set_attributes(&location.node, attributes);
        result.map_err(|error| self.error(&location, Some(path), error))
    }

    /// Writes every change that is not on the disk yet.
    ///
    /// # Errors
    ///
    /// [`Error::FileSystem`].
    pub fn flush(&mut self) -> Result<(), Error> {
        for volume in &mut self.volumes {
            if let Content::FileSystem(file_system) = &mut volume.content {
                let result = file_system.flush();
                result.map_err(|error| Error::FileSystem { volume: volume.to_string(), path: None, error })?;
            }
        }
        Ok(())
    }

    /// Does something with the directory that `path` is in, and its name there.
    pub(crate) fn in_parent(
        &mut self,
        path: &GuestPath,
        edit: impl FnOnce(&mut FileSystem, &Location, &[u8]) -> Result<(), FileSystemError>,
    ) -> Result<(), Error> {
        let (Some(parent), Some(name)) = (path.parent(), path.name()) else {
            return Err(Error::path(path, PathProblem::IsADirectory));
        };
        let found = self.find(&parent, LastLink::Follow)?;
        if found.node.kind() != FileKind::Directory {
            return Err(Error::path(path, PathProblem::NotADirectory { at: found.path }));
        }
        self.check_mounted(path, &found.node)?;
        let volume = found.node.volume;
        let result = self
            .note_name(volume, &found.node.node, name)
            .and_then(|()| edit(self.file_system_mut(&found.node), &found.node, name))
            .and_then(|()| self.note_name(volume, &found.node.node, name));
        result.map_err(|error| self.error(&found.node, Some(path), error))
    }

    pub(crate) fn file_system_mut(&mut self, location: &Location) -> &mut FileSystem {
        match &mut self.volumes[location.volume].content {
            Content::FileSystem(file_system) => file_system,
            _ => unreachable!("only a file system has locations"),
        }
    }
}
