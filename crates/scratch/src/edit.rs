//! What programs change: names, files, content. Each takes the time as a parameter.

use std::ops::Range;

use guest::{FileKind, Metadata, Time};
use rustix::io::Errno;

use crate::acl;
use crate::content::Content;
use crate::inode::{Children, Data, Entry, Inode, InodeNumber, Xattrs};
use crate::spill::PAGE_BYTES;
use crate::tree::{MAX_FILE_BYTES, MAX_LINKS, NAME_MAX_BYTES, Result, Tree, host};

/// The set-user-ID bit.
const SET_UID: u16 = 0o4000;
/// The set-group-ID bit.
const SET_GID: u16 = 0o2000;
/// The bit that lets the group execute: without it, the set-group-ID bit means something else.
const GROUP_EXECUTES: u16 = 0o010;

/// What `chattr` can change and a graft can store: `s`, `u`, `S`, `i`, `a`, `d`, `A`, `j`, `t`, `D`, `T`.
const CHANGEABLE_FLAGS: u32 = 0x3_c0fb;

/// Who makes a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum New {
    /// An empty regular file.
    File,
    /// An empty directory.
    Directory,
    /// A symlink to a target.
    Symlink(Vec<u8>),
    /// A device, FIFO or socket, and the numbers of a device.
    Special(FileKind, Option<(u32, u32)>),
}

/// What a renaming does if the new name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfTaken {
    /// The file there goes.
    Replace,
    /// It fails.
    Refuse,
    /// The two change places.
    Exchange,
}

/// What is set of a file; `None` leaves it as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Permission bits, up to 0o7777.
    pub permissions: Option<u16>,
    /// User.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Size in bytes of a regular file.
    pub size_bytes: Option<u64>,
    /// Access time.
    pub accessed: Option<Time>,
    /// Modification time.
    pub modified: Option<Time>,
    /// Whether a change of the size takes the set-user-ID and set-group-ID bits away.
    pub drops_set_id: bool,
}

impl Tree {
    /// Makes a file called `name` in `directory`. `permissions` are those that were asked for, from which `umask`
    /// takes away if the directory has no default ACL.
    ///
    /// # Errors
    ///
    /// [`Errno::EXIST`], [`Errno::NOSPC`], [`Errno::PERM`] for what the file system cannot have.
    pub fn create(
        &mut self,
        directory: InodeNumber,
        name: &[u8],
        new: New,
        (permissions, umask): (u16, u16),
        owner: Owner,
        now: Time,
    ) -> Result<InodeNumber> {
        self.check_new_name(directory, name)?;
        let (kind, device, data) = match new {
            New::File => (FileKind::Regular, None, Data::Content(Content::new(&self.spill))),
            New::Directory => (FileKind::Directory, None, Data::Children(Children::default())),
            New::Symlink(target) if target.len() < PAGE_BYTES as usize => {
                (FileKind::Symlink, None, Data::Target(target))
            }
            New::Symlink(_) => return Err(Errno::NAMETOOLONG),
            New::Special(kind, device) => (kind, device, Data::Nothing),
        };
        if !self.is_unix && !matches!(kind, FileKind::Regular | FileKind::Directory) {
            return Err(Errno::PERM);
        }
        let taken_blocks = u64::from(matches!(kind, FileKind::Directory));
        if self.space.free_inodes == 0 || self.space.free_blocks < taken_blocks {
            return Err(Errno::NOSPC);
        }
        let is_directory = kind == FileKind::Directory;
        if is_directory && self.inode(directory)?.metadata.links >= MAX_LINKS {
            return Err(Errno::MLINK);
        }
        let inherited = self.inherited(directory, kind, permissions, umask)?;
        let parent = &self.inode(directory)?.metadata;
        let mut permissions = inherited.permissions;
        let mut gid = owner.gid;
        if parent.permissions & SET_GID != 0 {
            gid = parent.gid;
            if is_directory {
                permissions |= SET_GID;
            }
        }
        let size_bytes = if let Data::Target(target) = &data { target.len() as u64 } else { 0 };
        let metadata = Metadata {
            kind,
            permissions: if self.is_unix { permissions } else { 0o755 },
            uid: if self.is_unix { owner.uid } else { 0 },
            gid: if self.is_unix { gid } else { 0 },
            size_bytes,
            links: if is_directory { 2 } else { 1 },
            accessed: now,
            modified: now,
            changed: now,
            device,
        };
        let number = self.new_number();
        let inode = Inode {
            origin: None,
            metadata,
            data,
            xattrs: Some(inherited.xattrs),
            flags: None,
            place: (directory, name.to_vec()),
            lookups: 0,
            is_changed: true,
            has_changes: is_directory,
        };
        self.inodes.insert(number, inode);
        self.space.free_inodes -= 1;
        self.space.free_blocks -= taken_blocks;
        self.name(directory, name, number, now)?;
        if is_directory {
            self.count_directory(directory, 1)?;
        }
        Ok(number)
    }

    /// The mode and the ACLs that a new file in `directory` gets.
    fn inherited(&mut self, directory: InodeNumber, kind: FileKind, permissions: u16, umask: u16) -> Result<Inherited> {
        let mut xattrs = Xattrs::new();
        if kind != FileKind::Symlink
            && self.is_unix
            && let Some(default) = self.xattrs(directory)?.get(acl::DEFAULT).cloned()
            && let Some(found) = acl::inherit(&default, permissions)
        {
            if let Some(access) = found.access {
                xattrs.insert(acl::ACCESS.to_vec(), access);
            }
            if kind == FileKind::Directory {
                xattrs.insert(acl::DEFAULT.to_vec(), default);
            }
            return Ok(Inherited { permissions: found.permissions, xattrs });
        }
        let umask = if kind == FileKind::Symlink { 0 } else { umask };
        Ok(Inherited { permissions: permissions & !umask, xattrs })
    }

    fn check_new_name(&mut self, directory: InodeNumber, name: &[u8]) -> Result<()> {
        check_name(name)?;
        // A directory that was removed and is still somebody's current one takes nothing.
        if self.directory(directory)?.metadata.links == 0 {
            return Err(Errno::NOENT);
        }
        if self.entry(directory, name)?.is_some() { Err(Errno::EXIST) } else { Ok(()) }
    }

    /// Gives a file the name `name` in `directory`; it has been counted already.
    fn name(&mut self, directory: InodeNumber, name: &[u8], number: InodeNumber, now: Time) -> Result<()> {
        let inode = self.inode_mut(number)?;
        let kind = inode.metadata.kind;
        inode.place = (directory, name.to_vec());
        let folded = self.folded(name);
        self.children(directory)?.insert(folded, Entry { name: name.to_vec(), inode: number, kind });
        self.inode_mut(directory)?.modified(now);
        self.mark(directory);
        Ok(())
    }

    /// Takes the name `name` out of `directory`; the file's names are not counted here.
    fn unname(&mut self, directory: InodeNumber, name: &[u8], now: Time) -> Result<Entry> {
        let folded = self.folded(name);
        let entry = self.children(directory)?.remove(&folded).ok_or(Errno::NOENT)?;
        self.inode_mut(directory)?.modified(now);
        self.mark(directory);
        Ok(entry)
    }

    /// Counts one name less of a file; the last one frees it when the kernel has forgotten it.
    fn drop_name(&mut self, number: InodeNumber, now: Time) -> Result<()> {
        let inode = self.inode_mut(number)?;
        inode.metadata.links = if inode.is_directory() { 0 } else { inode.metadata.links.saturating_sub(1) };
        inode.metadata.changed = now;
        inode.is_changed = true;
        if inode.metadata.links > 0 {
            self.mark(number);
            return Ok(());
        }
        let blocks = self.taken_blocks(number)?;
        self.space.free_inodes += 1;
        self.space.free_blocks += blocks;
        if let Some(origin) = self.inode(number)?.origin.clone() {
            self.gone.insert(origin);
        }
        self.forget(number, 0);
        Ok(())
    }

    /// How many blocks a file takes, or took in the guest.
    fn taken_blocks(&self, number: InodeNumber) -> Result<u64> {
        let facts = self.facts(number)?;
        let bytes = if facts.metadata.kind == FileKind::Directory { 1 } else { facts.allocated_bytes };
        Ok(bytes.div_ceil(self.space.block_size_bytes))
    }

    /// Gives a file that is no directory one more name.
    ///
    /// # Errors
    ///
    /// [`Errno::EXIST`], [`Errno::MLINK`], [`Errno::PERM`].
    pub fn link(&mut self, number: InodeNumber, directory: InodeNumber, name: &[u8], now: Time) -> Result<()> {
        self.check_new_name(directory, name)?;
        let is_unix = self.is_unix;
        let inode = self.inode_mut(number)?;
        if inode.is_directory() || !is_unix {
            return Err(Errno::PERM);
        }
        match inode.metadata.links {
            0 => return Err(Errno::NOENT),
            MAX_LINKS.. => return Err(Errno::MLINK),
            _ => inode.metadata.links += 1,
        }
        inode.metadata.changed = now;
        self.mark(number);
        self.name(directory, name, number, now)
    }

    /// Removes a name of a file that is no directory.
    ///
    /// # Errors
    ///
    /// [`Errno::NOENT`], [`Errno::ISDIR`].
    pub fn unlink(&mut self, directory: InodeNumber, name: &[u8], now: Time) -> Result<()> {
        let number = self.lookup(directory, name)?;
        if self.inode(number)?.is_directory() {
            return Err(Errno::ISDIR);
        }
        self.unname(directory, name, now)?;
        self.drop_name(number, now)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    ///
    /// [`Errno::NOENT`], [`Errno::NOTDIR`], [`Errno::NOTEMPTY`].
    pub fn remove_directory(&mut self, directory: InodeNumber, name: &[u8], now: Time) -> Result<()> {
        let number = self.lookup(directory, name)?;
        self.check_empty(number)?;
        self.unname(directory, name, now)?;
        self.drop_name(number, now)?;
        let parent = &mut self.inode_mut(directory)?.metadata;
        parent.links = parent.links.saturating_sub(1).max(2);
        Ok(())
    }

    fn check_empty(&mut self, number: InodeNumber) -> Result<()> {
        if !self.inode(number)?.is_directory() {
            return Err(Errno::NOTDIR);
        }
        if self.children(number)?.is_empty() { Ok(()) } else { Err(Errno::NOTEMPTY) }
    }

    /// Renames what `from`, a directory and a name in it, names.
    ///
    /// # Errors
    ///
    /// [`Errno::NOENT`], [`Errno::EXIST`], [`Errno::NOTEMPTY`], [`Errno::ISDIR`], [`Errno::NOTDIR`],
    /// [`Errno::INVAL`] for a place below itself.
    pub fn rename(
        &mut self,
        from: (InodeNumber, &[u8]),
        to: (InodeNumber, &[u8]),
        if_taken: IfTaken,
        now: Time,
    ) -> Result<()> {
        check_name(to.1)?;
        let moved = self.lookup(from.0, from.1)?;
        let there = match self.lookup(to.0, to.1) {
            Ok(number) => Some(number),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(error),
        };
        if self.directory(to.0)?.metadata.links == 0 {
            return Err(Errno::NOENT);
        }
        match (if_taken, there) {
            (IfTaken::Refuse, Some(_)) => return Err(Errno::EXIST),
            (IfTaken::Exchange, None) => return Err(Errno::NOENT),
            (IfTaken::Exchange, Some(there)) => return self.exchange((from, moved), (to, there), now),
            _ => {}
        }
        if there == Some(moved) && self.folded(from.1) != self.folded(to.1) {
            // Two names of one file: POSIX has both stay.
            return Ok(());
        }
        let is_directory = self.inode(moved)?.is_directory();
        self.check_not_below(moved, to.0)?;
        if let Some(there) = there.filter(|there| *there != moved) {
            match (is_directory, self.inode(there)?.is_directory()) {
                (true, false) => return Err(Errno::NOTDIR),
                (false, true) => return Err(Errno::ISDIR),
                (true, true) => self.check_empty(there)?,
                (false, false) => {}
            }
        }
        if is_directory && there.is_none() && from.0 != to.0 && self.inode(to.0)?.metadata.links >= MAX_LINKS {
            return Err(Errno::MLINK);
        }
        // Where the names are spelled differently only, there is one entry.
        self.list(to.0)?;
        self.unname(from.0, from.1, now)?;
        if let Some(there) = there.filter(|there| *there != moved) {
            self.unname(to.0, to.1, now)?;
            self.drop_name(there, now)?;
            if is_directory {
                self.count_directory(to.0, -1)?;
            }
        }
        if is_directory && from.0 != to.0 {
            self.count_directory(from.0, -1)?;
            self.count_directory(to.0, 1)?;
        }
        self.inode_mut(moved)?.metadata.changed = now;
        self.name(to.0, to.1, moved, now)
    }

    fn exchange(
        &mut self,
        (from, moved): ((InodeNumber, &[u8]), InodeNumber),
        (to, there): ((InodeNumber, &[u8]), InodeNumber),
        now: Time,
    ) -> Result<()> {
        self.check_not_below(moved, to.0)?;
        self.check_not_below(there, from.0)?;
        let directories = [moved, there].map(|number| self.inode(number).is_ok_and(Inode::is_directory));
        self.list(from.0)?;
        self.list(to.0)?;
        self.unname(from.0, from.1, now)?;
        self.unname(to.0, to.1, now)?;
        self.name(to.0, to.1, moved, now)?;
        self.name(from.0, from.1, there, now)?;
        if from.0 != to.0 {
            let change = i32::from(directories[0]) - i32::from(directories[1]);
            self.count_directory(to.0, change)?;
            self.count_directory(from.0, -change)?;
        }
        for number in [moved, there] {
            self.inode_mut(number)?.metadata.changed = now;
        }
        Ok(())
    }

    fn count_directory(&mut self, directory: InodeNumber, change: i32) -> Result<()> {
        let links = &mut self.inode_mut(directory)?.metadata.links;
        *links = links.saturating_add_signed(change).max(2);
        Ok(())
    }

    /// Refuses a directory that is `number` itself or below it.
    fn check_not_below(&self, number: InodeNumber, directory: InodeNumber) -> Result<()> {
        let mut at = directory;
        loop {
            if at == number {
                return Err(Errno::INVAL);
            }
            match self.inodes.get(&at) {
                Some(inode) if inode.place.0 != at => at = inode.place.0,
                _ => return Ok(()),
            }
        }
    }

    /// Sets mode, owner, size and times of a file.
    ///
    /// # Errors
    ///
    /// [`Errno::PERM`] for what the file system cannot have, [`Errno::FBIG`], [`Errno::NOSPC`].
    pub fn set(&mut self, number: InodeNumber, settings: &Settings, now: Time) -> Result<()> {
        self.check_mutable(number)?;
        if let Some(size_bytes) = settings.size_bytes {
            self.truncate(number, size_bytes, now)?;
            self.content_written(number, settings.drops_set_id)?;
        }
        if !self.is_unix && (settings.uid.is_some_and(|id| id != 0) || settings.gid.is_some_and(|id| id != 0)) {
            return Err(Errno::PERM);
        }
        let changes_owner = settings.uid.is_some() || settings.gid.is_some();
        let is_directory = self.inode(number)?.is_directory();
        if changes_owner && !is_directory {
            self.xattrs_mut(number)?.remove(&b"security.capability"[..]);
        }
        if let (Some(permissions), true) = (settings.permissions, self.is_unix)
            && let Some(access) = self.xattrs_mut(number)?.get_mut(acl::ACCESS)
        {
            acl::set_permissions(access, permissions);
        }
        let is_unix = self.is_unix;
        let inode = self.inode_mut(number)?;
        let metadata = &mut inode.metadata;
        if changes_owner && is_unix {
            metadata.uid = settings.uid.unwrap_or(metadata.uid);
            metadata.gid = settings.gid.unwrap_or(metadata.gid);
            if !is_directory {
                metadata.permissions = without_set_id(metadata.permissions);
            }
        }
        if let (Some(permissions), true) = (settings.permissions, is_unix) {
            metadata.permissions = permissions & 0o7777;
        }
        metadata.accessed = settings.accessed.unwrap_or(metadata.accessed);
        metadata.modified = settings.modified.unwrap_or(metadata.modified);
        metadata.changed = now;
        let only_accessed = *settings == Settings { accessed: settings.accessed, ..Settings::default() };
        if !only_accessed {
            self.mark(number);
        }
        Ok(())
    }

    fn truncate(&mut self, number: InodeNumber, size_bytes: u64, now: Time) -> Result<()> {
        if size_bytes > MAX_FILE_BYTES {
            return Err(Errno::FBIG);
        }
        let taken = self.taken_blocks(number)?;
        let content = self.content(number, size_bytes)?;
        content.truncate(size_bytes).map_err(host)?;
        self.recount(number, taken)?;
        let inode = self.inode_mut(number)?;
        inode.metadata.size_bytes = size_bytes;
        inode.modified(now);
        Ok(())
    }

    /// Counts the blocks that a file takes now, which took `taken` before.
    fn recount(&mut self, number: InodeNumber, taken: u64) -> Result<()> {
        let blocks = self.taken_blocks(number)?;
        self.space.free_blocks = (self.space.free_blocks + taken).saturating_sub(blocks);
        Ok(())
    }

    /// Takes room for `bytes` of a file, as far as there is any.
    fn reserve(&mut self, number: InodeNumber, bytes: Range<u64>) -> Result<()> {
        if bytes.end > MAX_FILE_BYTES {
            return Err(Errno::FBIG);
        }
        let free_bytes = self.space.free_blocks * self.space.block_size_bytes;
        let missing = self.content(number, u64::MAX)?.missing(bytes);
        if missing * PAGE_BYTES > free_bytes { Err(Errno::NOSPC) } else { Ok(()) }
    }

    /// What a write does besides: capabilities go, and the set-id bits of a writer that may not set them.
    fn content_written(&mut self, number: InodeNumber, drops_set_id: bool) -> Result<()> {
        if self.is_unix {
            self.xattrs_mut(number)?.remove(&b"security.capability"[..]);
        }
        if drops_set_id {
            let permissions = &mut self.inode_mut(number)?.metadata.permissions;
            *permissions = without_set_id(*permissions);
        }
        Ok(())
    }

    /// Writes `data` at `offset` of a regular file.
    ///
    /// # Errors
    ///
    /// [`Errno::NOSPC`], [`Errno::FBIG`], [`Errno::INVAL`].
    pub fn write(
        &mut self,
        number: InodeNumber,
        offset: u64,
        data: &[u8],
        drops_set_id: bool,
        now: Time,
    ) -> Result<()> {
        let end = offset.checked_add(data.len() as u64).ok_or(Errno::FBIG)?;
        self.check_mutable(number)?;
        self.reserve(number, offset..end)?;
        let taken = self.taken_blocks(number)?;
        let content = self.content(number, u64::MAX)?;
        content.write(offset, data).map_err(host)?;
        let size_bytes = content.size_bytes();
        self.recount(number, taken)?;
        self.content_written(number, drops_set_id)?;
        let inode = self.inode_mut(number)?;
        inode.metadata.size_bytes = size_bytes;
        inode.modified(now);
        self.mark(number);
        Ok(())
    }

    /// Takes room for a part of a regular file, which reads as zeros where nothing was; the file grows if `grows`.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn allocate(&mut self, number: InodeNumber, bytes: Range<u64>, grows: bool, now: Time) -> Result<()> {
        self.check_mutable(number)?;
        self.reserve(number, bytes.clone())?;
        let taken = self.taken_blocks(number)?;
        let content = self.content(number, u64::MAX)?;
        content.allocate(bytes.clone());
        if grows {
            content.grow(bytes.end);
        }
        let size_bytes = content.size_bytes();
        self.recount(number, taken)?;
        self.resized(number, size_bytes, now)
    }

    /// Makes a part of a regular file zeros, and a hole where whole pages are.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn punch(&mut self, number: InodeNumber, bytes: Range<u64>, grows: bool, now: Time) -> Result<()> {
        if bytes.end > MAX_FILE_BYTES {
            return Err(Errno::FBIG);
        }
        self.check_mutable(number)?;
        let taken = self.taken_blocks(number)?;
        let content = self.content(number, u64::MAX)?;
        content.punch(bytes.clone()).map_err(host)?;
        if grows {
            content.grow(bytes.end);
        }
        let size_bytes = content.size_bytes();
        self.recount(number, taken)?;
        self.resized(number, size_bytes, now)
    }

    fn resized(&mut self, number: InodeNumber, size_bytes: u64, now: Time) -> Result<()> {
        let inode = self.inode_mut(number)?;
        inode.metadata.size_bytes = size_bytes;
        inode.modified(now);
        self.mark(number);
        Ok(())
    }

    /// Sets an extended attribute.
    ///
    /// # Errors
    ///
    /// [`Errno::OPNOTSUPP`] for what the file system cannot have, [`Errno::NOSPC`], [`Errno::INVAL`] for an ACL that is
    /// none.
    pub fn set_xattr(&mut self, number: InodeNumber, name: &[u8], value: &[u8], now: Time) -> Result<()> {
        self.check_mutable(number)?;
        if !self.is_unix {
            return Err(Errno::OPNOTSUPP);
        }
        if name == acl::ACCESS {
            let permissions = acl::permissions(value).ok_or(Errno::INVAL)?;
            let metadata = &mut self.inode_mut(number)?.metadata;
            metadata.permissions = metadata.permissions & !0o777 | permissions;
            if acl::is_minimal(value) {
                self.xattrs_mut(number)?.remove(name);
                return self.attribute_changed(number, now);
            }
        } else if name == acl::DEFAULT && acl::permissions(value).is_none() {
            return Err(Errno::INVAL);
        }
        let limit_bytes = self.space.block_size_bytes as usize - 64;
        let xattrs = self.xattrs_mut(number)?;
        let room = |name: &[u8], value: &[u8]| name.len() + value.len().next_multiple_of(4) + 20;
        let others: usize =
            xattrs.iter().filter(|(other, _)| *other != name).map(|(name, value)| room(name, value)).sum();
        if others + room(name, value) > limit_bytes {
            return Err(Errno::NOSPC);
        }
        xattrs.insert(name.to_vec(), value.to_vec());
        self.attribute_changed(number, now)
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    ///
    /// [`Errno::NODATA`] if it is not there.
    pub fn remove_xattr(&mut self, number: InodeNumber, name: &[u8], now: Time) -> Result<()> {
        self.check_mutable(number)?;
        self.xattrs_mut(number)?.remove(name).ok_or(Errno::NODATA)?;
        self.attribute_changed(number, now)
    }

    fn attribute_changed(&mut self, number: InodeNumber, now: Time) -> Result<()> {
        self.inode_mut(number)?.metadata.changed = now;
        self.mark(number);
        Ok(())
    }

    /// Sets the flags that `chattr` sets.
    ///
    /// # Errors
    ///
    /// [`Errno::OPNOTSUPP`] for other flags and on file systems without any.
    pub fn set_flags(&mut self, number: InodeNumber, flags: u32, now: Time) -> Result<()> {
        let old = self.flags(number)?;
        if !self.is_unix || (old ^ flags) & !CHANGEABLE_FLAGS != 0 {
            return Err(Errno::OPNOTSUPP);
        }
        self.inode_mut(number)?.flags = Some(flags);
        self.attribute_changed(number, now)
    }

    /// Refuses a change of a file that `chattr +i` made immutable.
    fn check_mutable(&mut self, number: InodeNumber) -> Result<()> {
        const IMMUTABLE: u32 = 0x10;
        if self.flags(number)? & IMMUTABLE != 0 { Err(Errno::PERM) } else { Ok(()) }
    }
}

/// What a new file gets from its directory.
struct Inherited {
    permissions: u16,
    xattrs: Xattrs,
}

fn check_name(name: &[u8]) -> Result<()> {
    match name {
        b"" | b"." | b".." => Err(Errno::INVAL),
        _ if name.len() > NAME_MAX_BYTES => Err(Errno::NAMETOOLONG),
        _ => Ok(()),
    }
}

/// A mode without the bits that have a program run as its owner or group.
fn without_set_id(permissions: u16) -> u16 {
    let set_gid = if permissions & GROUP_EXECUTES != 0 { SET_GID } else { 0 };
    permissions & !(SET_UID | set_gid)
}
