//! The guest's trees, unpacked into a folder.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use customize::RunError;
use guest::{FileKind, GuestPath, Metadata, Printable, Time};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, XattrFlags};
use rustix::io::Errno;
use scratch::{InodeNumber, Tree, View};

use crate::machine::{MOUNT_POINTS, known};
use crate::unpack::host_file::{look, make_special, may_stay_beside};
use crate::unpack::record::{Beside, Native, Original, Record};
use crate::unpack::{OTHER_FOLDER, cannot_hold, failed, make_directory, place};

/// How much of a file is copied at a time, in bytes.
pub(super) const COPY_BYTES: usize = 1 << 20;

/// Unpacks all trees of `view` into `folder`, which is made.
pub(super) fn unpack(view: &View, folder: &Path) -> Result<Record, RunError> {
    let outer = folder.parent().unwrap_or(folder);
    let space = rustix::fs::statvfs(outer).map_err(|error| failed(outer, error.into()))?;
    let mut covered: HashSet<GuestPath> = MOUNT_POINTS.iter().map(|point| known(point)).collect();
    covered.extend(view.trees.iter().map(|(point, _)| point.clone()).filter(|point| !point.is_root()));
    let mut work = Work {
        folder,
        free_bytes: space.f_bavail.saturating_mul(space.f_frsize),
        covered,
        made: Vec::new(),
        buffer: vec![0; COPY_BYTES],
    };
    make_directory(folder).map_err(|error| failed(folder, error))?;
    for (index, (point, tree)) in view.trees.iter().enumerate() {
        if is_hidden(point) {
            continue;
        }
        let mut tree = tree.lock().unwrap_or_else(PoisonError::into_inner);
        work.tree(index, point, &mut tree)?;
    }
    let mut record = Record {
        covered: work.covered.iter().map(|path| place(folder, path)).collect(),
        native: Native::of(outer)?,
        ..Record::default()
    };
    for Made { path, tree, inode, modified, beside } in work.made {
        let seen = look(&path).map_err(|error| failed(&path, error))?;
        record.latest = record.latest.max(seen.state.changed);
        record.files.insert(seen.identity, Original { tree, inode, state: seen.state, modified, beside });
    }
    Ok(record)
}

/// Whether a mount point is below a directory that the command has a new one of.
pub(super) fn is_hidden(point: &GuestPath) -> bool {
    MOUNT_POINTS.iter().any(|hidden| point.starts_with(&known(hidden)))
}

/// A file that was made in the folder.
struct Made {
    path: PathBuf,
    tree: usize,
    inode: InodeNumber,
    modified: Time,
    beside: Beside,
}

struct Work<'a> {
    folder: &'a Path,
    /// How much room there is in the folder's file system for contents.
    free_bytes: u64,
    covered: HashSet<GuestPath>,
    made: Vec<Made>,
    buffer: Vec<u8>,
}

/// What is left to be done with a directory.
enum Left {
    Fill(GuestPath, InodeNumber),
    /// It gets its properties when all is in it: its time would be another, and new files would get its default ACL.
    Finish(GuestPath, InodeNumber),
}

impl Work<'_> {
    fn tree(&mut self, index: usize, point: &GuestPath, tree: &mut Tree) -> Result<(), RunError> {
        let mut left = vec![Left::Fill(point.clone(), tree.root())];
        // A damaged directory could be in itself.
        let mut seen = HashSet::new();
        let mut linked: HashMap<InodeNumber, PathBuf> = HashMap::new();
        while let Some(next) = left.pop() {
            let (path, directory) = match next {
                Left::Finish(path, directory) => {
                    self.finish(index, tree, &path, directory, Beside::default())?;
                    continue;
                }
                Left::Fill(path, directory) => (path, directory),
            };
            if !seen.insert(directory) {
                return Err(damaged(&path, "is in two places"));
            }
            let children = children(tree, directory).map_err(|error| unreadable(&path, error))?;
            left.push(Left::Finish(path.clone(), directory));
            for (name, number, kind) in children {
                let child = join(&path, &name)?;
                let at = place(self.folder, &child);
                if kind == FileKind::Directory {
                    make_directory(&at).map_err(|error| failed(&at, error))?;
                    // What is on top of it has its properties, too.
                    if !self.covered.contains(&child) {
                        tree.lookup(directory, &name).map_err(|error| unreadable(&child, error))?;
                        left.push(Left::Fill(child, number));
                    }
                    continue;
                }
                if let Some(first) = linked.get(&number) {
                    fs::hard_link(first, &at).map_err(|error| failed(&at, error))?;
                    continue;
                }
                let number = tree.lookup(directory, &name).map_err(|error| unreadable(&child, error))?;
                let facts = tree.facts(number).map_err(|error| unreadable(&child, error))?;
                let beside = self.file(tree, &child, &at, &facts.metadata, number)?;
                self.finish(index, tree, &child, number, beside)?;
                if facts.metadata.links > 1 {
                    linked.insert(number, at);
                }
                // What nobody changed can be had again.
                tree.forget(number, 0);
            }
        }
        Ok(())
    }

    /// Makes a file that is no directory, without its properties.
    fn file(
        &mut self,
        tree: &mut Tree,
        path: &GuestPath,
        at: &Path,
        metadata: &Metadata,
        number: InodeNumber,
    ) -> Result<Beside, RunError> {
        let mut beside = Beside::default();
        let made = match metadata.kind {
            FileKind::Regular => return self.content(tree, path, at, metadata, number).map(|()| beside),
            FileKind::Symlink => {
                let target = tree.read_link(number).map_err(|error| unreadable(path, error))?;
                symlink(super::host_file::name(&target), at)
            }
            kind => match make_special(at, kind, metadata.device) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    beside.device = Some((kind, metadata.device));
                    new_file(at).map(drop)
                }
                other => other,
            },
        };
        made.map_err(|error| failed(at, error))?;
        Ok(beside)
    }

    /// Makes a regular file, with the holes that it has.
    fn content(
        &mut self,
        tree: &mut Tree,
        path: &GuestPath,
        at: &Path,
        metadata: &Metadata,
        number: InodeNumber,
    ) -> Result<(), RunError> {
        let failed = |error| failed(at, error);
        let unreadable = |error| unreadable(path, error);
        let file = new_file(at).map_err(failed)?;
        for part in tree.data(number).map_err(unreadable)? {
            let (mut from, end) = (part.start, part.end);
            // A small image can claim more than any disk holds.
            self.free_bytes = self.free_bytes.checked_sub(end - from).ok_or_else(|| RunError::Unavailable {
                problem: format!("{} has no room for the files of the guest", self.folder.display()),
                hint: Some(OTHER_FOLDER.to_owned()),
            })?;
            while from < end {
                let step = (end - from).min(COPY_BYTES as u64) as usize;
                let read = tree.read(number, from, &mut self.buffer[..step]).map_err(unreadable)?;
                if read == 0 {
                    break;
                }
                file.write_all_at(&self.buffer[..read], from).map_err(failed)?;
                from += read as u64;
            }
        }
        file.set_len(metadata.size_bytes).map_err(failed)
    }

    /// Gives a file its owner, mode, attributes and time.
    fn finish(
        &mut self,
        index: usize,
        tree: &mut Tree,
        path: &GuestPath,
        number: InodeNumber,
        mut beside: Beside,
    ) -> Result<(), RunError> {
        let at = place(self.folder, path);
        let metadata = tree.facts(number).map_err(|error| unreadable(path, error))?.metadata;
        let (uid, gid) = (metadata.uid, metadata.gid);
        lchown(&at, Some(uid), Some(gid)).map_err(|error| {
            let remedy = "run imgraft where root may give files to all users, with 65536 ids or more";
            cannot_hold(path, &format!("belongs to {uid}:{gid}"), &error, remedy)
        })?;
        if metadata.kind != FileKind::Symlink {
            let mode = fs::Permissions::from_mode(u32::from(metadata.permissions));
            fs::set_permissions(&at, mode).map_err(|error| failed(&at, error))?;
        }
        if tree.is_unix() {
            let xattrs = tree.xattrs(number).map_err(|error| unreadable(path, error))?;
            for (name, value) in xattrs {
                // One that nobody in the guest sees is not shown to the host either.
                let set = match name.starts_with(b"trusted.") {
                    true => Err(Errno::PERM),
                    false => rustix::fs::lsetxattr(&at, &name[..], value, XattrFlags::empty()),
                };
                match set {
                    Ok(()) => {}
                    Err(_) if may_stay_beside(name) => {
                        beside.xattrs.insert(name.clone(), value.clone());
                    }
                    Err(error) => {
                        let what = format!("has the attribute `{}`", Printable(name));
                        return Err(cannot_hold(path, &what, &error, OTHER_FOLDER));
                    }
                }
            }
        }
        set_time(&at, metadata.modified).map_err(|error| failed(&at, error))?;
        self.made.push(Made { path: at, tree: index, inode: number, modified: metadata.modified, beside });
        Ok(())
    }
}

/// The names in a directory, their files and kinds.
pub(super) fn children(
    tree: &mut Tree,
    directory: InodeNumber,
) -> Result<Vec<(Vec<u8>, InodeNumber, FileKind)>, Errno> {
    let mut children = Vec::new();
    tree.read_directory(directory, 0, &mut |_, name, number, kind| {
        children.push((name.to_vec(), number, kind));
        true
    })?;
    Ok(children)
}

/// A path in a guest whose directories may be damaged.
pub(super) fn join(path: &GuestPath, name: &[u8]) -> Result<GuestPath, RunError> {
    let is_name = !matches!(name, b"" | b"." | b"..") && !name.iter().any(|byte| matches!(byte, b'/' | 0));
    if !is_name {
        return Err(damaged(path, &format!("has a name in it that no file can have: `{}`", Printable(name))));
    }
    path.join(name).map_err(|_| RunError::Refused {
        problem: format!("a path below `{path}` is too long: the longest has 4095 bytes"),
        hint: None,
    })
}

fn new_file(at: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(at)
}

fn set_time(at: &Path, modified: Time) -> io::Result<()> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: modified.seconds, tv_nsec: i64::from(modified.nanoseconds) },
    };
    Ok(rustix::fs::utimensat(CWD, at, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// A file of the guest that cannot be read.
pub(super) fn unreadable(path: &GuestPath, error: Errno) -> RunError {
    damaged(path, &format!("cannot be read: {error}"))
}

fn damaged(path: &GuestPath, what: &str) -> RunError {
    let hint = Some("`imgraft check` says what is damaged".to_owned());
    RunError::Refused { problem: format!("`{path}` {what}"), hint }
}
