//! A folder of the host through FUSE, to be read.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo, LockOwner, OpenFlags, ReplyAttr,
    ReplyData, ReplyDirectory, ReplyEntry, Request, Session, SessionACL,
};

const TTL: Duration = Duration::from_secs(3600);

/// Serves `folder` on a connection, in a thread.
pub(crate) fn serve(folder: PathBuf, connection: OwnedFd) -> io::Result<()> {
    let known = HashMap::from([(1, folder)]);
    let mut config = Config::default();
    config.acl = SessionACL::All;
    let session = Session::from_fd(Mirror { known: Mutex::new(known) }, connection, SessionACL::All, config)?;
    session.spawn().map(std::mem::forget)
}

struct Mirror {
    known: Mutex<HashMap<u64, PathBuf>>,
}

impl Mirror {
    fn path(&self, inode: INodeNo) -> PathBuf {
        self.known.lock().unwrap()[&u64::from(inode)].clone()
    }

    /// What the kernel is told. All files are the guest's root's, as far as they are of whoever runs the tests.
    fn attributes(&self, path: &Path, inode: Option<u64>) -> io::Result<FileAttr> {
        let found = fs::symlink_metadata(path)?;
        let kind = found.file_type();
        let kind = match () {
            () if kind.is_dir() => FileType::Directory,
            () if kind.is_symlink() => FileType::Symlink,
            () if kind.is_fifo() => FileType::NamedPipe,
            () => FileType::RegularFile,
        };
        let inode = inode.unwrap_or(found.ino());
        self.known.lock().unwrap().insert(inode, path.to_owned());
        let time = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let own = rustix::process::geteuid().as_raw();
        Ok(FileAttr {
            ino: INodeNo(inode),
            size: found.len(),
            blocks: found.blocks(),
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            perm: (found.mode() & 0o7777) as u16,
            nlink: found.nlink() as u32,
            uid: if found.uid() == own { 0 } else { found.uid() },
            gid: 0,
            rdev: 0,
            flags: 0,
            blksize: 4096,
        })
    }
}

impl Filesystem for Mirror {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.attributes(&self.path(parent).join(name), None) {
            Ok(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
            Err(error) => reply.error(error.into()),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(&self.path(inode), Some(u64::from(inode))) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(error.into()),
        }
    }

    fn readlink(&self, _: &Request, inode: INodeNo, reply: ReplyData) {
        match fs::read_link(self.path(inode)) {
            Ok(target) => reply.data(target.as_os_str().as_bytes()),
            Err(error) => reply.error(error.into()),
        }
    }

    #[allow(clippy::too_many_arguments, reason = "fuser's own")]
    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut bytes = vec![0; size as usize];
        let read = fs::File::open(self.path(inode)).and_then(|file| file.read_at(&mut bytes, offset));
        match read {
            Ok(read) => reply.data(&bytes[..read]),
            Err(_) => reply.error(Errno::EIO),
        }
    }

    fn readdir(&self, _: &Request, inode: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let folder = self.path(inode);
        let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        for (index, name) in names.iter().enumerate().skip(offset as usize) {
            let attributes = self.attributes(&folder.join(name), None).unwrap();
            if reply.add(attributes.ino, index as u64 + 1, attributes.kind, name) {
                break;
            }
        }
        reply.ok();
    }
}
