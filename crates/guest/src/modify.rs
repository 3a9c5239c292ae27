//! Changing files of the guest: content, names, owners, modes, times.
//!
//! As in all edits, symlinks on the way to a file are followed. If the file itself is a symlink, the link is changed,
//! not its target.

use crate::error::{Error, PathProblem};
use crate::file_system::{FileSystem, FileSystemError, Node};
use crate::guest::{Guest, Location};
use crate::metadata::{Attributes, FileKind, Special, Time, Times};
use crate::path::GuestPath;
use crate::resolve::LastLink;

/// Extended attributes: whole names and values.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// Which file it is, of those that can have several names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    volume: usize,
    tree: u64,
    number: u64,
}

impl Guest {
    /// When the root's file system was last written to, by its own account. Edits here do not change that.
    pub fn written(&self) -> Time {
        self.root_volume().file_system().and_then(FileSystem::written).unwrap_or_default()
    }

    /// Reads the regular file at `path` from `offset` on. Fewer bytes than `buffer` takes are read only at the file's
    /// end.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find), and [`PathProblem::NotARegularFile`].
    pub fn read_at(&self, path: &GuestPath, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let location = self.regular(path)?;
        let result = self.file_system(&location).read_at(&location.node, offset, buffer);
        result.map_err(|error| self.error(&location, Some(path), error))
    }

    /// The content of the regular file at `path`, of at most `limit_bytes` bytes.
    ///
    /// # Errors
    ///
    /// As [`read_at`](Self::read_at), and [`PathProblem::TooLarge`].
    pub fn read(&self, path: &GuestPath, limit_bytes: u64) -> Result<Vec<u8>, Error> {
        let location = self.regular(path)?;
        let size_bytes = self.metadata(&location)?.size_bytes;
        if size_bytes > limit_bytes {
            return Err(Error::path(path, PathProblem::TooLarge { limit_bytes }));
        }
        let mut content = vec![0; size_bytes as usize];
        let length = self.read_at(path, 0, &mut content)?;
        content.truncate(length);
        Ok(content)
    }

    /// Replaces the content of the regular file at `path`, and sets its time to `modified`. Mode, owner and other names
    /// of the file stay.
    ///
    /// # Errors
    ///
    /// As [`read_at`](Self::read_at), and where there is no space.
    pub fn replace_content(&mut self, path: &GuestPath, content: &[u8], modified: Time) -> Result<(), Error> {
        self.regular(path)?;
        self.change(path, |file_system, location| file_system.replace_content(&location.node, content, modified))
    }

    /// Writes `data` at `offset` of the regular file at `path`. Times stay as they are.
    ///
    /// # Errors
    ///
    /// As [`replace_content`](Self::replace_content). A FAT cannot do this.
    pub fn write_at(&mut self, path: &GuestPath, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.regular(path)?;
        self.change(path, |file_system, location| file_system.write_at(&location.node, offset, data))
    }

    /// Sets the length of the regular file at `path` to `size_bytes`. Times stay as they are.
    ///
    /// # Errors
    ///
    /// As [`write_at`](Self::write_at).
    pub fn truncate(&mut self, path: &GuestPath, size_bytes: u64) -> Result<(), Error> {
        self.regular(path)?;
        self.change(path, |file_system, location| file_system.truncate(&location.node, size_bytes))
    }

    /// Sets the permission bits of the file at `path`, and its change time to `changed`.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find). A FAT cannot do this.
    pub fn set_permissions(&mut self, path: &GuestPath, permissions: u16, changed: Time) -> Result<(), Error> {
        self.set(path, changed, |attributes| attributes.permissions = permissions)
    }

    /// Sets the owner of the file at `path`, and its change time to `changed`.
    ///
    /// # Errors
    ///
    /// As [`set_permissions`](Self::set_permissions).
    pub fn set_owner(&mut self, path: &GuestPath, uid: u32, gid: u32, changed: Time) -> Result<(), Error> {
        self.set(path, changed, |attributes| (attributes.uid, attributes.gid) = (uid, gid))
    }

    /// Sets the given times of the file at `path`.
    ///
    /// # Errors
    ///
    /// As [`set_permissions`](Self::set_permissions).
    pub fn set_times(&mut self, path: &GuestPath, times: &Times) -> Result<(), Error> {
        self.change(path, |file_system, location| file_system.set_times(&location.node, times))
    }

    /// Gives the file at `from` the additional name `to` (a hard link). It must not be a directory.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file), and [`PathProblem::OtherFileSystem`].
    pub fn link(&mut self, from: &GuestPath, to: &GuestPath) -> Result<(), Error> {
        let from = self.find(from, LastLink::Keep)?;
        self.check_same_volume(&from.node, to)?;
        self.in_parent(to, |file_system, parent, name| file_system.link(&from.node.node, &parent.node, name))
    }

    /// Renames the file at `from` to `to`. A file that has this name is replaced; so is an empty directory, by a
    /// directory.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file), [`PathProblem::OtherFileSystem`], and [`Error::FileSystem`] if a directory
    /// would replace a file, or one that is not empty, or would be moved below itself.
    pub fn rename(&mut self, from: &GuestPath, to: &GuestPath) -> Result<(), Error> {
        let (Some(from_parent), Some(name)) = (from.parent(), from.name()) else {
            return Err(Error::path(from, PathProblem::IsADirectory));
        };
        let parent = self.find(&from_parent, LastLink::Follow)?.node;
        let moved = self.find(from, LastLink::Keep)?;
        self.check_not_mounted(&moved.path)?;
        // If it is a mount point, it is on another volume than its parent.
        self.check_same_volume(&moved.node, &moved.path)?;
        self.check_same_volume(&parent, to)?;
        // The `..` of a directory that moves changes, too.
        let noted = self.note_name(parent.volume, &parent.node, name);
        noted.map_err(|error| self.error(&parent, Some(from), error))?;
        self.in_parent(to, |file_system, to_parent, to_name| {
            file_system.rename((&parent.node, name), (&to_parent.node, to_name))
        })?;
        if moved.node.kind() == FileKind::Directory { self.new_names_have_moved(&moved.path, to) } else { Ok(()) }
    }

    /// What was made below `from` is below `to` now.
    fn new_names_have_moved(&mut self, from: &GuestPath, to: &GuestPath) -> Result<(), Error> {
        if self.new_names.as_ref().is_some_and(|names| names.iter().any(|path| path.starts_with(from))) {
            let to = self.find(to, LastLink::Keep)?.path;
            let names = self.new_names.take().unwrap_or_default();
            self.new_names = Some(names.into_iter().map(|path| path.moved(from, &to)).collect());
        }
        Ok(())
    }

    /// Removes the file or directory at `path`, with everything below it.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find), and [`PathProblem::MountPoint`] if a file system is mounted there or below.
    pub fn remove_tree(&mut self, path: &GuestPath) -> Result<(), Error> {
        let found = self.find(path, LastLink::Keep)?;
        self.check_not_mounted(&found.path)?;
        let noted = self.note_tree(found.node.volume, &found.node.node);
        noted.map_err(|error| self.error(&found.node, Some(path), error))?;
        self.in_parent(path, |file_system, parent, name| file_system.remove_tree(&parent.node, name))
    }

    /// Creates a device, a FIFO or a socket.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    pub fn create_special(&mut self, path: &GuestPath, special: Special, attributes: &Attributes) -> Result<(), Error> {
        self.in_parent(path, |file_system, parent, name| {
            file_system.create_special(&parent.node, name, special, attributes)
        })
    }

    /// The extended attributes of the file at `path`, by their whole names.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find).
    pub fn xattrs(&self, path: &GuestPath) -> Result<Xattrs, Error> {
        let location = self.find(path, LastLink::Keep)?.node;
        let result = self.file_system(&location).xattrs(&location.node);
        result.map_err(|error| self.error(&location, Some(path), error))
    }

    /// Sets an extended attribute of the file at `path`.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find), and [`Error::FileSystem`] if the file system cannot store this name or value.
    pub fn set_xattr(&mut self, path: &GuestPath, name: &[u8], value: &[u8]) -> Result<(), Error> {
        self.change(path, |file_system, location| file_system.set_xattr(&location.node, name, value))
    }

    /// Removes an extended attribute of the file at `path`, if it is there.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find).
    pub fn remove_xattr(&mut self, path: &GuestPath, name: &[u8]) -> Result<(), Error> {
        if !self.xattrs(path)?.iter().any(|(other, _)| other == name) {
            return Ok(());
        }
        self.change(path, |file_system, location| file_system.remove_xattr(&location.node, name))
    }

    /// Sets the flags of the file at `path` that `chattr` sets; the others stay.
    ///
    /// # Errors
    ///
    /// As [`set_permissions`](Self::set_permissions).
    pub fn set_flags(&mut self, path: &GuestPath, flags: u32) -> Result<(), Error> {
        self.change(path, |file_system, location| file_system.set_flags(&location.node, flags))
    }

    /// What two names of the same file have in common, and no other file has. `None` if a file here can only have one
    /// name.
    pub fn identity(&self, location: &Location) -> Option<Identity> {
        match location.node {
            Node::Inode { tree, number } => Some(Identity { volume: location.volume, tree, number }),
            Node::Names(_) => None,
        }
    }

    fn set(&mut self, path: &GuestPath, changed: Time, set: impl FnOnce(&mut Attributes)) -> Result<(), Error> {
        let metadata = self.metadata(&self.find(path, LastLink::Keep)?.node)?;
        let mut attributes = Attributes {
            permissions: metadata.permissions,
            uid: metadata.uid,
            gid: metadata.gid,
            modified: metadata.modified,
        };
        set(&mut attributes);
        self.set_attributes(path, &attributes)?;
        let times = Times { accessed: Some(metadata.accessed), changed: Some(changed), ..Times::default() };
        self.set_times(path, &times)
    }

    /// The regular file at `path`.
    fn regular(&self, path: &GuestPath) -> Result<Location, Error> {
        let location = self.find(path, LastLink::Keep)?.node;
        match location.kind() {
            FileKind::Regular => Ok(location),
            FileKind::Directory => Err(Error::path(path, PathProblem::IsADirectory)),
            _ => Err(Error::path(path, PathProblem::NotARegularFile)),
        }
    }

    /// Calls `change` with the file at `path`.
    fn change(
        &mut self,
        path: &GuestPath,
        change: impl FnOnce(&mut dyn FileSystem, &Location) -> Result<(), FileSystemError>,
    ) -> Result<(), Error> {
        let location = self.find(path, LastLink::Keep)?.node;
        self.check_mounted(path, &location)?;
        self.note(location.volume, &location.node);
        let result = change(self.file_system_mut(&location), &location);
        result.map_err(|error| self.error(&location, Some(path), error))
    }

    /// Refuses `to` if it is on another file system than `location`.
    fn check_same_volume(&self, location: &Location, to: &GuestPath) -> Result<(), Error> {
        let parent = to.parent().unwrap_or_else(GuestPath::root);
        if self.find(&parent, LastLink::Follow)?.node.volume != location.volume {
            return Err(Error::path(to, PathProblem::OtherFileSystem));
        }
        Ok(())
    }

    /// Refuses `path` if a file system is mounted there or below. It has no symlinks in it.
    fn check_not_mounted(&self, path: &GuestPath) -> Result<(), Error> {
        match self.mounts.iter().find(|mount| mount.point.starts_with(path)) {
            Some(mount) => Err(Error::path(path, PathProblem::MountPoint { mount_point: mount.point.clone() })),
            None => Ok(()),
        }
    }
}
