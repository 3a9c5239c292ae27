//! What this program and its helper process say to each other: JSON texts over a socket, each after its length, some
//! with a descriptor.

use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The longest text that is accepted. The helper is of this program; the bound is against a bug.
const MAX_TEXT_BYTES: usize = 1 << 30;

/// What the helper is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) directory: OsString,
    pub(crate) root: PlannedRoot,
    pub(crate) is_chroot: bool,
    pub(crate) files: Vec<PlannedFile>,
    pub(crate) network: bool,
    pub(crate) hostname: String,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) processes: Option<u64>,
    /// Whether a cgroup holds the limit of memory, so that none is needed for each process.
    pub(crate) has_cgroup: bool,
    /// Whether the guest's ids other than 0 do not exist.
    pub(crate) is_single: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum PlannedRoot {
    Fuse(Vec<OsString>),
    Folder(OsString),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PlannedFile {
    pub(crate) path: OsString,
    pub(crate) content: Vec<u8>,
    pub(crate) is_executable: bool,
}

/// What the helper is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    Plan(Box<Plan>),
    /// The ids are mapped.
    Mapped,
    /// Make the first process of the sandbox.
    Fork,
    /// Start the command.
    Go,
    /// Kill it.
    Stop,
    /// The answer to a [`Report::Owner`]: an error number, or the owner that was asked for.
    Recorded(Result<Option<[u32; 2]>, i32>),
}

/// What the helper tells.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// It has its namespaces, and needs ids.
    Unshared,
    /// The descriptor of this FUSE file system is attached.
    Fuse(usize),
    /// Everything is mounted.
    Ready,
    /// The first process of the sandbox, as the host numbers it. It waits for [`Order::Go`].
    Started(i32),
    /// The command ended by itself.
    Exited(i32),
    /// A signal ended the command.
    Signalled(i32),
    /// No process is left.
    Gone,
    /// It cannot go on.
    Failed(Fault),
    /// A program wants something that a single id cannot have.
    Owner(crate::owners::Wish),
}

/// Why the helper cannot go on. The numbers are error numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fault {
    Namespaces(i32),
    Fuse(i32),
    Mount { what: String, number: i32 },
    NoPlace(OsString),
    Folder { folder: OsString, number: i32 },
    Program { program: OsString, number: i32 },
    Host { what: String, number: i32 },
}

impl Fault {
    pub(crate) fn host(what: impl Into<String>, error: impl Into<io::Error>) -> Self {
        Self::Host { what: what.into(), number: number_of(&error.into()) }
    }

    pub(crate) fn mount(what: impl Into<String>, error: impl Into<io::Error>) -> Self {
        Self::Mount { what: what.into(), number: number_of(&error.into()) }
    }
}

/// The error's number, or EIO's.
pub(crate) fn number_of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(rustix::io::Errno::IO.raw_os_error())
}

/// Sends one message.
pub(crate) fn send<T: Serialize>(socket: impl AsFd, message: &T, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let text = serde_json::to_vec(message).map_err(io::Error::other)?;
    let length = u32::try_from(text.len()).map_err(io::Error::other)?.to_le_bytes();
    let whole = [&length[..], &text].concat();
    let descriptors = descriptor.map(|descriptor| [descriptor]);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if let Some(descriptors) = &descriptors {
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let mut rest = &whole[..];
    while !rest.is_empty() {
        let sent = retry(|| sendmsg(&socket, &[IoSlice::new(rest)], &mut ancillary, SendFlags::NOSIGNAL))?;
        rest = &rest[sent..];
        ancillary.clear();
    }
    Ok(())
}

/// Waits for one message; `None` if the other side is gone.
pub(crate) fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<(T, Option<OwnedFd>)>> {
    let mut length = [0; 4];
    let mut descriptor = None;
    if !fill(&socket, &mut length, &mut descriptor)? {
        return Ok(None);
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_TEXT_BYTES {
        return Err(io::Error::other("a message of the sandbox's helper is too long"));
    }
    let mut text = vec![0; length];
    if !fill(&socket, &mut text, &mut descriptor)? {
        return Ok(None);
    }
    let message = serde_json::from_slice(&text).map_err(io::Error::other)?;
    Ok(Some((message, descriptor)))
}

/// Fills `buffer`, and keeps the descriptor that comes along; no if the stream ended.
fn fill(socket: impl AsFd, buffer: &mut [u8], descriptor: &mut Option<OwnedFd>) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(&mut buffer[filled..])];
        let said = loop {
            match recvmsg(&socket, &mut slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => {}
                // The other side was killed while it had something unread.
                Err(rustix::io::Errno::CONNRESET) => return Ok(false),
                other => break other?,
            }
        };
        if said.flags.contains(ReturnFlags::CTRUNC) {
            return Err(io::Error::other("a descriptor of the sandbox's helper was lost: too many open files"));
        }
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                *descriptor = descriptors.last().or(descriptor.take());
            }
        }
        if said.bytes == 0 {
            return Ok(false);
        }
        filled += said.bytes;
    }
    Ok(true)
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}
