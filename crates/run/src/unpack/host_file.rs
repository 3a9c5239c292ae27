//! A file of the host: what is seen of it, its attributes and flags.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use guest::{FileKind, Time};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use scratch::Xattrs;

/// The longest list of attributes, and the longest attribute, that Linux has, in bytes.
const XATTR_MAX_BYTES: usize = 64 << 10;

/// What tells a file of the host from all others, whatever its names are. The number of a file that was removed can be
/// that of a new one; the time at which it was made is another then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    made: Option<SystemTime>,
}

/// What changes when anything of a file is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) size_bytes: u64,
    pub(super) modified: Time,
    pub(super) changed: Time,
}

/// What is seen of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) identity: Identity,
    pub(super) kind: FileKind,
    pub(super) permissions: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) links: u64,
    pub(super) device: Option<(u32, u32)>,
    pub(super) state: State,
}

/// Looks at a file itself, not at what a symlink leads to.
pub(super) fn look(path: &Path) -> io::Result<Seen> {
    let found = fs::symlink_metadata(path)?;
    let kind = match found.mode() & 0o170_000 {
        0o040_000 => FileKind::Directory,
        0o120_000 => FileKind::Symlink,
        0o020_000 => FileKind::CharDevice,
        0o060_000 => FileKind::BlockDevice,
        0o010_000 => FileKind::Fifo,
        0o140_000 => FileKind::Socket,
        _ => FileKind::Regular,
    };
    let is_device = matches!(kind, FileKind::CharDevice | FileKind::BlockDevice);
    let device = is_device.then(|| (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev())));
    let time = |seconds, nanoseconds: i64| Time { seconds, nanoseconds: nanoseconds.clamp(0, 999_999_999) as u32 };
    Ok(Seen {
        identity: Identity { device: found.dev(), inode: found.ino(), made: found.created().ok() },
        kind,
        permissions: (found.mode() & 0o7777) as u16,
        uid: found.uid(),
        gid: found.gid(),
        links: found.nlink(),
        device,
        state: State {
            size_bytes: found.size(),
            modified: time(found.mtime(), found.mtime_nsec()),
            changed: time(found.ctime(), found.ctime_nsec()),
        },
    })
}

/// Makes a device, FIFO or socket.
pub(super) fn make_special(path: &Path, kind: FileKind, device: Option<(u32, u32)>) -> io::Result<()> {
    let file_type = match kind {
        FileKind::CharDevice => FileType::CharacterDevice,
        FileKind::BlockDevice => FileType::BlockDevice,
        FileKind::Fifo => FileType::Fifo,
        _ => FileType::Socket,
    };
    let (major, minor) = device.unwrap_or_default();
    Ok(rustix::fs::mknodat(CWD, path, file_type, Mode::from_raw_mode(0o600), rustix::fs::makedev(major, minor))?)
}

/// The attributes of a file that a guest may have: none that are the kernel's own or the host's alone.
pub(super) fn xattrs(path: &Path) -> io::Result<Xattrs> {
    let mut xattrs = Xattrs::new();
    let mut list = vec![MaybeUninit::uninit(); XATTR_MAX_BYTES];
    let names = match rustix::fs::llistxattr(path, &mut list[..]) {
        Ok((names, _)) => names.to_vec(),
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(xattrs),
        Err(error) => return Err(error.into()),
    };
    for name in names.split(|&byte| byte == 0).filter(|name| !name.is_empty() && !is_the_hosts(name)) {
        let mut value = vec![MaybeUninit::uninit(); XATTR_MAX_BYTES];
        let (value, _) = rustix::fs::lgetxattr(path, name, &mut value[..])?;
        xattrs.insert(name.to_vec(), value.to_vec());
    }
    Ok(xattrs)
}

/// Whether an attribute in the folder says nothing about the guest: overlays have some of their own in `trusted.`, and
/// other file systems in `system.`.
fn is_the_hosts(name: &[u8]) -> bool {
    name.starts_with(b"trusted.") || name.starts_with(b"system.") && !name.starts_with(b"system.posix_acl_")
}

/// Whether an attribute may stay in the tree alone: programs of the guest could not copy it either.
pub(super) fn may_stay_beside(name: &[u8]) -> bool {
    name.starts_with(b"trusted.") || name.starts_with(b"security.") && name != b"security.capability"
}

/// The flags of a regular file or a directory that `lsattr` shows, where its file system has any.
pub(super) fn flags(path: &Path) -> Option<u32> {
    let opened = rustix::fs::open(path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).ok()?;
    rustix::fs::ioctl_getflags(&opened).ok().map(|flags| flags.bits())
}

/// A name as it is in a path of the host.
pub(super) fn name(bytes: &[u8]) -> &std::ffi::OsStr {
    std::ffi::OsStr::from_bytes(bytes)
}
