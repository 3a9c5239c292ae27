//! What changed in the folder, brought back into the trees.
//!
//! What a tree is in the end counts, not how it came to be so. Each tree is made like the folder in three steps:
//!
//! 1. Names that are gone, or are another file's now, are removed from the tree.
//! 2. New names are made. One of a file that still has its own name becomes a link; any other gets a new file, also
//!    where a file was renamed, with what the folder could not hold of the old one.
//! 3. New files, and those whose size or times are other than after unpacking, get content, owner, mode, attributes and
//!    flags. Times come last, as the steps before change those of directories.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use customize::RunError;
use guest::{FileKind, GuestPath, Time};
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use scratch::{InodeNumber, New, Owner, Settings, Tree, View, Xattrs};

use crate::unpack::host_file::{Identity, Seen, flags, look, xattrs};
use crate::unpack::record::{Beside, Record};
use crate::unpack::write::{COPY_BYTES, children, is_hidden, join, unreadable};
use crate::unpack::{failed, place};

/// The flags that `chattr` changes in a guest.
const FLAGS: u32 = 0x3_c0fb;

/// Has the trees of `view` be as `folder` is, in which a command worked since `now`.
pub(super) fn bring_back(view: &View, folder: &Path, record: &Record, now: Time) -> Result<(), RunError> {
    for (index, (point, tree)) in view.trees.iter().enumerate() {
        if is_hidden(point) {
            continue;
        }
        let mut tree = tree.lock().unwrap_or_else(PoisonError::into_inner);
        let mut work = Work {
            tree: &mut tree,
            index,
            folder,
            record,
            now,
            alive: HashMap::new(),
            flags: HashMap::new(),
            new: Vec::new(),
            changed: BTreeMap::new(),
        };
        work.compare(point)?;
        work.make()?;
        work.set()?;
    }
    Ok(())
}

struct Work<'a> {
    tree: &'a mut Tree,
    index: usize,
    folder: &'a Path,
    record: &'a Record,
    now: Time,
    /// Files of the folder that the tree has.
    alive: HashMap<Identity, InodeNumber>,
    /// The flags of files that lost a name.
    flags: HashMap<InodeNumber, u32>,
    /// New names: path, directory, name, file.
    new: Vec<(GuestPath, InodeNumber, Vec<u8>, Seen)>,
    /// Files that may differ, by number: a path, the file, whether it is new.
    changed: BTreeMap<InodeNumber, (GuestPath, Seen, bool)>,
}

impl Work<'_> {
    fn place(&self, path: &GuestPath) -> PathBuf {
        place(self.folder, path)
    }

    /// The file of this tree that a file of the folder was unpacked from.
    fn original(&self, seen: &Seen) -> Option<InodeNumber> {
        let original = self.record.files.get(&seen.identity)?;
        let kind = original.beside.device.map_or(seen.kind, |(kind, _)| kind);
        let is_it =
            original.tree == self.index && self.tree.facts(original.inode).is_ok_and(|of| of.metadata.kind == kind);
        is_it.then_some(original.inode)
    }

    fn note_changed(&mut self, path: &GuestPath, number: InodeNumber, seen: Seen) {
        let is_same = self.record.files.get(&seen.identity).is_some_and(|original| original.state == seen.state);
        if !is_same {
            self.changed.entry(number).or_insert_with(|| (path.clone(), seen, false));
        }
    }

    /// Removes from the tree what is not in the folder, and notes what is new or may differ.
    fn compare(&mut self, point: &GuestPath) -> Result<(), RunError> {
        let root = self.tree.root();
        let seen = self.look(point)?;
        self.note_changed(point, root, seen);
        let mut left = vec![(point.clone(), root)];
        while let Some((path, directory)) = left.pop() {
            let mut there = self.list(&path)?;
            for (name, _, _) in children(self.tree, directory).map_err(|error| unreadable(&path, error))? {
                let child = join(&path, &name)?;
                let seen = there.remove(&name);
                if self.record.covered.contains(&self.place(&child)) {
                    continue;
                }
                let number = self.tree.lookup(directory, &name).map_err(|error| unreadable(&child, error))?;
                match seen {
                    Some(seen) if self.original(&seen) == Some(number) => {
                        self.alive.insert(seen.identity, number);
                        if seen.kind == FileKind::Directory {
                            left.push((child.clone(), number));
                        }
                        let is_directory = seen.kind == FileKind::Directory;
                        self.note_changed(&child, number, seen);
                        if !is_directory && !self.changed.contains_key(&number) {
                            self.tree.forget(number, 0);
                        }
                    }
                    other => {
                        self.remove(&child, directory, &name)?;
                        self.new.extend(other.map(|seen| (child, directory, name, seen)));
                    }
                }
            }
            for (name, seen) in there {
                let child = join(&path, &name)?;
                if !self.record.covered.contains(&self.place(&child)) {
                    self.new.push((child, directory, name, seen));
                }
            }
        }
        Ok(())
    }

    fn look(&self, path: &GuestPath) -> Result<Seen, RunError> {
        let at = self.place(path);
        look(&at).map_err(|error| failed(&at, error))
    }

    /// The names in a directory of the folder.
    fn list(&self, path: &GuestPath) -> Result<BTreeMap<Vec<u8>, Seen>, RunError> {
        let at = self.place(path);
        let failed = |error| failed(&at, error);
        let mut names = BTreeMap::new();
        for entry in fs::read_dir(&at).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            names.insert(entry.file_name().into_vec(), look(&entry.path()).map_err(failed)?);
        }
        Ok(names)
    }

    /// Removes a name from the tree, with all that is below it.
    fn remove(&mut self, path: &GuestPath, directory: InodeNumber, name: &[u8]) -> Result<(), RunError> {
        let mut left = vec![(path.clone(), directory, name.to_vec(), false)];
        while let Some((path, directory, name, is_empty)) = left.pop() {
            let refused = |error| unlike(&path, "was removed", error);
            let number = self.tree.lookup(directory, &name).map_err(refused)?;
            let kind = self.tree.facts(number).map_err(refused)?.metadata.kind;
            if kind == FileKind::Directory && !is_empty {
                left.push((path.clone(), directory, name, true));
                for (name, _, _) in children(self.tree, number).map_err(refused)? {
                    left.push((join(&path, &name)?, number, name, false));
                }
                continue;
            }
            let flags = self.tree.flags(number).map_err(refused)?;
            if flags & FLAGS != 0 {
                self.flags.insert(number, flags & FLAGS);
            }
            match kind {
                FileKind::Directory => self.tree.remove_directory(directory, &name, self.now),
                _ => self.tree.unlink(directory, &name, self.now),
            }
            .map_err(refused)?;
        }
        Ok(())
    }

    /// Makes what is new.
    fn make(&mut self) -> Result<(), RunError> {
        let mut left = std::mem::take(&mut self.new);
        while let Some((path, directory, name, seen)) = left.pop() {
            let refused = |error| unlike(&path, "was made", error);
            if seen.kind != FileKind::Directory
                && let Some(&number) = self.alive.get(&seen.identity)
            {
                self.tree.link(number, directory, &name, self.now).map_err(refused)?;
                continue;
            }
            let at = self.place(&path);
            let beside = self.beside(&seen);
            let new = match (seen.kind, beside.device) {
                (_, Some((kind, device))) => New::Special(kind, device),
                (FileKind::Regular, _) => New::File,
                (FileKind::Directory, _) => New::Directory,
                (FileKind::Symlink, _) => {
                    let target = fs::read_link(&at).map_err(|error| failed(&at, error))?;
                    New::Symlink(target.into_os_string().into_vec())
                }
                (kind, _) => New::Special(kind, seen.device),
            };
            let owner = Owner { uid: seen.uid, gid: seen.gid };
            let made = self.tree.create(directory, &name, new, (seen.permissions, 0), owner, self.now);
            let number = made.map_err(refused)?;
            if seen.kind == FileKind::Directory {
                for (name, seen) in self.list(&path)? {
                    left.push((join(&path, &name)?, number, name, seen));
                }
            } else if seen.links > 1 {
                self.alive.insert(seen.identity, number);
            }
            self.changed.insert(number, (path, seen, true));
        }
        Ok(())
    }

    /// What the folder does not hold of a file.
    fn beside(&self, seen: &Seen) -> Beside {
        let original = self.record.files.get(&seen.identity);
        original.map(|original| original.beside.clone()).unwrap_or_default()
    }

    /// Gives what is new or may differ its content and properties.
    fn set(&mut self) -> Result<(), RunError> {
        let changed = std::mem::take(&mut self.changed);
        let mut immutable = Vec::new();
        for (&number, (path, seen, is_new)) in &changed {
            let has_content = seen.kind == FileKind::Regular && self.beside(seen).device.is_none();
            if has_content && (*is_new || !self.is_same(number, path, seen)?) {
                self.write(number, path, seen)?;
            } else if seen.kind == FileKind::Regular && !has_content && seen.state.size_bytes > 0 {
                return Err(RunError::Refused {
                    problem: format!("`{path}` is a device that may not be made on this machine, and was written to"),
                    hint: Some("run imgraft where root may make all devices".to_owned()),
                });
            }
            self.properties(number, path, seen)?;
            immutable.extend(self.new_flags(number, path, seen, *is_new)?.map(|flags| (number, path, flags)));
        }
        for (number, path, flags) in immutable {
            self.tree.set_flags(number, flags, self.now).map_err(|error| unlike(path, "has flags", error))?;
        }
        Ok(())
    }

    /// Whether a file of the tree has the content that the folder's has.
    fn is_same(&mut self, number: InodeNumber, path: &GuestPath, seen: &Seen) -> Result<bool, RunError> {
        let size_bytes = self.tree.facts(number).map_err(|error| unreadable(path, error))?.metadata.size_bytes;
        if size_bytes != seen.state.size_bytes {
            return Ok(false);
        }
        let at = self.place(path);
        let file = File::open(&at).map_err(|error| failed(&at, error))?;
        let (mut ours, mut theirs) = (vec![0; COPY_BYTES], vec![0; COPY_BYTES]);
        let mut offset = 0;
        while offset < size_bytes {
            let read = self.tree.read(number, offset, &mut ours).map_err(|error| unreadable(path, error))?;
            if read == 0 {
                return Ok(false);
            }
            file.read_exact_at(&mut theirs[..read], offset).map_err(|error| failed(&at, error))?;
            if ours[..read] != theirs[..read] {
                return Ok(false);
            }
            offset += read as u64;
        }
        Ok(true)
    }

    /// Writes the folder's content into the tree, without the holes.
    fn write(&mut self, number: InodeNumber, path: &GuestPath, seen: &Seen) -> Result<(), RunError> {
        let at = self.place(path);
        let failed = |error| failed(&at, error);
        let refused = |error| unlike(path, "was written to", error);
        let size = |size_bytes| Settings { size_bytes: Some(size_bytes), ..Settings::default() };
        self.tree.set(number, &size(0), self.now).map_err(refused)?;
        let file = File::open(&at).map_err(failed)?;
        let mut buffer = vec![0; COPY_BYTES];
        let mut offset = 0;
        while offset < seen.state.size_bytes {
            let mut from = match rustix::fs::seek(&file, SeekFrom::Data(offset)) {
                Ok(from) => from,
                Err(Errno::NXIO) => break,
                // This file system knows no holes.
                Err(Errno::INVAL) => offset,
                Err(error) => return Err(failed(error.into())),
            };
            let end = rustix::fs::seek(&file, SeekFrom::Hole(from)).unwrap_or(seen.state.size_bytes);
            while from < end {
                let step = (end - from).min(COPY_BYTES as u64) as usize;
                let read = file.read_at(&mut buffer[..step], from).map_err(failed)?;
                if read == 0 {
                    return Err(failed(io::ErrorKind::UnexpectedEof.into()));
                }
                self.tree.write(number, from, &buffer[..read], false, self.now).map_err(refused)?;
                from += read as u64;
            }
            offset = end.max(offset + 1);
        }
        self.tree.set(number, &size(seen.state.size_bytes), self.now).map_err(refused)
    }

    /// Gives a file of the tree the folder's owner, mode, attributes and time.
    fn properties(&mut self, number: InodeNumber, path: &GuestPath, seen: &Seen) -> Result<(), RunError> {
        let refused = |error| unlike(path, "got an owner, a mode or attributes", error);
        let metadata = self.tree.facts(number).map_err(refused)?.metadata;
        let owner = Settings {
            uid: (seen.uid != metadata.uid).then_some(seen.uid),
            gid: (seen.gid != metadata.gid).then_some(seen.gid),
            ..Settings::default()
        };
        if owner != Settings::default() {
            self.tree.set(number, &owner, self.now).map_err(refused)?;
        }
        let is_unix = self.tree.is_unix();
        // After the owner: a new one takes bits of the mode away.
        let permissions = self.tree.facts(number).map_err(refused)?.metadata.permissions;
        if is_unix && seen.kind != FileKind::Symlink && permissions != seen.permissions {
            let mode = Settings { permissions: Some(seen.permissions), ..Settings::default() };
            self.tree.set(number, &mode, self.now).map_err(refused)?;
        }
        let wanted = self.wanted_xattrs(number, path, seen)?;
        let has = if is_unix { self.tree.xattrs(number).map_err(refused)?.clone() } else { Xattrs::new() };
        for name in has.keys().filter(|name| !wanted.contains_key(*name)) {
            self.tree.remove_xattr(number, name, self.now).map_err(refused)?;
        }
        for (name, value) in wanted.iter().filter(|(name, value)| has.get(*name) != Some(*value)) {
            self.tree.set_xattr(number, name, value, self.now).map_err(refused)?;
        }
        let original = self.record.files.get(&seen.identity);
        let modified = match original {
            Some(original) if original.state.modified == seen.state.modified => original.modified,
            _ => seen.state.modified,
        };
        if self.tree.facts(number).map_err(refused)?.metadata.modified == modified {
            return Ok(());
        }
        let time = Settings { modified: Some(modified), ..Settings::default() };
        self.tree.set(number, &time, self.now).map_err(refused)
    }

    /// The attributes that a file has in the folder and beside it.
    fn wanted_xattrs(&mut self, number: InodeNumber, path: &GuestPath, seen: &Seen) -> Result<Xattrs, RunError> {
        let at = self.place(path);
        let mut wanted = xattrs(&at).map_err(|error| failed(&at, error))?;
        wanted.retain(|name, _| !self.record.native.xattrs.contains(name));
        wanted.extend(self.beside(seen).xattrs);
        if self.original(seen) == Some(number) && self.tree.is_unix() {
            // What every file of the host has says nothing about this one.
            let has = self.tree.xattrs(number).map_err(|error| unreadable(path, error))?;
            let kept = has.iter().filter(|(name, _)| self.record.native.xattrs.contains(*name));
            wanted.extend(kept.map(|(name, value)| (name.clone(), value.clone())));
        }
        Ok(wanted)
    }

    /// The flags that a file gets, if they are others than it has.
    fn new_flags(
        &mut self,
        number: InodeNumber,
        path: &GuestPath,
        seen: &Seen,
        is_new: bool,
    ) -> Result<Option<u32>, RunError> {
        let native = match seen.kind {
            FileKind::Regular => self.record.native.file_flags,
            FileKind::Directory => self.record.native.directory_flags,
            _ => return Ok(None),
        };
        let toggled = match (native, flags(&self.place(path))) {
            (Some(native), Some(now)) => (native ^ now) & FLAGS,
            _ => 0,
        };
        let has = self.tree.flags(number).map_err(|error| unreadable(path, error))?;
        let original = self.record.files.get(&seen.identity).filter(|original| original.tree == self.index);
        let old = original.filter(|_| is_new).and_then(|original| self.flags.get(&original.inode));
        let wanted = (has | old.copied().unwrap_or(0)) ^ toggled;
        Ok((wanted != has).then_some(wanted))
    }
}

/// Something that the command did in the folder and could not have done in the guest.
fn unlike(path: &GuestPath, what: &str, error: Errno) -> RunError {
    let hint = match error {
        Errno::NOSPC => Some("make the image larger: `--size +1G`".to_owned()),
        Errno::PERM => {
            Some("the file is immutable (`chattr +i`), or on a FAT partition, which has no owners".to_owned())
        }
        _ => None,
    };
    RunError::Refused { problem: format!("`{path}` {what}, which the guest's file system cannot have: {error}"), hint }
}
