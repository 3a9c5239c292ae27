//! Why a command could not be run.

use std::io;
use std::path::PathBuf;

use crate::ids::IdFile;
use crate::message::Fault;

/// Why a sandbox could not be made or held.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel makes no user namespace for this user.
    #[error("this machine makes no user namespaces for you: {}", .why.problem())]
    NoUserNamespaces {
        /// What keeps it from that.
        why: NoNamespaces,
        /// The host's error.
        #[source]
        error: io::Error,
    },
    /// AppArmor takes all rights from the user namespaces of programs that no profile allows them (Ubuntu).
    #[error("AppArmor lets this program make no user namespaces (kernel.apparmor_restrict_unprivileged_userns is 1)")]
    AppArmor,
    /// The user has no subordinate ids.
    #[error("{file} has no 65536 ids for {user}")]
    NoSubordinateIds {
        /// The file that lacks a line.
        file: IdFile,
        /// The user.
        user: String,
        /// The line that would do.
        line: String,
    },
    /// Programs that lend subordinate ids are not installed, or do not work.
    #[error("`{program}`, which gives a namespace your subordinate ids, {problem}")]
    NoIdMapper {
        /// `newuidmap` or `newgidmap`.
        program: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The ids are not this process's to give.
    #[error("this process may not map the host's ids {first} to {}", u64::from(*.first) + 65535)]
    IdsNotOurs {
        /// The first id.
        first: u32,
        /// The host's error.
        #[source]
        error: io::Error,
    },
    /// There is no `/dev/fuse` to use.
    #[error("/dev/fuse cannot be used")]
    NoFuse {
        /// The host's error.
        #[source]
        error: io::Error,
    },
    /// A mount was refused.
    #[error("{what} cannot be mounted in a namespace of ours")]
    Mount {
        /// What was to be mounted.
        what: String,
        /// The host's error.
        #[source]
        error: io::Error,
    },
    /// The guest has no such file to bind another one over.
    #[error("the guest has no {}", .path.display())]
    NoPlace {
        /// Its path.
        path: PathBuf,
    },
    /// The folder that is to be the root cannot be used.
    #[error("{}: cannot be a root", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The host's error.
        #[source]
        error: io::Error,
    },
    /// The guest's program could not be started.
    #[error("the guest's {program} cannot be started")]
    Program {
        /// The program.
        program: String,
        /// The kernel's error.
        #[source]
        error: io::Error,
    },
    /// The way to run is not possible for this user or root.
    #[error("{problem}")]
    Unsupported {
        /// What is asked for that is not possible.
        problem: String,
        /// What to do instead.
        remedy: String,
    },
    /// The caller could not serve a file system.
    #[error("the guest's files cannot be served")]
    Serve(#[source] io::Error),
    /// The helper process ended without a word.
    #[error("the sandbox's helper process ended early ({status})")]
    HelperEnded {
        /// How.
        status: String,
    },
    /// The host refused something else.
    #[error("{what}")]
    Host {
        /// What was attempted.
        what: String,
        /// The host's error.
        #[source]
        error: io::Error,
    },
}

/// What keeps the kernel from making user namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoNamespaces {
    /// `user.max_user_namespaces` is 0, or all are in use.
    Limit,
    /// Debian's `kernel.unprivileged_userns_clone` is 0.
    Switch,
    /// A container's or service's seccomp filter or security module.
    Denied,
    /// The kernel has none.
    Kernel,
}

impl NoNamespaces {
    /// What is wrong.
    pub fn problem(self) -> &'static str {
        match self {
            Self::Limit => "the limit user.max_user_namespaces is reached",
            Self::Switch => "kernel.unprivileged_userns_clone is 0",
            Self::Denied => "a container or a service that this process is in denies them",
            Self::Kernel => "the kernel was built without them",
        }
    }

    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Limit => "run `sudo sysctl -w user.max_user_namespaces=15000`",
            Self::Switch => "run `sudo sysctl -w kernel.unprivileged_userns_clone=1`",
            Self::Denied => {
                "in a container: start it with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined --device /dev/fuse`, or run as root with `--runner unpack`"
            }
            Self::Kernel => "use a kernel with CONFIG_USER_NS=y",
        }
    }

    /// What an error of unshare(2) means here.
    pub(crate) fn of(error: &io::Error) -> Self {
        let is_off = |path| std::fs::read_to_string(path).is_ok_and(|value| value.trim() == "0");
        match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(rustix::io::Errno::NOSPC | rustix::io::Errno::USERS) => Self::Limit,
            Some(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => Self::Kernel,
            _ if is_off("/proc/sys/kernel/unprivileged_userns_clone") => Self::Switch,
            _ if is_off("/proc/sys/user/max_user_namespaces") => Self::Limit,
            _ => Self::Denied,
        }
    }
}

/// What to do where AppArmor restricts user namespaces: the first is for good and for this program alone, the second
/// until the next boot and for all.
pub(crate) const APPARMOR_REMEDIES: [&str; 2] = [
    "put `abi <abi/4.0>, include <tunables/global> profile imgraft /**/imgraft flags=(unconfined) { userns, }` into /etc/apparmor.d/imgraft and run `sudo apparmor_parser -r /etc/apparmor.d/imgraft`",
    "run `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 kernel.apparmor_restrict_unprivileged_unconfined=0`",
];

impl Error {
    /// What to do about it, each a way of its own; none if nothing is known that helps.
    pub fn remedies(&self) -> Vec<String> {
        let one = |text: &str| vec![text.to_owned()];
        match self {
            Self::NoUserNamespaces { why, .. } => one(why.remedy()),
            Self::AppArmor => APPARMOR_REMEDIES.map(str::to_owned).to_vec(),
            Self::NoSubordinateIds { file, line, .. } => {
                vec![Self::remedy_for_ids(*file, line)]
            }
            Self::NoIdMapper { .. } => one("install it: `sudo apt-get install uidmap` (Fedora: shadow-utils)"),
            Self::IdsNotOurs { .. } => one("give this container 65536 ids, or run imgraft on its host"),
            Self::NoFuse { error } => one(no_fuse_remedy(error)),
            Self::Mount { .. } => one(NoNamespaces::Denied.remedy()),
            Self::NoPlace { path } => vec![format!("make {} in the guest first", path.display())],
            Self::Unsupported { remedy, .. } => one(remedy),
            _ => Vec::new(),
        }
    }

    pub(crate) fn remedy_for_ids(file: IdFile, line: &str) -> String {
        format!("add the line `{line}` to {file}: `echo {line} | sudo tee -a {file}`")
    }

    pub(crate) fn host(what: impl Into<String>, error: impl Into<io::Error>) -> Self {
        Self::Host { what: what.into(), error: error.into() }
    }

    /// What the helper process reported, seen from outside.
    pub(crate) fn of(fault: Fault) -> Self {
        let os = io::Error::from_raw_os_error;
        match fault {
            Fault::Namespaces(number) => {
                let error = os(number);
                Self::NoUserNamespaces { why: NoNamespaces::of(&error), error }
            }
            Fault::Fuse(number) => Self::NoFuse { error: os(number) },
            Fault::Mount { number, .. } if is_denied(number) && crate::survey::is_restricted_by_apparmor() => {
                Self::AppArmor
            }
            Fault::Mount { what, number } => Self::Mount { what, error: os(number) },
            Fault::NoPlace(path) => Self::NoPlace { path: PathBuf::from(path) },
            Fault::Folder { folder, number } => Self::Folder { folder: PathBuf::from(folder), error: os(number) },
            Fault::Program { program, number } => {
                Self::Program { program: program.to_string_lossy().into_owned(), error: os(number) }
            }
            Fault::Host { what, number } => Self::Host { what, error: os(number) },
        }
    }
}

pub(crate) fn no_fuse_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "run `sudo modprobe fuse`; in a container: start it with `--device /dev/fuse`",
        io::ErrorKind::PermissionDenied => "run `sudo chmod 666 /dev/fuse`, as systemd's rules have it",
        _ => "run `sudo modprobe fuse`",
    }
}

pub(crate) fn is_denied(number: i32) -> bool {
    [rustix::io::Errno::PERM, rustix::io::Errno::ACCESS].iter().any(|denied| denied.raw_os_error() == number)
}
