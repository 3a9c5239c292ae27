//! Creating and removing files in the guest. Changes are complete on its disk after [`Guest::flush`].

use std::io::Read;
use std::sync::Arc;

use storage::{ReadAt, WriteAt};

use crate::error::{Error, PathProblem};
use crate::file_system::{FileSystem, FileSystemError};
use crate::guest::{Guest, Location};
use crate::metadata::{Attributes, FileKind};
use crate::path::GuestPath;
use crate::place::Place;
use crate::resolve::LastLink;
use crate::volume::Volume;

impl Guest {
    /// Allows edits of a file system in which errors were noted. The notes stay as they are.
    pub fn allow_errors(&mut self) {
        for volume in &mut self.volumes {
            if let Some(file_system) = volume.file_system_mut() {
                file_system.allow_errors();
            }
        }
    }

    /// Makes use of the room at the end of a disk that was made larger: the root's partition grows into it, and the
    /// partition table's backup moves to the new end. If the root is a logical volume, that grows into all that is free in
    /// its group then. `disk` is the guest's own, which is opened again. The root's
    /// file system keeps its size; [`grow_root`](Self::grow_root) is the next step. A disk without a partition table
    /// stays as it is.
    ///
    /// # Errors
    ///
    /// [`Error::Partition`] if the table is damaged or another partition comes after the root's; [`Error::FileSystem`] if
    /// the root's volume group cannot grow; and those of [`open`](Self::open).
    pub fn grow_root_partition(mut self, disk: Arc<dyn WriteAt>) -> Result<Self, Error> {
        self.flush()?;
        let kinds = self.kinds;
        let place = self.root_volume().place();
        drop(self);
        match place {
            Place::Disk => {}
            Place::Partition(number) => drop(partition::grow(&*disk, number)?),
            Place::LogicalVolume(name) => Volume::grow_logical(&disk, &name, kinds)?,
        }
        Self::open_with(disk, kinds)
    }

    /// Grows the root's file system to the end of its volume, and writes it.
    ///
    /// # Errors
    ///
    /// [`Error::FileSystem`].
    pub fn grow_root(&mut self) -> Result<(), Error> {
        let root = &mut self.volumes[self.root.volume];
        let size_bytes = root.size_bytes();
        let result = root.file_system_mut().map_or(Ok(()), |file_system| file_system.grow(size_bytes));
        result.map_err(|error| root.failed(error))
    }

    /// Creates the regular file `path` with `size_bytes` bytes, which `content` gives.
    ///
    /// # Errors
    ///
    /// Those of [`find`](Self::find) for the parent; [`Error::FileSystem`] if the name is taken, there is no space,
    /// or `content` fails or has another length.
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

    /// Creates the regular file `path` with the content of `source`. That must not change as long as the disk is
    /// used, as the disk may refer to `source` instead of copying its bytes.
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

    /// Creates the symlink `path` to `target`, which need not exist.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    pub fn create_symlink(&mut self, path: &GuestPath, target: &[u8], attributes: &Attributes) -> Result<(), Error> {
        self.in_parent(path, |file_system, parent, name| {
            file_system.create_symlink(&parent.node, name, target, attributes)
        })
    }

    /// Removes the name `path` of a file that is not a directory. Of a symlink, the link is removed, not its target.
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

    /// Sets mode, owner and times of the file at `path`; of a symlink, those of the link.
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
            let result = volume.file_system_mut().map_or(Ok(()), |file_system| file_system.flush());
            result.map_err(|error| volume.failed(error))?;
        }
        Ok(())
    }

    /// Calls `edit` with the directory that `path` is in, and the name of `path` there.
    pub(crate) fn in_parent(
        &mut self,
        path: &GuestPath,
        edit: impl FnOnce(&mut dyn FileSystem, &Location, &[u8]) -> Result<(), FileSystemError>,
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
        if let (Some(names), Ok(path)) = (&mut self.new_names, found.path.join(name)) {
            names.insert(path);
        }
        result.map_err(|error| self.error(&found.node, Some(path), error))
    }

    pub(crate) fn file_system_mut(&mut self, location: &Location) -> &mut dyn FileSystem {
        let file_system = self.volumes[location.volume].file_system_mut();
        file_system.unwrap_or_else(|| unreachable!("only a file system has locations"))
    }
}
