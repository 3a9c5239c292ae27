//! The kernel's requests, answered from a [`Tree`].
//!
//! What the kernel is told it may keep for ever, as nobody else changes the tree. Opening and closing files and
//! directories is not asked for (`ENOSYS` once), and neither are `flush` and `fsync`: nothing is kept before the end, so
//! that there is nothing to be safe from. `CREATE`, which would make and open a file in one, has no answer either
//! ([`Filesystem`]'s own is `ENOSYS`): files are made by `MKNOD`, and there is nothing to close.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo, InitFlags, IoctlFlags,
    KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow,
    WriteFlags,
};
use guest::{FileKind, Time};
use scratch::{IfTaken, InodeNumber, New, Owner, Settings, SharedTree, Tree};

/// How long the kernel may keep what it was told.
const FOR_EVER: Duration = Duration::from_secs(1 << 30);

/// The most bytes of a request that writes.
const MAX_WRITE_BYTES: u32 = 1 << 20;

/// The number by which the kernel calls the root directory.
pub(crate) const ROOT: u64 = 1;

/// `ioctl`s of `lsattr` and `chattr`.
const FS_IOC_GETFLAGS: u32 = 0x8008_6601;
const FS_IOC_SETFLAGS: u32 = 0x4008_6602;
/// What a kernel asks for before it sets flags: 28 bytes, of which the first four are flags in another order.
const FS_IOC_FSGETXATTR: u32 = 0x801c_581f;
const FSXATTR_BYTES: usize = 28;
/// The flags that both orders have: `S`, `i`, `a`, `d`, `A`.
const EXTENDED_FLAGS: [(u32, u32); 5] = [(0x08, 0x20), (0x10, 0x08), (0x20, 0x10), (0x40, 0x80), (0x80, 0x40)];

/// `lseek`'s ways to look for data and holes.
const SEEK_DATA: i32 = 3;
const SEEK_HOLE: i32 = 4;

/// `setxattr`'s flags.
const XATTR_CREATE: i32 = 1;
const XATTR_REPLACE: i32 = 2;

/// `fallocate`'s modes.
const KEEP_SIZE: i32 = 0x01;
const PUNCH_HOLE: i32 = 0x02;
const ZERO_RANGE: i32 = 0x10;

/// Takes an entry of a directory: number, offset, kind, name. It says whether there is no more room.
type Add<'a> = &'a mut dyn FnMut(&mut Tree, InodeNumber, u64, FileKind, &[u8]) -> bool;

/// Whose files they are, as programs see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// As the guest has it.
    AsTheyAre,
    /// Those of root: other ids mean nothing where programs run. What the tree has stays.
    AllRoot,
    /// As the guest has it. What is made belongs to root, whoever makes it: an ordinary user, who may do everything.
    MadeByRoot,
}

/// Answers the kernel.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) tree: SharedTree,
    pub(crate) root: InodeNumber,
    pub(crate) owners: Owners,
}

/// Ends the method with the error of the tree, if it is one.
macro_rules! answer {
    ($result:expr, $reply:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => return $reply.error(Errno::from_i32(error.raw_os_error())),
        }
    };
}

impl Server {
    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tree's number for the kernel's.
    fn number(&self, inode: INodeNo) -> InodeNumber {
        if inode.0 == ROOT { self.root } else { inode.0 }
    }

    fn attributes(&self, tree: &Tree, number: InodeNumber) -> scratch::Result<FileAttr> {
        let facts = tree.facts(number)?;
        let metadata = facts.metadata;
        let (uid, gid) = match self.owners {
            Owners::AllRoot => (0, 0),
            Owners::AsTheyAre | Owners::MadeByRoot => (metadata.uid, metadata.gid),
        };
        let (major, minor) = metadata.device.unwrap_or_default();
        let modified = system_time(metadata.modified);
        Ok(FileAttr {
            ino: INodeNo(facts.inode),
            size: metadata.size_bytes,
            blocks: facts.allocated_bytes / 512,
            atime: system_time(metadata.accessed),
            mtime: modified,
            ctime: system_time(metadata.changed),
            crtime: modified,
            kind: file_type(metadata.kind),
            perm: metadata.permissions,
            nlink: metadata.links,
            uid,
            gid,
            rdev: minor & 0xff | major << 8 | (minor & !0xff) << 12,
            blksize: 4096,
            flags: 0,
        })
    }

    fn owner(&self, request: &Request) -> Owner {
        match self.owners {
            Owners::AsTheyAre => Owner { uid: request.uid(), gid: request.gid() },
            Owners::AllRoot | Owners::MadeByRoot => Owner { uid: 0, gid: 0 },
        }
    }

    /// Makes a file and tells the kernel of it.
    fn make(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new: New,
        mode: (u32, u32),
    ) -> scratch::Result<FileAttr> {
        let mut tree = self.tree();
        let permissions = ((mode.0 & 0o7777) as u16, (mode.1 & 0o777) as u16);
        let (parent, owner) = (self.number(parent), self.owner(request));
        let number = tree.create(parent, name.as_bytes(), new, permissions, owner, now())?;
        tree.remember(number);
        self.attributes(&tree, number)
    }

    /// Calls `add` with the entries of a directory after `offset`: number, offset, kind, name; until it says that there
    /// is no more room.
    fn list(&self, directory: InodeNumber, offset: u64, add: Add<'_>) -> scratch::Result<()> {
        /// `.` and `..` come first.
        const DOTS: u64 = 2;
        let mut tree = self.tree();
        let parent = tree.parent(directory)?;
        for (at, (name, number)) in [(&b"."[..], directory), (b"..", parent)].into_iter().enumerate() {
            let at = at as u64 + 1;
            if offset < at && add(&mut tree, number, at, FileKind::Directory, name) {
                return Ok(());
            }
        }
        let mut after = offset.saturating_sub(DOTS);
        loop {
            // A few at a time: `add` needs the tree itself.
            let mut some = Vec::with_capacity(64);
            tree.read_directory(directory, after, &mut |number, name, inode, kind| {
                some.push((number, name.to_vec(), inode, kind));
                some.len() < 64
            })?;
            let is_last = some.len() < 64;
            for (number, name, inode, kind) in some {
                after = number;
                if add(&mut tree, inode, number + DOTS, kind, &name) {
                    return Ok(());
                }
            }
            if is_last {
                return Ok(());
            }
        }
    }
}

impl Filesystem for Server {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for wanted in [
            InitFlags::FUSE_BIG_WRITES,
            InitFlags::FUSE_MAX_PAGES,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_NO_OPEN_SUPPORT,
            InitFlags::FUSE_NO_OPENDIR_SUPPORT,
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_HANDLE_KILLPRIV_V2,
            InitFlags::FUSE_DONT_MASK,
            InitFlags::FUSE_HAS_IOCTL_DIR,
            InitFlags::FUSE_ASYNC_READ,
        ] {
            // A kernel without it works all the same, only slower.
            let _ = config.add_capabilities(wanted);
        }
        if self.owners != Owners::MadeByRoot {
            // The kernel decides by modes and ACLs then, even where it was not asked to.
            let _ = config.add_capabilities(InitFlags::FUSE_POSIX_ACL);
        }
        let _ = config.set_max_write(MAX_WRITE_BYTES);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut tree = self.tree();
        match tree.lookup(self.number(parent), name.as_bytes()) {
            Ok(number) => {
                let attributes = answer!(self.attributes(&tree, number), reply);
                tree.remember(number);
                reply.entry(&FOR_EVER, &attributes, Generation(0));
            }
            // The number 0 says that there is nothing, which the kernel can keep as well.
            Err(rustix::io::Errno::NOENT) => reply.entry(&FOR_EVER, &NOTHING, Generation(0)),
            Err(error) => reply.error(Errno::from_i32(error.raw_os_error())),
        }
    }

    fn forget(&self, _: &Request, inode: INodeNo, times: u64) {
        self.tree().forget(self.number(inode), times);
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let attributes = answer!(self.attributes(&self.tree(), self.number(inode)), reply);
        reply.attr(&FOR_EVER, &attributes);
    }

    fn setattr(
        &self,
        request: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size_bytes: Option<u64>,
        accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let now = now();
        let time = |time: TimeOrNow| match time {
            TimeOrNow::SpecificTime(time) => time_of(time),
            TimeOrNow::Now => now,
        };
        let settings = Settings {
            permissions: mode.map(|mode| (mode & 0o7777) as u16),
            uid,
            gid,
            size_bytes,
            accessed: accessed.map(time),
            modified: modified.map(time),
            drops_set_id: request.uid() != 0,
        };
        let mut tree = self.tree();
        let number = self.number(inode);
        answer!(tree.set(number, &settings, now), reply);
        let attributes = answer!(self.attributes(&tree, number), reply);
        reply.attr(&FOR_EVER, &attributes);
    }

    fn readlink(&self, _: &Request, inode: INodeNo, reply: ReplyData) {
        let target = answer!(self.tree().read_link(self.number(inode)), reply);
        reply.data(&target);
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        device: u32,
        reply: ReplyEntry,
    ) {
        const TYPE_MASK: u32 = 0o170_000;
        let numbers = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xfff00);
        let new = match mode & TYPE_MASK {
            0o100_000 => New::File,
            0o020_000 => New::Special(FileKind::CharDevice, Some(numbers)),
            0o060_000 => New::Special(FileKind::BlockDevice, Some(numbers)),
            0o010_000 => New::Special(FileKind::Fifo, None),
            0o140_000 => New::Special(FileKind::Socket, None),
            _ => return reply.error(Errno::EINVAL),
        };
        let attributes = answer!(self.make(request, parent, name, new, (mode, umask)), reply);
        reply.entry(&FOR_EVER, &attributes, Generation(0));
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let attributes = answer!(self.make(request, parent, name, New::Directory, (mode, umask)), reply);
        reply.entry(&FOR_EVER, &attributes, Generation(0));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(self.tree().unlink(self.number(parent), name.as_bytes(), now()), reply);
        reply.ok();
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(self.tree().remove_directory(self.number(parent), name.as_bytes(), now()), reply);
        reply.ok();
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let new = New::Symlink(target.as_os_str().as_bytes().to_vec());
        let attributes = answer!(self.make(request, parent, name, new, (0o777, 0)), reply);
        reply.entry(&FOR_EVER, &attributes, Generation(0));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let if_taken = match flags {
            flags if flags.is_empty() => IfTaken::Replace,
            RenameFlags::RENAME_NOREPLACE => IfTaken::Refuse,
            RenameFlags::RENAME_EXCHANGE => IfTaken::Exchange,
            _ => return reply.error(Errno::EINVAL),
        };
        let (from, to) = ((self.number(parent), name.as_bytes()), (self.number(new_parent), new_name.as_bytes()));
        answer!(self.tree().rename(from, to, if_taken, now()), reply);
        reply.ok();
    }

    fn link(&self, _: &Request, inode: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (number, parent) = (self.number(inode), self.number(parent));
        let mut tree = self.tree();
        answer!(tree.link(number, parent, name.as_bytes(), now()), reply);
        tree.remember(number);
        let attributes = answer!(self.attributes(&tree, number), reply);
        reply.entry(&FOR_EVER, &attributes, Generation(0));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut buffer = vec![0; size as usize];
        let read = answer!(self.tree().read(self.number(inode), offset, &mut buffer), reply);
        reply.data(&buffer[..read]);
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let drops_set_id = flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID);
        answer!(self.tree().write(self.number(inode), offset, data, drops_set_id, now()), reply);
        reply.written(data.len() as u32);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        // The kernel takes it for done, and does not ask again.
        reply.error(Errno::ENOSYS);
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn readdir(&self, _: &Request, inode: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        answer!(
            self.list(self.number(inode), offset, &mut |_, number, offset, kind, name| {
                reply.add(INodeNo(number), offset, file_type(kind), OsStr::from_bytes(name))
            }),
            reply
        );
        reply.ok();
    }

    fn readdirplus(&self, _: &Request, inode: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectoryPlus) {
        let directory = self.number(inode);
        answer!(
            self.list(directory, offset, &mut |tree, number, offset, _, name| {
                let is_dot = matches!(name, b"." | b"..");
                if !is_dot && tree.lookup(directory, name).is_err() {
                    // It cannot be read, and is found to be so when somebody looks at it.
                    return false;
                }
                let Ok(attributes) = self.attributes(tree, number) else { return false };
                let is_full =
                    reply.add(INodeNo(number), offset, OsStr::from_bytes(name), &FOR_EVER, &attributes, Generation(0));
                if !is_full && !is_dot {
                    tree.remember(number);
                }
                is_full
            }),
            reply
        );
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let space = self.tree().space();
        let block_size = space.block_size_bytes as u32;
        let (free, inodes) = (space.free_blocks, space.free_inodes);
        reply.statfs(space.blocks, free, free, inodes.saturating_add(inodes), inodes, block_size, 255, block_size);
    }

    fn setxattr(&self, _: &Request, inode: INodeNo, name: &OsStr, value: &[u8], flags: i32, _: u32, reply: ReplyEmpty) {
        let (number, name) = (self.number(inode), name.as_bytes());
        let mut tree = self.tree();
        let is_there = answer!(tree.xattrs(number), reply).contains_key(name);
        match flags {
            XATTR_CREATE if is_there => return reply.error(Errno::EEXIST),
            XATTR_REPLACE if !is_there => {
                return reply.error(Errno::from_i32(rustix::io::Errno::NODATA.raw_os_error()));
            }
            _ => {}
        }
        answer!(tree.set_xattr(number, name, value, now()), reply);
        reply.ok();
    }

    fn getxattr(&self, _: &Request, inode: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let mut tree = self.tree();
        let xattrs = answer!(tree.xattrs(self.number(inode)), reply);
        match xattrs.get(name.as_bytes()) {
            Some(value) => give(value, size, reply),
            None => reply.error(Errno::from_i32(rustix::io::Errno::NODATA.raw_os_error())),
        }
    }

    fn listxattr(&self, _: &Request, inode: INodeNo, size: u32, reply: ReplyXattr) {
        let mut tree = self.tree();
        let xattrs = answer!(tree.xattrs(self.number(inode)), reply);
        let names: Vec<u8> = xattrs.keys().flat_map(|name| name.iter().copied().chain([0])).collect();
        give(&names, size, reply);
    }

    fn removexattr(&self, _: &Request, inode: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(self.tree().remove_xattr(self.number(inode), name.as_bytes(), now()), reply);
        reply.ok();
    }

    fn ioctl(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        command: u32,
        data: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        let number = self.number(inode);
        let mut tree = self.tree();
        match (command, data.first_chunk()) {
            (FS_IOC_GETFLAGS, _) => {
                let flags = answer!(tree.flags(number), reply);
                reply.ioctl(0, &flags.to_ne_bytes());
            }
            (FS_IOC_FSGETXATTR, _) => {
                let flags = answer!(tree.flags(number), reply);
                let extended =
                    EXTENDED_FLAGS.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, flag)| flag).sum::<u32>();
                let mut answer = [0; FSXATTR_BYTES];
                answer[..4].copy_from_slice(&extended.to_ne_bytes());
                reply.ioctl(0, &answer);
            }
            (FS_IOC_SETFLAGS, Some(flags)) => {
                answer!(tree.set_flags(number, u32::from_ne_bytes(*flags), now()), reply);
                reply.ioctl(0, &[]);
            }
            _ => reply.error(Errno::ENOTTY),
        }
    }

    fn fallocate(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let Some(end) = offset.checked_add(length) else { return reply.error(Errno::EFBIG) };
        let (number, bytes, grows) = (self.number(inode), offset..end, mode & KEEP_SIZE == 0);
        let mut tree = self.tree();
        let done = match mode & !KEEP_SIZE {
            0 => tree.allocate(number, bytes, grows, now()),
            PUNCH_HOLE if !grows => tree.punch(number, bytes, false, now()),
            ZERO_RANGE => tree.punch(number, bytes, grows, now()),
            _ => Err(rustix::io::Errno::OPNOTSUPP),
        };
        answer!(done, reply);
        reply.ok();
    }

    fn lseek(&self, _: &Request, inode: INodeNo, _: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        let Ok(offset) = u64::try_from(offset) else { return reply.error(Errno::ENXIO) };
        let number = self.number(inode);
        let found = match whence {
            SEEK_DATA => self.tree().seek(number, offset, true),
            SEEK_HOLE => self.tree().seek(number, offset, false),
            _ => Err(rustix::io::Errno::INVAL),
        };
        let found = answer!(found, reply);
        reply.offset(found.cast_signed());
    }
}

/// Gives an attribute to a caller who has room for `size` bytes, or asks how many there are.
fn give(value: &[u8], size: u32, reply: ReplyXattr) {
    match size {
        0 => reply.size(value.len() as u32),
        _ if value.len() > size as usize => reply.error(Errno::ERANGE),
        _ => reply.data(value),
    }
}

/// What the kernel is told of a name that nothing has.
const NOTHING: FileAttr = FileAttr {
    ino: INodeNo(0),
    size: 0,
    blocks: 0,
    atime: SystemTime::UNIX_EPOCH,
    mtime: SystemTime::UNIX_EPOCH,
    ctime: SystemTime::UNIX_EPOCH,
    crtime: SystemTime::UNIX_EPOCH,
    kind: FileType::RegularFile,
    perm: 0,
    nlink: 0,
    uid: 0,
    gid: 0,
    rdev: 0,
    blksize: 0,
    flags: 0,
};

#[expect(clippy::disallowed_methods, reason = "a file system has the time of its kernel")]
pub(crate) fn now() -> Time {
    time_of(SystemTime::now())
}

fn time_of(time: SystemTime) -> Time {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => Time { seconds: since.as_secs().cast_signed(), nanoseconds: since.subsec_nanos() },
        Err(error) => {
            let before = error.duration();
            let (seconds, nanoseconds) = (before.as_secs().cast_signed(), before.subsec_nanos());
            match nanoseconds {
                0 => Time { seconds: -seconds, nanoseconds: 0 },
                _ => Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
            }
        }
    }
}

fn system_time(time: Time) -> SystemTime {
    let seconds = Duration::from_secs(time.seconds.unsigned_abs());
    let whole = if time.seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(seconds)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    };
    let nanoseconds = Duration::from_nanos(u64::from(time.nanoseconds));
    whole.and_then(|whole| whole.checked_add(nanoseconds)).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::Regular => FileType::RegularFile,
        FileKind::Directory => FileType::Directory,
        FileKind::Symlink => FileType::Symlink,
        FileKind::CharDevice => FileType::CharDevice,
        FileKind::BlockDevice => FileType::BlockDevice,
        FileKind::Fifo => FileType::NamedPipe,
        FileKind::Socket => FileType::Socket,
    }
}
