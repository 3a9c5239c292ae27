//! A tree of a guest's files as a file system of the host's kernel, through FUSE.

mod server;

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::PoisonError;
use std::thread::JoinHandle;

use fuser::{Config, MountOption, Session, SessionACL, SessionUnmounter};

use scratch::SharedTree;
use server::Server;
pub use server::Owners;

/// How many threads answer the kernel. The tree is one at a time; what is copied from and to the kernel is not.
const THREADS: usize = 2;

/// A file system that the kernel uses.
#[derive(Debug)]
pub struct Served {
    thread: JoinHandle<io::Result<()>>,
    unmounter: Option<SessionUnmounter>,
}

/// How a tree is mounted where everybody of the host sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether the kernel refuses changes.
    pub read_only: bool,
    /// Whether modes and owners decide who may do what. Otherwise it is the user who mounts it, and may do everything.
    pub by_permissions: bool,
}

/// Answers the requests that come from `fuse`, which is `/dev/fuse` as it was opened for a mount.
///
/// # Errors
///
/// If the kernel does not begin as FUSE begins.
pub fn serve(tree: &SharedTree, owners: Owners, fuse: OwnedFd) -> io::Result<Served> {
    let root = tree.lock().unwrap_or_else(PoisonError::into_inner).root();
    let server = Server { tree: SharedTree::clone(tree), root, owners };
    let config = config(SessionACL::All);
    let thread = std::thread::Builder::new().name("fuse".to_owned()).spawn(move || {
        // The kernel asks its first question when the mount is there, and waits for the answer to it.
        Session::from_fd(server, fuse, SessionACL::All, config)?.run()
    })?;
    Ok(Served { thread, unmounter: None })
}

/// Mounts a tree at `point`, a directory of the host.
///
/// # Errors
///
/// If this user may not mount, or the host has no FUSE.
pub fn mount(tree: &SharedTree, owners: Owners, point: &Path, options: Options) -> io::Result<Served> {
    let root = tree.lock().unwrap_or_else(PoisonError::into_inner).root();
    let server = Server { tree: SharedTree::clone(tree), root, owners };
    let mut config = config(if options.by_permissions { SessionACL::All } else { SessionACL::Owner });
    config.mount_options = vec![MountOption::FSName("imgraft".to_owned()), MountOption::Subtype("imgraft".to_owned())];
    if options.read_only {
        config.mount_options.push(MountOption::RO);
    }
    if options.by_permissions {
        config.mount_options.extend([MountOption::DefaultPermissions, MountOption::Dev, MountOption::Suid]);
    }
    let mut session = Session::new(server, point, &config)?;
    let unmounter = Some(session.unmount_callable());
    let thread = std::thread::Builder::new().name("fuse".to_owned()).spawn(move || session.run())?;
    Ok(Served { thread, unmounter })
}

fn config(acl: SessionACL) -> Config {
    let mut config = Config::default();
    config.acl = acl;
    config.n_threads = Some(THREADS);
    config
}

impl Served {
    /// Takes a tree that [`mount`] mounted from its place.
    ///
    /// # Errors
    ///
    /// If something in it is in use.
    pub fn unmount(&mut self) -> io::Result<()> {
        self.unmounter.as_mut().map_or(Ok(()), SessionUnmounter::unmount)
    }

    /// Waits until the file system is mounted nowhere any more.
    ///
    /// # Errors
    ///
    /// If the kernel's requests could not be read.
    pub fn wait(self) -> io::Result<()> {
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the file system's thread has panicked")))
    }
}
