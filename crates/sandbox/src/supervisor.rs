//! Calls that a sandbox with a single id cannot carry out itself: looked at, and recorded by the caller.
//!
//! The kernel lets a namespace with one id give a file to no other one, make no device and set no `trusted.…` attribute.
//! The filter has these calls wait. This process, which is in all of the sandbox's namespaces but that of processes,
//! reads what the call says, finds the file as the program would, and passes its number on.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2};
use rustix::io::Errno;
use sandbox_sys::Notification;

use crate::doors::Call;
use crate::owners::Wish;

/// The longest path that the kernel takes.
const MAX_PATH_BYTES: usize = 4096;
/// The largest value of an extended attribute, and the longest name.
const MAX_VALUE_BYTES: u64 = 65536;
const MAX_NAME_BYTES: usize = 256;

/// `AT_FDCWD`, as the lower half of an argument.
const AT_FDCWD: u32 = -100_i32 as u32;

const AT_SYMLINK_NOFOLLOW: u64 = 0x100;
const AT_EMPTY_PATH: u64 = 0x1000;

const TYPE: u32 = 0o170_000;
const CHARACTER_DEVICE: u32 = 0o020_000;
const BLOCK_DEVICE: u32 = 0o060_000;

/// What is answered: nothing (the kernel does it, or refuses it by itself), or that it was done, or an error.
type Answer = Option<Result<i64, Errno>>;

/// The way to programs that wait.
#[derive(Debug)]
pub(crate) struct Supervisor {
    /// The listener of the sandbox's filter.
    pub(crate) listener: OwnedFd,
    /// The host's `/proc`.
    pub(crate) proc: OwnedFd,
    /// The devices of the FUSE file systems, by index.
    pub(crate) devices: Vec<u64>,
}

impl Supervisor {
    /// Answers one call.
    pub(crate) fn attend(&self, ask: &mut dyn FnMut(Wish) -> Result<(), i32>) {
        // The program may have been killed meanwhile: nobody waits then.
        let Ok(notification) = sandbox_sys::receive(self.listener.as_fd()) else { return };
        let answer = match self.decide(&notification, ask) {
            Ok(answer) => answer.map(|answer| answer.map_err(Errno::raw_os_error)),
            Err(number) => Some(Err(number)),
        };
        let _ = sandbox_sys::answer(self.listener.as_fd(), notification.id, answer);
    }

    fn decide(&self, call: &Notification, ask: &mut dyn FnMut(Wish) -> Result<(), i32>) -> Result<Answer, i32> {
        let wish = match self.wish(call) {
            Ok(Wanted::Record(wish)) => wish,
            Ok(Wanted::Kernel) => return Ok(None),
            Ok(Wanted::Nothing) => return Ok(Some(Ok(0))),
            Err(error) => return Ok(Some(Err(error))),
        };
        // What was read is the caller's only if it still waits: its number may be another process's by now.
        if !sandbox_sys::is_waiting(self.listener.as_fd(), call.id) {
            return Ok(Some(Err(Errno::INTR)));
        }
        ask(wish).map(|()| Some(Ok(0)))
    }

    /// What a call wants.
    fn wish(&self, call: &Notification) -> Result<Wanted, Errno> {
        let at = call.arguments;
        let number = u32::try_from(call.number).map_err(|_| Errno::NOSYS)?;
        match Call::of(call.architecture, number).ok_or(Errno::NOSYS)? {
            Call::Chown => self.chown(call, AT_FDCWD, at[0], 0, [at[1], at[2]]),
            Call::Lchown => self.chown(call, AT_FDCWD, at[0], AT_SYMLINK_NOFOLLOW, [at[1], at[2]]),
            Call::Fchown => {
                let file = self.descriptor(call, at[0] as u32)?;
                self.give(&fstat(&file)?, [at[1], at[2]])
            }
            Call::Fchownat => self.chown(call, at[0] as u32, at[1], at[4], [at[2], at[3]]),
            Call::Mknod => self.make_node(call, AT_FDCWD, at[0], at[1], at[2]),
            Call::Mknodat => self.make_node(call, at[0] as u32, at[1], at[2], at[3]),
            Call::Setxattr => self.set_xattr(call, true),
            Call::Lsetxattr => self.set_xattr(call, false),
            Call::Fsetxattr => self.set_xattr_of(call, |this| this.descriptor(call, at[0] as u32)),
            // Nobody has further groups here: to have none is what a program gets.
            Call::Setgroups if at[0] == 0 => Ok(Wanted::Nothing),
            Call::Setgroups => Ok(Wanted::Kernel),
        }
    }

    fn chown(&self, call: &Notification, at: u32, path: u64, flags: u64, ids: [u64; 2]) -> Result<Wanted, Errno> {
        let path = self.text(call, path, MAX_PATH_BYTES)?;
        let file = match (path.is_empty(), flags & AT_EMPTY_PATH != 0) {
            (true, true) => self.folder(call, at)?,
            (true, false) => return Err(Errno::NOENT),
            (false, _) => self.file(call, at, &path, flags & AT_SYMLINK_NOFOLLOW == 0)?,
        };
        self.give(&fstat(&file)?, ids)
    }

    /// A file's new owner. The ids are the lower halves of the arguments; all bits set leaves one as it is.
    fn give(&self, file: &Stat, ids: [u64; 2]) -> Result<Wanted, Errno> {
        let Some(mount) = self.mount_of(file) else { return Ok(Wanted::Kernel) };
        let [uid, gid] = ids.map(|id| Some(id as u32).filter(|&id| id != u32::MAX));
        Ok(Wanted::Record(Wish::Chown { mount, inode: file.st_ino, uid, gid }))
    }

    fn make_node(&self, call: &Notification, at: u32, path: u64, mode: u64, device: u64) -> Result<Wanted, Errno> {
        let mode = mode as u32;
        if ![CHARACTER_DEVICE, BLOCK_DEVICE].contains(&(mode & TYPE)) {
            return Ok(Wanted::Kernel);
        }
        let path = self.text(call, path, MAX_PATH_BYTES)?;
        let end = path.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
        let slash = path[..end].iter().rposition(|&byte| byte == b'/');
        let (folder, name) = match slash {
            Some(0) => (&b"/"[..], &path[1..end]),
            Some(slash) => (&path[..slash], &path[slash + 1..end]),
            None => (&b"."[..], &path[..end]),
        };
        if [&b""[..], b".", b".."].contains(&name) {
            return Err(Errno::EXIST);
        }
        let folder = self.file(call, at, folder, true)?;
        match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            Ok(_) => return Err(Errno::EXIST),
            Err(error) => return Err(error),
        }
        let status = fstat(&folder)?;
        let Some(mount) = self.mount_of(&status) else { return Ok(Wanted::Kernel) };
        let umask = self.umask(call)?;
        let mode = mode & TYPE | mode & 0o7777 & !umask;
        let name = OsStr::from_bytes(name).to_owned();
        Ok(Wanted::Record(Wish::MakeNode { mount, directory: status.st_ino, name, mode, device }))
    }

    fn set_xattr(&self, call: &Notification, follows: bool) -> Result<Wanted, Errno> {
        self.set_xattr_of(call, |this| {
            let path = this.text(call, call.arguments[0], MAX_PATH_BYTES)?;
            this.file(call, AT_FDCWD, &path, follows)
        })
    }

    fn set_xattr_of(
        &self,
        call: &Notification,
        file: impl FnOnce(&Self) -> Result<OwnedFd, Errno>,
    ) -> Result<Wanted, Errno> {
        let [_, name, value, size, ..] = call.arguments;
        let name = self.text(call, name, MAX_NAME_BYTES)?;
        if !name.starts_with(b"trusted.") {
            return Ok(Wanted::Kernel);
        }
        let status = fstat(&file(self)?)?;
        let Some(mount) = self.mount_of(&status) else { return Ok(Wanted::Kernel) };
        if size > MAX_VALUE_BYTES {
            return Err(Errno::TOOBIG);
        }
        let value = self.memory(call, value, size as usize)?;
        let name = OsString::from_vec(name);
        Ok(Wanted::Record(Wish::SetXattr { mount, inode: status.st_ino, name, value }))
    }

    fn mount_of(&self, file: &Stat) -> Option<usize> {
        self.devices.iter().position(|&device| device == file.st_dev)
    }

    /// The file at a path, as the program would find it.
    fn file(&self, call: &Notification, at: u32, path: &[u8], follows: bool) -> Result<OwnedFd, Errno> {
        let mut flags = OFlags::PATH | OFlags::CLOEXEC;
        flags.set(OFlags::NOFOLLOW, !follows);
        let root = self.open(call, "root", OFlags::PATH | OFlags::DIRECTORY)?;
        let is_absolute = path.starts_with(b"/");
        if is_same(&fstat(&root)?, &rustix::fs::stat("/")?) {
            // This process has the same root: what a link says is the same for it.
            return match is_absolute {
                true => openat(CWD, path, flags, Mode::empty()),
                false => openat(self.folder(call, at)?, path, flags, Mode::empty()),
            };
        }
        // A program that changed its root.
        match is_absolute {
            true => openat2(&root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT),
            false => openat2(self.folder(call, at)?, path, flags, Mode::empty(), ResolveFlags::BENEATH),
        }
    }

    fn folder(&self, call: &Notification, at: u32) -> Result<OwnedFd, Errno> {
        if at == AT_FDCWD { self.open(call, "cwd", OFlags::PATH) } else { self.descriptor(call, at) }
    }

    fn descriptor(&self, call: &Notification, number: u32) -> Result<OwnedFd, Errno> {
        self.open(call, &format!("fd/{number}"), OFlags::PATH).map_err(|error| match error {
            Errno::NOENT => Errno::BADF,
            error => error,
        })
    }

    /// Something of `/proc` about the caller.
    fn open(&self, call: &Notification, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        openat(&self.proc, format!("{}/{name}", call.process), flags | OFlags::CLOEXEC, Mode::empty())
    }

    /// So many bytes of the caller's memory.
    fn memory(&self, call: &Notification, address: u64, length: usize) -> Result<Vec<u8>, Errno> {
        let memory = self.open(call, "mem", OFlags::RDONLY)?;
        let mut bytes = vec![0; length];
        let mut read = 0;
        while read < length {
            match rustix::io::pread(&memory, &mut bytes[read..], address.saturating_add(read as u64)) {
                Ok(0) | Err(Errno::IO) => return Err(Errno::FAULT),
                Ok(more) => read += more,
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }

    /// A text of the caller's memory, without the zero at its end.
    fn text(&self, call: &Notification, address: u64, most: usize) -> Result<Vec<u8>, Errno> {
        /// Memory may end after any page: no read goes over the end of one.
        const PAGE_BYTES: u64 = 4096;
        let memory = self.open(call, "mem", OFlags::RDONLY)?;
        let mut text = Vec::new();
        let mut address = address;
        while text.len() < most {
            let mut bytes = vec![0; (PAGE_BYTES - address % PAGE_BYTES) as usize];
            let read = rustix::io::pread(&memory, &mut bytes[..], address).map_err(|_| Errno::FAULT)?;
            let part = &bytes[..read];
            if let Some(end) = part.iter().position(|&byte| byte == 0) {
                text.extend_from_slice(&part[..end]);
                return if text.len() < most { Ok(text) } else { Err(Errno::NAMETOOLONG) };
            }
            if read == 0 {
                return Err(Errno::FAULT);
            }
            text.extend_from_slice(part);
            address = address.saturating_add(read as u64);
        }
        Err(Errno::NAMETOOLONG)
    }

    fn umask(&self, call: &Notification) -> Result<u32, Errno> {
        let status = self.open(call, "status", OFlags::RDONLY)?;
        let mut bytes = vec![0; 4096];
        let read = rustix::io::read(&status, &mut bytes[..])?;
        let text = String::from_utf8_lossy(&bytes[..read]);
        let digits = text.lines().find_map(|line| line.strip_prefix("Umask:"));
        digits.and_then(|digits| u32::from_str_radix(digits.trim(), 8).ok()).ok_or(Errno::IO)
    }
}

enum Wanted {
    Record(Wish),
    /// The kernel does it, or says why not.
    Kernel,
    /// It is so already.
    Nothing,
}

fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}
