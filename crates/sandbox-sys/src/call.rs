//! The calls themselves: all that is unsafe in imgraft.

#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::Instruction;

/// Which of the two processes this is after a fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forked {
    /// The new one.
    Child,
    /// The one that was there, with the number of the new one.
    Parent(i32),
}

/// Makes a second process out of this one.
///
/// # Errors
///
/// That of fork(2); or this process has more than one thread, whose locks would stay locked in the new one.
pub fn fork() -> io::Result<Forked> {
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("a process with several threads is not forked"));
    }
    // SAFETY: this is the only thread, so nobody holds a lock or is in the middle of a change that the child would see.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        child => Ok(Forked::Parent(child)),
    }
}

/// Has all signals do what they do by default, and blocks none: what a program expects at its start. (Rust ignores
/// SIGPIPE, and a program inherits that.)
pub fn reset_signals() {
    for signal in 1..=64 {
        // SAFETY: the default action runs no code of this process. The two signals that cannot be set, and those of
        // the C library, are refused with an error, which changes nothing.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: `set` is a plain structure that `sigemptyset` fills in whole before `sigprocmask` reads it.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Keeps a program that is started from all open descriptors but the first three.
///
/// # Errors
///
/// `/proc/self/fd` cannot be read.
pub fn close_all_on_exec() -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let number: Option<RawFd> = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(number) = number.filter(|&number| number > 2) else { continue };
        // SAFETY: the flag of a descriptor decides only what a program that is started gets. Nothing is closed here.
        // A number that is not open any more (that of the folder being read) is refused with an error.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

/// Has the kernel ask `filter` at each system call of this process and of its descendants from now on.
///
/// # Errors
///
/// That of seccomp(2): EACCES without CAP_SYS_ADMIN in the user namespace unless `no_new_privs` is set, EINVAL for a
/// filter that the kernel does not accept.
pub fn install(filter: &[Instruction]) -> io::Result<()> {
    load(filter, 0).map(drop)
}

/// [`install`] for a filter with [`Verdict::Ask`](crate::Verdict::Ask): returns the listener.
///
/// # Errors
///
/// Those of [`install`]; EBUSY if a filter with a listener is there already.
pub fn install_with_listener(filter: &[Instruction]) -> io::Result<OwnedFd> {
    let number = load(filter, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
    // SAFETY: with this flag the kernel returns a new descriptor, which nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn load(filter: &[Instruction], flags: libc::c_ulong) -> io::Result<RawFd> {
    let instruction = |each: &Instruction| libc::sock_filter {
        code: each.code,
        jt: each.if_true,
        jf: each.if_false,
        k: each.operand,
    };
    let mut instructions: Vec<_> = filter.iter().map(instruction).collect();
    let len = u16::try_from(instructions.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let program = libc::sock_fprog { len, filter: instructions.as_mut_ptr() };
    // SAFETY: `program` points to `len` instructions that live until after the call. The kernel copies and checks
    // them, and keeps no pointer.
    let said = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    RawFd::try_from(said).ok().filter(|&number| number >= 0).ok_or_else(io::Error::last_os_error)
}

/// A system call that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification {
    /// What the answer has to name.
    pub id: u64,
    /// The caller, as this process's pid namespace numbers it; 0 if it does not see it.
    pub process: u32,
    /// The call's architecture, as `AUDIT_ARCH_…`.
    pub architecture: u32,
    /// The call's number.
    pub number: i32,
    /// Its arguments.
    pub arguments: [u64; 6],
}

/// Waits for the next call that asks.
///
/// # Errors
///
/// ENOENT if the caller was killed meanwhile: there is nothing to answer; others of ioctl(2).
pub fn receive(listener: BorrowedFd<'_>) -> io::Result<Notification> {
    // SAFETY: all zeros is a value of this plain structure, and what the kernel wants to find.
    let mut notification: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one `seccomp_notif`, which is what the pointer is to.
    let said = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut notification) };
    if said < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Notification {
        id: notification.id,
        process: notification.pid,
        architecture: notification.data.arch,
        number: notification.data.nr,
        arguments: notification.data.args,
    })
}

/// Whether a call still waits: a number of a process that was read before this says yes is that of the caller.
pub fn is_waiting(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: the kernel reads one `u64`, which is what the pointer is to.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id) == 0 }
}

/// Answers a call: with the value that it returns, with an error number, or with `None`: the kernel carries it out
/// after all.
///
/// # Errors
///
/// ENOENT if the caller was killed meanwhile; others of ioctl(2).
pub fn answer(listener: BorrowedFd<'_>, id: u64, answer: Option<Result<i64, i32>>) -> io::Result<()> {
    let response = match answer {
        None => libc::seccomp_notif_resp { id, val: 0, error: 0, flags: CONTINUE },
        Some(Ok(val)) => libc::seccomp_notif_resp { id, val, error: 0, flags: 0 },
        Some(Err(number)) => libc::seccomp_notif_resp { id, val: 0, error: -number, flags: 0 },
    };
    // SAFETY: the kernel reads one `seccomp_notif_resp`, which is what the pointer is to.
    let said = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const response) };
    if said < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`.
const CONTINUE: u32 = 1;
