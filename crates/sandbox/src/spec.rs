//! What is to be run, and in what.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// A command, its root and its limits.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The program and its arguments. A program without a `/` is looked for in the `PATH` of `environment`.
    pub arguments: Vec<OsString>,
    /// All variables that the command gets.
    pub environment: Vec<(OsString, OsString)>,
    /// The command's working directory, in the guest.
    pub directory: PathBuf,
    /// What `/` is.
    pub root: Root,
    /// How much of the machine is shared with the host.
    pub confinement: Confinement,
    /// Files that are there while the command runs, and never in the guest's own tree.
    pub files: Vec<File>,
    /// Whether the command has the host's network; else it has a loopback device and no more.
    pub network: bool,
    /// The host name that the command sees.
    pub hostname: String,
    /// What the command may use.
    pub limits: Limits,
    /// Which ids of the host stand for the guest's.
    pub ids: Ids,
}

impl Spec {
    /// A command in `root`: as root in `/`, without a network, limits or variables.
    pub fn new<A: Into<OsString>>(root: Root, arguments: impl IntoIterator<Item = A>) -> Self {
        Self {
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
            directory: PathBuf::from("/"),
            root,
            confinement: Confinement::Namespaces,
            files: Vec::new(),
            network: false,
            hostname: "localhost".to_owned(),
            limits: Limits::default(),
            ids: Ids::Auto,
        }
    }
}

/// What is `/` for the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// File systems that the caller serves through FUSE.
    Fuse {
        /// Where each is mounted: `/` first, outer before inner.
        mount_points: Vec<PathBuf>,
    },
    /// A folder of the host.
    Folder(PathBuf),
}

/// How the command is kept from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confinement {
    /// Namespaces of its own: the whole of what this crate's documentation describes.
    Namespaces,
    /// `chroot` alone, for root in a container that may neither make namespaces nor mount: processes and the network
    /// are the container's. The root is a [`Root::Folder`], and `/proc`, `/dev`, `/run` and `/tmp` are what it has
    /// there. [`Spec::files`] is empty: the caller puts files into the folder.
    Chroot,
}

/// A file that is there while the command runs: bound read-only over the guest's file of that path.
///
/// If the path leads (through symbolic links) into `/run` or `/tmp`, which are the sandbox's own, it is made there.
/// Anywhere else it has to exist: [`Error::NoPlace`](crate::Error::NoPlace) names one that does not, and the caller
/// makes a placeholder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where, in the guest.
    pub path: PathBuf,
    /// What is in it.
    pub content: Vec<u8>,
    /// Whether it can be run.
    pub is_executable: bool,
}

/// What the command and all its children may use together. `None` is as much as the host gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The time from the start to the end.
    pub time: Option<Duration>,
    /// Memory; see [`Enforced`](crate::Enforced) for how exactly.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
}

/// Which ids of the host stand for the guest's 0 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// For root: the range of its own line in `/etc/subuid` and `/etc/subgid`, else [`Ids::LENT`]; and for a
    /// [`Root::Folder`] the same numbers as in the guest, as the folder's owners are the guest's. For others: their
    /// subordinate ids; who has none is refused with the line that the file lacks.
    Auto,
    /// These 65536 ids of the host, from `first` on.
    Range {
        /// The host's id for the guest's root.
        first: u32,
    },
    /// The same numbers as in the guest (root only).
    Same,
    /// The user's own id for the guest's root, and none for all others. The root is a [`Root::Fuse`] that shows every
    /// file as root's, and what the command does with owners is recorded by the caller's [`Owners`](crate::Owners).
    ///
    /// A program can notice this, so [`Ids::Auto`] does not choose it: `stat` shows root as every file's owner, so what
    /// reads an owner to give it to another file (`cp -a`, BusyBox's `chgrp`) gives it root's. Taking another id
    /// (`su`, `setpriv`, apt's user `_apt` unless `APT::Sandbox::User` is `root`) fails with EINVAL. Neither does an
    /// access list that names another id than root's work (EINVAL), nor do other owners in `/tmp` and `/run`, which are
    /// the kernel's.
    Single,
}

impl Ids {
    /// The first of the 65536 ids that root lends to guests if `/etc/subuid` has no line for root. systemd's table of
    /// ids has nothing there: its containers end below, its special ranges begin above.
    pub const LENT: u32 = 0x7000_0000;
    /// How many ids a guest has.
    pub const COUNT: u32 = 65536;
}

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Signal(i32),
    /// It was killed when its time was over.
    TimedOut,
    /// It was killed when it and its children used too much memory.
    OutOfMemory,
    /// It was killed when it had too many processes.
    TooManyProcesses,
    /// It was killed by [`Stopper::stop`](crate::Stopper::stop).
    Interrupted,
}
