//! A tree of a guest's files as a file system of the host's kernel, through FUSE.
//!
//! # One file, request by request: an example
//!
//! `cp -a note /mnt/srv/`, where the root is inode 2 of an ext4 and `/srv` inode 300. The kernel sends requests through
//! `/dev/fuse`, each with a number of 64 bits for the file that it is about (1 is the root), and waits for each answer:
//!
//! 1. `LOOKUP` 1 `srv`: 300, with mode, owner and times, which may be kept for ever.
//! 2. `LOOKUP` 300 `note`: nothing. That may be kept, too: the answer is the number 0 with a time to live.
//! 3. `MKNOD` 300 `note` 0100600: the file gets the number 2,147,483,648.
//! 4. `WRITE` 2,147,483,648, offset 0, up to 1 MiB at a time.
//! 5. `SETATTR` for the owner, the mode and the times.
//!
//! There is no `CREATE`, `OPEN`, `FLUSH` or `FSYNC`: the first of each was answered with `ENOSYS`, which says that it is
//! not needed; and what was not opened is not released.
//! [`serve`] answers on a connection that somebody else opened and mounted, such as a sandbox; [`mount`] mounts as well.

mod server;

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use fuser::{Config, INodeNo, MountOption, Notifier, Session, SessionACL};

use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use scratch::{InodeNumber, SharedTree, View};
pub use server::Owners;
use server::Server;

/// How many threads answer the kernel. The tree is one at a time; what is copied from and to the kernel is not.
const THREADS: usize = 2;

/// How often a place that is in use is tried again, and after how long.
const BUSY_ATTEMPTS: u32 = 50;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// A file system that the kernel uses.
#[derive(Debug)]
pub struct Served {
    thread: JoinHandle<io::Result<()>>,
    /// There as soon as the kernel has begun.
    notifier: Arc<OnceLock<Notifier>>,
    root: InodeNumber,
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
    let notifier = Arc::new(OnceLock::new());
    let own = Arc::clone(&notifier);
    let thread = std::thread::Builder::new().name("fuse".to_owned()).spawn(move || {
        // The kernel asks its first question when the mount is there, and waits for the answer to it.
        let session = Session::from_fd(server, fuse, SessionACL::All, config)?;
        let _ = own.set(session.notifier());
        session.run()
    })?;
    Ok(Served { thread, notifier, root })
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
    config.mount_options = vec![
        MountOption::FSName(format!("imgraft:{}", std::process::id())),
        MountOption::Subtype("imgraft".to_owned()),
    ];
    if options.read_only {
        config.mount_options.push(MountOption::RO);
    }
    if options.by_permissions {
        config.mount_options.extend([MountOption::DefaultPermissions, MountOption::Dev, MountOption::Suid]);
    }
    let session = Session::new(server, point, &config)?;
    let notifier = Arc::new(OnceLock::from(session.notifier()));
    let thread = std::thread::Builder::new().name("fuse".to_owned()).spawn(move || session.run())?;
    Ok(Served { thread, notifier, root })
}

/// A guest's whole tree, mounted.
#[derive(Debug)]
pub struct Mounted {
    /// Mount points and what is there, outer ones first.
    served: Vec<(PathBuf, Served)>,
}

impl Mounted {
    /// Mounts the trees of `view` at and below `point`, a directory of the host: all of them, or only the root's for a user
    /// who is not to be asked for permissions. `fusermount3` is root, and may not look into such a user's mount, so that it
    /// mounts nothing there.
    ///
    /// # Errors
    ///
    /// As [`mount`]; nothing is mounted then.
    pub fn new(view: &View, owners: Owners, point: &Path, options: Options) -> io::Result<Self> {
        let mut mounted = Self { served: Vec::new() };
        let count = if options.by_permissions { view.trees.len() } else { 1 };
        for (path, tree) in view.trees.iter().take(count) {
            let names = path.components().map(OsStr::from_bytes);
            let place = point.join(names.collect::<PathBuf>());
            match mount(tree, owners, &place, options) {
                Ok(served) => mounted.served.push((place, served)),
                Err(error) => {
                    let _ = unmount(&mounted.places());
                    mounted.wait()?;
                    return Err(error);
                }
            }
        }
        Ok(mounted)
    }

    /// The places, outer ones first.
    pub fn places(&self) -> Vec<PathBuf> {
        self.served.iter().map(|(place, _)| place.clone()).collect()
    }

    /// Waits until somebody unmounted it.
    ///
    /// # Errors
    ///
    /// If the kernel's requests could not be read.
    pub fn wait(self) -> io::Result<()> {
        self.served.into_iter().try_for_each(|(_, served)| served.wait())
    }
}

/// Unmounts what is mounted at `places`, the last first.
///
/// # Errors
///
/// If something in it is in use: it stays then.
pub fn unmount(places: &[PathBuf]) -> io::Result<()> {
    places.iter().rev().try_for_each(|place| match unmount_one(place) {
        Ok(()) => Ok(()),
        // Nothing is mounted there any more.
        Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(Errno::PERM) => by_helper(place),
        Err(error) => Err(error.into()),
    })
}

/// Unmounts one place. The kernel closes the files of a program that has just ended a moment later: until then it says
/// that the place is in use.
fn unmount_one(place: &Path) -> rustix::io::Result<()> {
    for _ in 0..BUSY_ATTEMPTS {
        match rustix::mount::unmount(place, UnmountFlags::NOFOLLOW) {
            Err(Errno::BUSY) => std::thread::sleep(BUSY_PAUSE),
            ended => return ended,
        }
    }
    rustix::mount::unmount(place, UnmountFlags::NOFOLLOW)
}

/// Has FUSE's own program unmount, which may do it for users.
#[expect(clippy::disallowed_methods, reason = "only a set-user-id program can do this for a user")]
fn by_helper(place: &Path) -> io::Result<()> {
    let run = |program| std::process::Command::new(program).arg("-u").arg(place).output();
    let output = run("fusermount3").or_else(|_| run("fusermount"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

fn config(acl: SessionACL) -> Config {
    let mut config = Config::default();
    config.acl = acl;
    config.n_threads = Some(THREADS);
    config
}

impl Served {
    /// Has the kernel ask again for a name of a directory, as somebody else changed what it means. A kernel that did not
    /// know it has nothing to forget.
    pub fn forget_name(&self, directory: InodeNumber, name: &OsStr) {
        if let Some(notifier) = self.notifier.get() {
            let _ = notifier.inval_entry(self.node(directory), name);
        }
    }

    /// Has the kernel ask again for mode, owner and times of a file.
    pub fn forget_attributes(&self, inode: InodeNumber) {
        if let Some(notifier) = self.notifier.get() {
            let _ = notifier.inval_inode(self.node(inode), -1, 0);
        }
    }

    fn node(&self, inode: InodeNumber) -> INodeNo {
        INodeNo(if inode == self.root { server::ROOT } else { inode })
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
