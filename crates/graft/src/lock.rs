//! An image that is in use: QEMU's locks, which are taken and respected.
//!
//! QEMU tells other processes by locks on single bytes of an image's file what it does with the image (byte 100
//! plus the number of a permission) and what it lets nobody else do (byte 200 plus that). Each of them is a shared
//! lock of the open file description, so that several can have it; a process that wants something looks for locks that
//! speak against it, after taking its own. We do the same with the same bytes.

use std::fs::File;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use thiserror::Error;

/// Permissions, by QEMU's numbers.
const CONSISTENT_READ: i64 = 0;
const WRITE: i64 = 1;
const WRITE_UNCHANGED: i64 = 2;
const RESIZE: i64 = 3;

/// The byte that says that permission 0 is used.
const USED_BASE: i64 = 100;
/// The byte that says that permission 0 is left to nobody else.
const UNSHARED_BASE: i64 = 200;

/// What an image is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It is read, and must not change meanwhile.
    Read,
    /// It changes.
    Change,
}

/// Why an image cannot be used: what another process does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InUse {
    /// It writes to the image.
    #[error("another process, QEMU perhaps, writes to it")]
    Writes,
    /// It lets nobody else write to the image.
    #[error("another process, QEMU perhaps, has it open and lets nobody change it")]
    Uses,
    /// It lets nobody else read the image.
    #[error("another process, QEMU perhaps, has it open and lets nobody read it")]
    Owns,
}

impl Purpose {
    /// What is done.
    fn used(self) -> &'static [i64] {
        match self {
            Self::Read => &[CONSISTENT_READ],
            Self::Change => &[CONSISTENT_READ, WRITE, RESIZE],
        }
    }

    /// What nobody else may do.
    fn unshared(self) -> &'static [i64] {
        match self {
            // To write what is there already changes nothing for who reads.
            Self::Read => &[WRITE, RESIZE],
            Self::Change => &[WRITE, WRITE_UNCHANGED, RESIZE],
        }
    }

    fn bytes(self) -> impl Iterator<Item = i64> {
        let used = self.used().iter().map(|permission| USED_BASE + permission);
        used.chain(self.unshared().iter().map(|permission| UNSHARED_BASE + permission))
    }
}

/// Locks `file`, which must be open for reading, as long as it or a clone of it is open. Where the file system has
/// no such locks, nothing is locked and nothing is found, as QEMU does it.
///
/// # Errors
///
/// Where another process's locks speak against the purpose; then there are no locks of ours.
pub(crate) fn lock(file: &File, purpose: Purpose) -> Result<(), InUse> {
    let locked = try_lock(file, purpose);
    if locked.is_err() {
        for byte in purpose.bytes() {
            // It is gone with the file at the latest.
            let _ = fcntl(file, FcntlArg::F_OFD_SETLK(&range(byte, libc::F_UNLCK)));
        }
    }
    locked
}

fn try_lock(file: &File, purpose: Purpose) -> Result<(), InUse> {
    // First ours, then a look at theirs: of two that do so at once, at least one finds the other.
    for byte in purpose.bytes() {
        match fcntl(file, FcntlArg::F_OFD_SETLK(&range(byte, libc::F_RDLCK))) {
            Ok(_) => {}
            // An exclusive lock, which QEMU never takes.
            Err(Errno::EAGAIN | Errno::EACCES) => return Err(InUse::Owns),
            Err(_) => return Ok(()),
        }
    }
    if purpose.unshared().iter().any(|permission| is_locked(file, USED_BASE + permission)) {
        return Err(InUse::Writes);
    }
    match purpose.used().iter().find(|permission| is_locked(file, UNSHARED_BASE + *permission)) {
        Some(&CONSISTENT_READ) => Err(InUse::Owns),
        Some(_) => Err(InUse::Uses),
        None => Ok(()),
    }
}

/// Whether somebody else has a lock on a byte.
fn is_locked(file: &File, byte: i64) -> bool {
    // The question is whether there is any, which an exclusive lock would meet.
    let mut range = range(byte, libc::F_WRLCK);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut range)).is_ok() && i32::from(range.l_type) != libc::F_UNLCK
}

fn range(byte: i64, kind: i32) -> libc::flock {
    libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: byte, l_len: 1, l_pid: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same file, opened twice: two processes to the kernel.
    fn opened_twice() -> (File, File) {
        let file = tempfile::NamedTempFile::new().unwrap();
        (file.reopen().unwrap(), file.reopen().unwrap())
    }

    #[test]
    fn readers_do_not_mind_each_other() {
        let (one, other) = opened_twice();
        assert_eq!(lock(&one, Purpose::Read), Ok(()));
        assert_eq!(lock(&other, Purpose::Read), Ok(()));
    }

    #[test]
    fn who_changes_is_alone() {
        for (first, second, in_use) in [
            (Purpose::Change, Purpose::Change, InUse::Writes),
            (Purpose::Read, Purpose::Change, InUse::Uses),
            (Purpose::Change, Purpose::Read, InUse::Writes),
        ] {
            let (one, other) = opened_twice();
            assert_eq!(lock(&one, first), Ok(()));
            assert_eq!(lock(&other, second), Err(in_use));
            // A try leaves nothing behind, and the end of the first ends its locks.
            drop(one);
            assert_eq!(lock(&other, second), Ok(()));
        }
    }

    #[test]
    fn a_try_that_failed_keeps_nobody_out() {
        let (one, other) = opened_twice();
        assert_eq!(lock(&one, Purpose::Read), Ok(()));
        assert_eq!(lock(&other, Purpose::Change), Err(InUse::Uses));
        assert_eq!(lock(&one, Purpose::Read), Ok(()));
    }
}
