//! What the supervisor of a sandbox with a single id asks its caller to record.

use std::ffi::{OsStr, OsString};
use std::io;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// Records what the kernel cannot do for a user with one id. `mount` is the index of the FUSE file system, `inode` the
/// number that it gives the file. Each is called while a program of the guest waits.
///
/// To the kernel every file is root's. A file system that has it keep what it was told (endless times to live) takes
/// that back where something is recorded: a new device is a name that the kernel may know as missing, and a file that
/// gets another owner loses its set-user-ID bits, as chown(2) has it.
pub trait Owners: Sync {
    /// The file belongs to `uid` and `gid` from now on; `None` leaves one as it is.
    ///
    /// # Errors
    ///
    /// What the program gets to see.
    fn chown(&self, mount: usize, inode: u64, uid: Option<u32>, gid: Option<u32>) -> io::Result<()>;

    /// The user and the group that a file belongs to: what programs are shown in place of root.
    ///
    /// # Errors
    ///
    /// What the program gets to see.
    fn owner(&self, mount: usize, inode: u64) -> io::Result<[u32; 2]> {
        let _ = (mount, inode);
        Ok([0, 0])
    }

    /// A device node is made in a directory. `mode` has the type and, without the umask, the permissions.
    ///
    /// # Errors
    ///
    /// What the program gets to see.
    fn make_node(&self, mount: usize, directory: u64, name: &OsStr, mode: u32, device: u64) -> io::Result<()>;

    /// An extended attribute that only the host's root may set (`trusted.…`).
    ///
    /// # Errors
    ///
    /// What the program gets to see.
    fn set_xattr(&self, mount: usize, inode: u64, name: &OsStr, value: &[u8]) -> io::Result<()>;
}

/// Refuses everything that is to be recorded: for sandboxes in which the kernel itself knows the guest's ids.
impl Owners for () {
    fn chown(&self, _: usize, _: u64, _: Option<u32>, _: Option<u32>) -> io::Result<()> {
        Err(Errno::PERM.into())
    }

    fn make_node(&self, _: usize, _: u64, _: &OsStr, _: u32, _: u64) -> io::Result<()> {
        Err(Errno::PERM.into())
    }

    fn set_xattr(&self, _: usize, _: u64, _: &OsStr, _: &[u8]) -> io::Result<()> {
        Err(Errno::PERM.into())
    }
}

/// A call of [`Owners`], on its way to the caller.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Wish {
    Chown { mount: usize, inode: u64, uid: Option<u32>, gid: Option<u32> },
    MakeNode { mount: usize, directory: u64, name: OsString, mode: u32, device: u64 },
    SetXattr { mount: usize, inode: u64, name: OsString, value: Vec<u8> },
    Owner { mount: usize, inode: u64 },
}

impl Wish {
    /// Has it recorded, or asks for an owner.
    pub(crate) fn ask(&self, owners: &dyn Owners) -> io::Result<Option<[u32; 2]>> {
        let recorded = match self {
            Self::Owner { mount, inode } => return owners.owner(*mount, *inode).map(Some),
            Self::Chown { mount, inode, uid, gid } => owners.chown(*mount, *inode, *uid, *gid),
            Self::MakeNode { mount, directory, name, mode, device } => {
                owners.make_node(*mount, *directory, name, *mode, *device)
            }
            Self::SetXattr { mount, inode, name, value } => owners.set_xattr(*mount, *inode, name, value),
        };
        recorded.map(|()| None)
    }
}
